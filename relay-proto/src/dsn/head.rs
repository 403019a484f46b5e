//! The header of the message that a notification is about, as far as it is quoted.
//!
//! A message need not have an empty line, or any header; what is quoted ends at the first line that no field is made of, so
//! that a text never passes for a header.

/// Collects the header of a message from its content, bounded: give it the content from the beginning, in any
/// pieces, until it has enough.
#[derive(Clone, Debug, Default)]
pub struct Head {
    octets: Vec<u8>,
    complete: bool,
}

impl Head {
    /// Nothing of it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next octets of the content; whether more are wanted.
    pub fn push(&mut self, content: &[u8]) -> bool {
        if self.complete {
            return false;
        }
        let room = MAX_OCTETS.saturating_sub(self.octets.len());
        // The end may begin in the octets from before.
        let seen = self.octets.len().saturating_sub(END.len() - 1);
        self.octets
            .extend_from_slice(content.get(..room).unwrap_or(content));
        let unseen = self.octets.get(seen..).unwrap_or_default();
        if let Some(at) = memchr::memmem::find(unseen, END) {
            self.octets.truncate(seen + at + 2);
            self.complete = true;
        } else if self.octets.len() >= MAX_OCTETS {
            self.complete = true;
        }
        !self.complete
    }

    /// Whether its sender would rather have it arrive without TLS than not at all: one field `TLS-Required: No` (RFC 8689
    /// section 3). Several of that name say nothing, whatever is in them.
    #[must_use]
    pub fn says_tls_is_optional(&self) -> bool {
        let lines = self.fields().split(|&octet| octet == b'\n');
        let mut values = lines.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let (name, value) = line.split_at_checked(colon)?;
            let named = name.trim_ascii_end().eq_ignore_ascii_case(b"tls-required");
            named.then(|| value.get(1..).unwrap_or_default().trim_ascii())
        });
        let first = values.next();
        first.is_some_and(|value| value.eq_ignore_ascii_case(b"no")) && values.next().is_none()
    }

    /// The fields, whole lines with their CRLF.
    pub(super) fn fields(&self) -> &[u8] {
        let mut end = 0;
        while let Some(rest) = self.octets.get(end..) {
            let Some(length) = memchr::memmem::find(rest, b"\r\n") else {
                break;
            };
            let line = rest.get(..length).unwrap_or_default();
            if !(is_field(line) || (end > 0 && is_continuation(line))) {
                break;
            }
            end += length + 2;
        }
        self.octets.get(..end).unwrap_or_default()
    }

    /// The message's own Message-ID with its brackets, if it has one that can be said again.
    pub(super) fn message_id(&self) -> Option<&str> {
        let fields = self.fields();
        let mut value = memchr::memmem::find_iter(fields, b"\r\n")
            .scan(0, |start, end| {
                let line = fields.get(*start..end);
                *start = end + 2;
                line
            })
            .filter_map(|line| core::str::from_utf8(line).ok())
            .skip_while(|line| !names_message_id(line))
            .take(2);
        let first = value.next()?.split_once(':')?.1.trim();
        // Many put the value on a line of its own.
        let id = if first.is_empty() {
            value.next()?.strip_prefix([' ', '\t'])?.trim()
        } else {
            first
        };
        let inside = id.strip_prefix('<')?.strip_suffix('>')?;
        let fits = |o: u8| o.is_ascii_graphic() && !b"<>()\\\"".contains(&o);
        (inside.len() <= MAX_ID_OCTETS && inside.contains('@') && inside.bytes().all(fits))
            .then_some(id)
    }
}

fn names_message_id(line: &str) -> bool {
    let name = line.split_once(':').map(|(name, _)| name.trim_end());
    name.is_some_and(|name| name.eq_ignore_ascii_case("message-id"))
}

/// RFC 5322 section 3.6.8, with the blanks before the colon of section 4.5.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else {
        return false;
    };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

const END: &[u8] = b"\r\n\r\n";
/// Of the header; what is beyond is not quoted.
const MAX_OCTETS: usize = 32 << 10;
const MAX_ID_OCTETS: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn quotes(content: &str, expected: &str) -> Head {
        let mut whole = Head::new();
        whole.push(content.as_bytes());
        assert_eq!(String::from_utf8_lossy(whole.fields()), expected);
        let mut pieces = Head::new();
        let wanted = content.bytes().take_while(|&o| pieces.push(&[o])).count();
        assert_eq!(pieces.fields(), whole.fields(), "octet by octet");
        assert!(wanted <= MAX_OCTETS);
        whole
    }

    #[test]
    fn a_header_ends_where_no_field_stands() {
        let header = "Subject: x\r\nX-Folded: a\r\n b\r\n\tc\r\nOld-Style : d\r\n";
        quotes(&format!("{header}\r\nBody: this\r\n"), header);
        // No empty line, and text that only looks like one to a careless reader.
        quotes(&format!("{header}Buy this now\r\nBody: x\r\n"), header);
        quotes("no header at all\r\n", "");
        quotes("\r\nBody: x\r\n\r\n", "");
        quotes(" Continuation: of nothing\r\n\r\n", "");
        quotes(": no name\r\n\r\n", "");
        quotes("two words: x\r\n\r\n", "");
        quotes("Subject: the end is missing", "");
        quotes("", "");
    }

    #[test]
    fn a_long_header_is_cut_between_lines() {
        let line = format!("X-Line: {}\r\n", "y".repeat(90));
        let mut head = Head::new();
        let content = line.repeat(1000);
        let enough = content
            .as_bytes()
            .chunks(1000)
            .position(|piece| !head.push(piece));
        assert_eq!(enough, Some(MAX_OCTETS / 1000));
        assert_eq!(head.fields().len(), MAX_OCTETS / line.len() * line.len());
    }

    #[test]
    fn a_message_id_is_found_or_is_none() {
        for (header, expected) in [
            (
                "Message-ID: <a.1@example.net>\r\n",
                Some("<a.1@example.net>"),
            ),
            ("A: b\r\nmessage-id :\r\n <a@b>\r\nC: d\r\n", Some("<a@b>")),
            ("Message-ID: <a@b> <c@d>\r\n", None),
            ("Message-ID: <a(\"@b>\r\n", None),
            ("Message-ID: <ä@b>\r\n", None),
            ("Message-ID: a@b\r\n", None),
            ("Message-ID:\r\nX: <a@b>\r\n", None),
            ("X-Message-ID: <a@b>\r\n", None),
        ] {
            let mut head = Head::new();
            head.push(header.as_bytes());
            assert_eq!(head.message_id(), expected, "{header}");
        }
    }

    #[test]
    fn one_field_makes_tls_optional() {
        for (header, expected) in [
            ("A: b\r\nTLS-Required: No\r\n\r\n", true),
            ("tls-required :nO \r\n\r\nx", true),
            ("TLS-Required: Yes\r\n\r\n", false),
            ("TLS-Required: No, really\r\n\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: Yes\r\n\r\n", false),
            ("X-TLS-Required: No\r\n\r\n", false),
            // Behind the header, or a part of another field.
            ("A: b\r\n\r\nTLS-Required: No\r\n", false),
            ("A: b\r\n TLS-Required: No\r\n\r\n", false),
            ("", false),
        ] {
            let mut head = Head::new();
            head.push(header.as_bytes());
            assert_eq!(head.says_tls_is_optional(), expected, "{header}");
        }
    }
}
