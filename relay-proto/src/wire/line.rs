//! Where a line ends: CRLF and nothing else.
//!
//! This is the one file that decides about bare CR, bare LF and NUL. Bare CR and bare LF it refuses, in
//! commands, in replies and in content alike, and never repairs them: a lenient reader and a strict one
//! would disagree about where a line, and so a message, ends, which is all that SMTP smuggling needs
//! (RFC 5321 section 2.3.8).
//!
//! NUL is refused in commands and replies (RFC 5321 section 4.1.2). In content it passes, because honest
//! senders write it, but for one place: some servers drop it, and what is left of `CRLF NUL . CRLF` then
//! ends a message that had not ended here. [`ContentLines`] refuses a line that NULs disguise so.
//!
//! # Diagnostics
//! [`FramingError`] and [`LineError`] are the peer's doing.

use bytes::{Buf as _, BytesMut};

/// A rule about the ends of lines that the peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FramingError {
    /// CR without LF after it.
    #[error("bare CR")]
    BareCr,
    /// LF without CR before it.
    #[error("bare LF")]
    BareLf,
    /// NUL where it has no place at all.
    #[error("NUL")]
    Nul,
    /// A line of content that is a lone dot for those who drop NUL.
    #[error("a lone dot beside NUL")]
    NulBesideDot,
}

/// Finds line ends in content that arrives in pieces, without the dots of its transparency.
#[derive(Clone, Copy, Debug)]
pub struct ContentLines {
    ends: LineEnds,
    at_line_start: bool,
    /// The transparency took a dot off this line.
    dot_taken: bool,
    disguise: Option<Disguise>,
}

/// A line that started with NUL and has had nothing but NUL and at most one dot so far.
#[derive(Clone, Copy, Debug)]
struct Disguise {
    dot_taken: bool,
    dots: u8,
}

/// Whether NUL passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Nul {
    /// It is a [`FramingError::Nul`].
    #[default]
    Refused,
    /// It is an octet as any other, but beside a lone dot.
    Passed,
}

/// Finds line ends in octets that arrive in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineEnds {
    after_cr: bool,
    nul: Nul,
}

/// Where and how a piece of octets broke the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// Index of the first octet that is wrong: the LF, the NUL, or what follows the CR.
    pub at: usize,
    /// What is wrong.
    pub error: FramingError,
}

/// Takes whole lines off the front of a buffer.
#[derive(Debug)]
pub struct LineReader {
    max_octets: usize,
    ends: LineEnds,
    /// How much of the buffer has been looked at, so that a line that arrives octet by octet costs no more.
    scanned: usize,
    /// The line was too long, which has been said; the rest of it is dropped as it comes.
    discarding: bool,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LineError {
    /// The line breaks a framing rule; nothing after it can be trusted.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The line is longer than the bound; the reader goes on with the one after it.
    #[error("line too long")]
    TooLong,
}

impl LineEnds {
    /// The index just after the first line end in `octets`, which continue those given before; `None` if
    /// the line goes on after them.
    ///
    /// # Errors
    /// A bare CR, a bare LF or a NUL before that line end. The state is then that of the line's inside.
    pub fn next(&mut self, octets: &[u8]) -> Result<Option<usize>, Break> {
        let mut at = 0;
        loop {
            let rest = octets.get(at..).unwrap_or_default();
            if self.after_cr {
                return match rest.first() {
                    None => Ok(None),
                    Some(&first) => {
                        self.after_cr = false;
                        if first == LF {
                            Ok(Some(at + 1))
                        } else {
                            Err(Break {
                                at,
                                error: FramingError::BareCr,
                            })
                        }
                    }
                };
            }
            let found = match self.nul {
                Nul::Refused => memchr::memchr3(CR, LF, NUL, rest),
                Nul::Passed => memchr::memchr2(CR, LF, rest),
            };
            let Some(offset) = found else {
                return Ok(None);
            };
            at += offset;
            match octets.get(at) {
                Some(&CR) => {
                    self.after_cr = true;
                    at += 1;
                }
                Some(&LF) => {
                    return Err(Break {
                        at,
                        error: FramingError::BareLf,
                    });
                }
                Some(_) | None => {
                    return Err(Break {
                        at,
                        error: FramingError::Nul,
                    });
                }
            }
        }
    }
}

impl ContentLines {
    /// At the start of content.
    #[must_use]
    pub fn new(nul: Nul) -> Self {
        Self {
            ends: LineEnds {
                after_cr: false,
                nul,
            },
            at_line_start: true,
            dot_taken: false,
            disguise: None,
        }
    }

    /// The line that starts here had a dot in front, which is not content.
    pub fn dot_taken(&mut self) {
        self.dot_taken = true;
    }

    /// The index just after the first line end in `octets`, which continue those given before; `None` if
    /// the line goes on after them.
    ///
    /// # Errors
    /// The line breaks a framing rule. The rest must not be given.
    pub fn next(&mut self, octets: &[u8]) -> Result<Option<usize>, Break> {
        let mut at = 0;
        if self.at_line_start
            && let Some(&first) = octets.first()
        {
            self.at_line_start = false;
            let dot_taken = core::mem::take(&mut self.dot_taken);
            let suspect = first == NUL && self.ends.nul == Nul::Passed;
            self.disguise = suspect.then_some(Disguise { dot_taken, dots: 0 });
        }
        while let Some(disguise) = &mut self.disguise {
            match octets.get(at) {
                None => return Ok(None),
                Some(&CR) if disguise.is_lone_dot() => {
                    let error = FramingError::NulBesideDot;
                    return Err(Break { at, error });
                }
                Some(&octet) if disguise.goes_on_with(octet) => at += 1,
                Some(_) => self.disguise = None,
            }
        }
        let rest = octets.get(at..).unwrap_or_default();
        match self.ends.next(rest) {
            Ok(Some(end)) => {
                self.at_line_start = true;
                Ok(Some(at + end))
            }
            Ok(None) => Ok(None),
            Err(broken) => Err(Break {
                at: at + broken.at,
                ..broken
            }),
        }
    }

    /// Whether the octets so far end in CRLF, or there were none.
    #[must_use]
    pub fn is_at_line_start(&self) -> bool {
        self.at_line_start
    }

    /// Whether the octets so far end in a CR that still needs its LF.
    #[must_use]
    pub fn is_after_cr(&self) -> bool {
        self.ends.after_cr
    }
}

impl Disguise {
    /// Whether the line would be the end of data if its NULs were dropped: on the wire as it came, or on
    /// the wire as it will leave, where a dot was taken from its front.
    fn is_lone_dot(self) -> bool {
        self.dots == 1 || (self.dots == 0 && self.dot_taken)
    }

    fn goes_on_with(&mut self, octet: u8) -> bool {
        self.dots += u8::from(octet == b'.');
        matches!(octet, NUL | b'.') && self.dots < 2
    }
}

impl LineReader {
    /// A reader of lines of at most `max_octets`, their CRLF included.
    #[must_use]
    pub fn new(max_octets: usize) -> Self {
        Self {
            max_octets,
            ends: LineEnds::default(),
            scanned: 0,
            discarding: false,
        }
    }

    /// Lines may have so many octets from now on. Only between two lines, so that the outcome does not depend on how
    /// much of one has arrived.
    pub fn allow(&mut self, max_octets: usize) {
        self.max_octets = max_octets;
    }

    /// The next line without its CRLF; `None` until it is whole. Between calls octets may only be
    /// appended to `buffer`.
    ///
    /// # Errors
    /// [`LineError`]; after [`LineError::Framing`] the buffer must not be read again.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, LineError> {
        loop {
            // Never past the bound, so that the outcome does not depend on how much has arrived.
            let window = buffer.len().min(self.max_octets);
            let unseen = buffer.get(self.scanned..window).unwrap_or_default();
            match self.ends.next(unseen).map_err(|broken| broken.error)? {
                Some(end) => {
                    let mut line = buffer.split_to(self.scanned + end);
                    self.scanned = 0;
                    if core::mem::take(&mut self.discarding) {
                        forget(&mut line);
                        continue;
                    }
                    line.truncate(line.len().saturating_sub(CRLF.len()));
                    return Ok(Some(line));
                }
                None if window == self.max_octets => {
                    forget(buffer.get_mut(..window).unwrap_or_default());
                    buffer.advance(window);
                    self.scanned = 0;
                    if !core::mem::replace(&mut self.discarding, true) {
                        return Err(LineError::TooLong);
                    }
                }
                None => {
                    self.scanned = window;
                    return Ok(None);
                }
            }
        }
    }
}

/// Overwrites what a client said, because there may be a password in it.
pub(crate) fn forget(octets: &mut [u8]) {
    octets.fill(0);
    // Or a compiler that sees that nobody reads it any more leaves it out.
    core::hint::black_box(octets);
}

/// The end of a line.
pub const CRLF: &[u8] = b"\r\n";

const CR: u8 = b'\r';
const LF: u8 = b'\n';
const NUL: u8 = 0;

#[cfg(test)]
mod tests;
