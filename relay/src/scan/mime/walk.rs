//! The passage over a message's lines that finds its parts.
//!
//! Where a line ends is told by LF alone: what came by SMTP has no other, and files are read, too.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::fields::{Description, Encoding, is_continuation, is_field, trim_line_end};
use super::transfer::{self, Decoded};
use super::{Body, Bounded, Limits, Part, Unscannable};

/// The parts of `content`.
pub(super) fn walk(content: Bytes, limits: Limits) -> Bounded {
    let mut walk = Walk {
        limits,
        decodable_octets: limits.decoded_octets,
        encoded: VecDeque::new(),
        full: false,
        bounded: Bounded {
            parts: Vec::new(),
            beyond: None,
        },
    };
    walk.read(content, None);
    while let Some((container, content)) = walk.encoded.pop_front() {
        walk.read(content, Some(container));
    }
    walk.bounded
}

struct Walk {
    limits: Limits,
    /// What may still be decoded.
    decodable_octets: usize,
    /// Messages that stood encoded in a part, with that part.
    encoded: VecDeque<(usize, Bytes)>,
    /// There was one part too many.
    full: bool,
    bounded: Bounded,
}

/// What is read at once: the message, or one that stood encoded in it.
struct Reading {
    content: Bytes,
    /// Multiparts whose end has not been seen, the innermost last.
    open: Vec<Open>,
}

struct Open {
    boundary: String,
    part: usize,
}

/// What the next line belongs to.
#[derive(Clone, Copy)]
enum Place {
    /// A header section.
    Header {
        start: usize,
        container: Option<usize>,
    },
    /// The body of a part that contains no other.
    Leaf {
        start: usize,
        part: usize,
        encoding: Encoding,
    },
    /// What stands before the first part of a multipart or behind its last, which nobody is shown.
    Between,
}

impl Walk {
    fn read(&mut self, content: Bytes, container: Option<usize>) {
        let mut reading = Reading {
            content: content.clone(),
            open: Vec::new(),
        };
        let start = 0;
        let mut place = Place::Header { start, container };
        let mut line_start = 0;
        while line_start < content.len() && !self.full {
            let rest = &content[line_start..];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let (line, next) = (trim_line_end(&rest[..length]), line_start + length);
            if let Some((index, is_last)) = reading.delimiter(line) {
                self.end(&mut reading, place, before_delimiter(&content, line_start));
                // Multiparts inside whose own end never came end here, too.
                reading.open.truncate(index + 1);
                place = reading.behind_delimiter(is_last, next);
            } else if let Place::Header { start, container } = place {
                let is_first = line_start == start;
                let from_mbox = is_first && line.starts_with(b"From ");
                let continues = !is_first && is_continuation(line);
                if line.is_empty() {
                    place = self.begin(&mut reading, start..line_start, next, container);
                } else if !(from_mbox || continues || is_field(line)) {
                    // What its author forgot to part from the header is shown all the same.
                    place = self.begin(&mut reading, start..line_start, line_start, container);
                }
            }
            line_start = next;
        }
        self.end(&mut reading, place, content.len());
    }

    /// A header section has ended, and the body stands behind it.
    fn begin(
        &mut self,
        reading: &mut Reading,
        section: Range<usize>,
        body: usize,
        container: Option<usize>,
    ) -> Place {
        if self.full || self.bounded.parts.len() >= self.limits.parts {
            self.full = true;
            self.leave_out(Unscannable::Parts(self.limits.parts));
            return Place::Between;
        }
        let mut header = reading.content.slice(section);
        if header.len() > self.limits.header_octets {
            self.leave_out(Unscannable::Header(self.limits.header_octets));
            header.truncate(self.limits.header_octets);
        }
        let description = Description::read(&header);
        let around = container.and_then(|container| self.bounded.parts.get(container));
        let depth = around.map_or(0, |around| around.depth + 1);
        let in_digest = around.is_some_and(|around| around.media == "multipart/digest");
        let untyped = if in_digest { MESSAGES[0] } else { "text/plain" };
        let part = self.bounded.parts.len();
        let mut described = Part {
            depth,
            header,
            media: description.media.unwrap_or_else(|| untyped.to_owned()),
            charset: description.charset,
            body: Body::Other(Bytes::new()),
        };
        let mut place = Place::Leaf {
            start: body,
            part,
            encoding: description.encoding,
        };
        let is_multipart = described.media.starts_with("multipart/");
        let is_message = MESSAGES.contains(&&*described.media);
        if depth >= self.limits.depth {
            if is_multipart || is_message {
                self.leave_out(Unscannable::Depth(self.limits.depth));
            }
        } else if is_multipart {
            if let Some(boundary) = description.boundary {
                described.body = Body::Multipart;
                reading.open.push(Open { boundary, part });
                place = Place::Between;
            }
        } else if is_message && description.encoding == Encoding::Identity {
            described.body = Body::Message;
            place = Place::Header {
                start: body,
                container: Some(part),
            };
        }
        self.bounded.parts.push(described);
        place
    }

    /// What was read last goes until there.
    fn end(&mut self, reading: &mut Reading, mut place: Place, until: usize) {
        while let Place::Header { start, container } = place {
            let until = until.max(start);
            place = self.begin(reading, start..until, until, container);
        }
        let Place::Leaf {
            start,
            part,
            encoding,
        } = place
        else {
            return;
        };
        let octets = reading.content.slice(start..until.max(start));
        let octets = self.decode(octets, encoding);
        let is_encoded = encoding != Encoding::Identity;
        let index = part;
        let Some(part) = self.bounded.parts.get_mut(index) else {
            return;
        };
        part.body = match &*part.media {
            "text/html" => Body::Html(octets),
            text if text.starts_with("text/") => Body::Text(octets),
            message
                if MESSAGES.contains(&message) && is_encoded && part.depth < self.limits.depth =>
            {
                self.encoded.push_back((index, octets));
                Body::Message
            }
            _ => Body::Other(octets),
        };
    }

    fn decode(&mut self, octets: Bytes, encoding: Encoding) -> Bytes {
        let decode = match encoding {
            Encoding::Identity => return octets,
            Encoding::Base64 => transfer::base64,
            Encoding::QuotedPrintable => transfer::quoted_printable,
        };
        let Decoded { octets, cut } = decode(&octets, self.decodable_octets);
        self.decodable_octets = self.decodable_octets.saturating_sub(octets.len());
        if cut {
            self.leave_out(Unscannable::Decoded(self.limits.decoded_octets));
        }
        octets.into()
    }

    fn leave_out(&mut self, why: Unscannable) {
        self.bounded.beyond.get_or_insert(why);
    }
}

impl Reading {
    /// Which multipart's delimiter the line is, and whether its last. Whatever follows the boundary in the line is nobody's
    /// (RFC 2046 section 5.1.1), so of several that fit the longest is meant.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?;
        let fits = |open: &Open| line.starts_with(open.boundary.as_bytes());
        let (index, open) = self
            .open
            .iter()
            .enumerate()
            .filter(|(_, open)| fits(open))
            .max_by_key(|(_, open)| open.boundary.len())?;
        let rest = line.get(open.boundary.len()..)?;
        Some((index, rest.starts_with(b"--")))
    }

    /// Where a reader stands behind a delimiter of the innermost multipart.
    fn behind_delimiter(&mut self, is_last: bool, start: usize) -> Place {
        if is_last {
            self.open.pop();
            return Place::Between;
        }
        Place::Header {
            start,
            container: self.open.last().map(|open| open.part),
        }
    }
}

/// The line end before a delimiter belongs to it (RFC 2046 section 5.1.1).
fn before_delimiter(content: &[u8], line_start: usize) -> usize {
    trim_line_end(&content[..line_start]).len()
}

/// Types that contain a message.
const MESSAGES: [&str; 2] = ["message/rfc822", "message/global"];
