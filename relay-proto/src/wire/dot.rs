//! The transparency of content: leading dots and the end of data (RFC 5321 section 4.5.2).
//!
//! [`Decoder`] and [`Encoder`] work on pieces cut anywhere. `CRLF . CRLF` ends the content and nothing
//! else does; what a line end is, [`super::line`] decides. Nothing here holds a line whole: how long one
//! may be is for the session to say.

use bytes::{Buf as _, Bytes, BytesMut};

use super::line::{CRLF, ContentLines, FramingError, Nul};

/// Takes the dots out again and finds the end of data.
#[derive(Debug)]
pub struct Decoder {
    position: Position,
    lines: ContentLines,
    broken: Option<FramingError>,
}

/// What a [`Decoder`] found next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Content, at most [`MAX_PIECE_OCTETS`], never empty.
    Content(Bytes),
    /// The end of data, which is not content.
    End,
}

/// Finds the end of data behind a framing error: the literal `CRLF . CRLF`, which is an end for every reader.
#[derive(Debug, Default)]
pub struct EndFinder {
    matched: usize,
}

/// Puts the dots in and ends the data.
#[derive(Debug)]
pub struct Encoder {
    lines: ContentLines,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    /// The command line before the content counts as one: a lone `. CRLF` is an empty message.
    #[default]
    LineStart,
    Text,
    /// After a dot at the start of a line.
    Dot,
    /// After that dot and a CR.
    DotCr,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Nul::Passed)
    }
}

impl Decoder {
    /// A decoder that passes or refuses NUL.
    #[must_use]
    pub fn new(nul: Nul) -> Self {
        Self {
            position: Position::LineStart,
            lines: ContentLines::new(nul),
            broken: None,
        }
    }

    /// Takes what it can off the front of `input`; `None` = more is needed. After [`Decoded::End`]
    /// what is left in `input` is no content.
    ///
    /// # Errors
    /// The content broke a framing rule; `input` then starts with the first octet that is wrong, and
    /// the decoder must not be used again.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Decoded>, FramingError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        // So many octets at the front of `input` are content and lie in one piece.
        let mut run = 0;
        while run < MAX_PIECE_OCTETS {
            let rest = input.get(run..).unwrap_or_default();
            let Some(&first) = rest.first() else { break };
            match self.position {
                Position::LineStart if first == b'.' => {
                    if run > 0 {
                        break;
                    }
                    input.advance(1);
                    self.position = Position::Dot;
                }
                Position::Dot if first == b'\r' => {
                    self.lines.next(&[first]).map_err(|broken| broken.error)?;
                    input.advance(1);
                    self.position = Position::DotCr;
                }
                Position::LineStart => self.position = Position::Text,
                Position::Dot => {
                    self.lines.dot_taken();
                    self.position = Position::Text;
                }
                Position::DotCr => {
                    self.lines.next(&[first]).map_err(|broken| broken.error)?;
                    input.advance(1);
                    self.position = Position::LineStart;
                    return Ok(Some(Decoded::End));
                }
                Position::Text => {
                    let bounded = rest.get(..MAX_PIECE_OCTETS - run).unwrap_or(rest);
                    match self.lines.next(bounded) {
                        Ok(Some(end)) => {
                            run += end;
                            self.position = Position::LineStart;
                        }
                        Ok(None) => run += bounded.len(),
                        Err(broken) => {
                            run += broken.at;
                            self.broken = Some(broken.error);
                            break;
                        }
                    }
                }
            }
        }
        if run > 0 {
            return Ok(Some(Decoded::Content(input.split_to(run).freeze())));
        }
        self.broken.take().map_or(Ok(None), Err)
    }
}

impl EndFinder {
    /// The index just after the end of data in `octets`, which continue those given before.
    pub fn find(&mut self, octets: &[u8]) -> Option<usize> {
        for (index, &octet) in octets.iter().enumerate() {
            self.matched = if END.get(self.matched) == Some(&octet) {
                self.matched + 1
            } else {
                usize::from(END.first() == Some(&octet))
            };
            if self.matched == END.len() {
                self.matched = 0;
                return Some(index + 1);
            }
        }
        None
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            lines: ContentLines::new(Nul::Passed),
        }
    }
}

impl Encoder {
    /// Appends `content` to `out`, with a dot before each leading dot.
    ///
    /// # Errors
    /// The content breaks a framing rule; the end of data must not be sent.
    pub fn encode(&mut self, content: &[u8], out: &mut BytesMut) -> Result<(), FramingError> {
        let mut rest = content;
        while let Some(first) = rest.first() {
            if self.lines.is_at_line_start() && *first == b'.' {
                out.extend_from_slice(b".");
            }
            let end = self.lines.next(rest).map_err(|broken| broken.error)?;
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            out.extend_from_slice(line);
            rest = after;
        }
        Ok(())
    }

    /// Appends the end of data, after a CRLF if the content lacks its last one.
    ///
    /// # Errors
    /// The content ends in a bare CR, or its last line breaks a rule.
    pub fn finish(mut self, out: &mut BytesMut) -> Result<(), FramingError> {
        if !self.lines.is_at_line_start() {
            self.lines.next(CRLF).map_err(|broken| broken.error)?;
            out.extend_from_slice(CRLF);
        }
        out.extend_from_slice(b".\r\n");
        Ok(())
    }
}

/// Bound on one piece of content.
pub const MAX_PIECE_OCTETS: usize = 64 * 1024;

const END: &[u8] = b"\r\n.\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(wire: &[u8], step: usize) -> (Vec<u8>, Result<bool, FramingError>) {
        let mut decoder = Decoder::default();
        let mut input = BytesMut::new();
        let mut content = Vec::new();
        for piece in wire.chunks(step) {
            input.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut input) {
                    Ok(Some(Decoded::Content(piece))) => content.extend_from_slice(&piece),
                    Ok(Some(Decoded::End)) => return (content, Ok(true)),
                    Ok(None) => break,
                    Err(error) => return (content, Err(error)),
                }
            }
        }
        (content, Ok(false))
    }

    #[test]
    fn dots_are_taken_out_and_only_crlf_dot_crlf_ends() {
        use FramingError::{BareCr, BareLf, NulBesideDot};
        type Case<'a> = (&'a [u8], &'a [u8], Result<bool, FramingError>);
        let cases: [Case<'_>; 16] = [
            (b".\r\n", b"", Ok(true)),
            (b"a\r\n.\r\n", b"a\r\n", Ok(true)),
            (b"..\r\n.\r\n", b".\r\n", Ok(true)),
            (b".a\r\n...b\r\n.\r\n", b"a\r\n..b\r\n", Ok(true)),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n", Ok(true)),
            (b"a.\r\n.\r\n", b"a.\r\n", Ok(true)),
            (b"a\r\n.", b"a\r\n", Ok(false)),
            (b"a\r\n.\r", b"a\r\n", Ok(false)),
            (b"a\n.\n", b"a", Err(BareLf)),
            (b"a\r.\r", b"a\r", Err(BareCr)),
            (b"a\r\n.\n", b"a\r\n", Err(BareLf)),
            (b"a\r\n.\r.", b"a\r\n", Err(BareCr)),
            (b"a\r\n.\r\r\n", b"a\r\n", Err(BareCr)),
            (b"a\r\n.\0\r\n", b"a\r\n\0", Err(NulBesideDot)),
            (b"a\r\n\0.\r\n", b"a\r\n\0.", Err(NulBesideDot)),
            (b"a\0\r\n\0\r\n.\r\n", b"a\0\r\n\0\r\n", Ok(true)),
        ];
        for (wire, content, outcome) in cases {
            for step in 1..=wire.len() {
                let expected = (content.to_vec(), outcome);
                assert_eq!(decode(wire, step), expected, "{wire:?} by {step}");
            }
        }
    }

    #[test]
    fn pieces_of_content_are_bounded() {
        let mut wire = vec![b'x'; 3 * MAX_PIECE_OCTETS];
        wire.extend_from_slice(END);
        let mut input = BytesMut::from(wire.as_slice());
        let mut decoder = Decoder::default();
        let mut lengths = Vec::new();
        while let Ok(Some(Decoded::Content(piece))) = decoder.decode(&mut input) {
            lengths.push(piece.len());
        }
        assert_eq!(
            lengths,
            [MAX_PIECE_OCTETS, MAX_PIECE_OCTETS, MAX_PIECE_OCTETS, 2]
        );
    }

    #[test]
    fn the_end_is_sent_once_whatever_the_content_ends_in() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
        ];
        for (content, wire) in cases {
            let mut encoder = Encoder::default();
            let mut out = BytesMut::new();
            for octet in content {
                encoder.encode(&[*octet], &mut out).unwrap();
            }
            encoder.finish(&mut out).unwrap();
            assert_eq!(out, wire, "{content:?}");
        }
    }

    #[test]
    fn content_that_breaks_the_rules_is_never_ended() {
        let mut out = BytesMut::new();
        assert_eq!(
            Encoder::default().encode(b"a\nb", &mut out),
            Err(FramingError::BareLf)
        );
        let mut encoder = Encoder::default();
        encoder.encode(b"a\r", &mut out).unwrap();
        assert_eq!(encoder.finish(&mut out), Err(FramingError::BareCr));
        let mut encoder = Encoder::default();
        encoder.encode(b"\0.", &mut out).unwrap();
        assert_eq!(encoder.finish(&mut out), Err(FramingError::NulBesideDot));
    }

    #[test]
    fn the_end_behind_an_error_is_found_in_any_pieces() {
        let cases: [(&[u8], Option<usize>); 6] = [
            (b"x\r\n.\r\nrest", Some(6)),
            (b"\r\r\n.\r\n", Some(6)),
            (b"\r\n.\r\r\n.\r\n", Some(9)),
            (b"\r\n.\n.\r\n", None),
            (b"\n.\r\n", None),
            (b"\r\n\r\n.\r\n", Some(7)),
        ];
        for (octets, end) in cases {
            assert_eq!(EndFinder::default().find(octets), end, "{octets:?}");
            let mut finder = EndFinder::default();
            let by_octet = octets.iter().position(|o| finder.find(&[*o]).is_some());
            assert_eq!(by_octet.map(|at| at + 1), end, "{octets:?}");
        }
    }
}
