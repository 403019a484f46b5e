//! How many servers a message has passed: its `Received` fields (RFC 5321 section 6.3).

/// Counts them in content that arrives in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    count: u32,
    position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// In a header line that starts with so many octets of the name.
    Name(u8),
    /// In a header line that is something else.
    Elsewhere,
    /// After the empty line that ends the header.
    Body,
}

impl Default for Position {
    fn default() -> Self {
        Self::Name(0)
    }
}

impl Hops {
    /// The next octets of a line. Those of one line may come in several pieces; LF ends it.
    pub fn read(&mut self, octets: &[u8]) {
        for octet in octets {
            match self.position {
                Position::Body => return,
                // What follows tells nothing but where the line ends.
                Position::Elsewhere if octets.last() != Some(&b'\n') => return,
                Position::Elsewhere => {
                    self.position = Position::Name(0);
                    return;
                }
                Position::Name(matched) => self.position = self.after(matched, *octet),
            }
        }
    }

    /// How many there were so far.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether the header has ended.
    #[must_use]
    pub fn is_in_body(self) -> bool {
        self.position == Position::Body
    }

    fn after(&mut self, matched: u8, octet: u8) -> Position {
        match NAME.get(usize::from(matched)) {
            Some(expected) if octet.eq_ignore_ascii_case(expected) => Position::Name(matched + 1),
            Some(_) if matched == 0 && octet == b'\r' => Position::Name(0),
            Some(_) if matched == 0 && octet == b'\n' => Position::Body,
            // RFC 5322 section 4.5: space before the colon was allowed once.
            None if octet == b' ' || octet == b'\t' => Position::Name(matched),
            None if octet == b':' => {
                self.count = self.count.saturating_add(1);
                Position::Elsewhere
            }
            Some(_) | None if octet == b'\n' => Position::Name(0),
            Some(_) | None => Position::Elsewhere,
        }
    }
}

const NAME: &[u8] = b"received";

#[cfg(test)]
mod tests {
    use super::*;

    fn count(content: &[u8], step: usize) -> (u32, bool) {
        let mut hops = Hops::default();
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            line.chunks(step).for_each(|piece| hops.read(piece));
        }
        (hops.count(), hops.is_in_body())
    }

    #[test]
    fn received_fields_of_the_header_are_counted() {
        let cases: [(&[u8], (u32, bool)); 12] = [
            (
                b"Received: a\r\nreceived:b\r\nRECEIVED \t: c\r\n\r\n",
                (3, true),
            ),
            (
                b"Received: a\r\n by Received: b\r\n\tReceived:\r\n",
                (1, false),
            ),
            (b"Subject: x\r\n\r\nReceived: a\r\n", (0, true)),
            (b"\r\nReceived: a\r\n", (0, true)),
            (b"Received-SPF: pass\r\nX-Received: a\r\n", (0, false)),
            (b"Receive\r\nReceived\r\nReceived: a\r\n", (1, false)),
            (b"Received", (0, false)),
            (b"Received:", (1, false)),
            (b"", (0, false)),
            (b"\0Received: a\r\nReceived: b", (1, false)),
            (b"Received: a\r\n\r\nReceived: b\r\n\r\n", (1, true)),
            (b"x\r\n\r\n", (0, true)),
        ];
        for (content, expected) in cases {
            for step in 1..=content.len().max(1) {
                assert_eq!(count(content, step), expected, "{content:?} by {step}");
            }
        }
    }
}
