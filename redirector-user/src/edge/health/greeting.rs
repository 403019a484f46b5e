//! A server's greeting, read as it arrives.

use super::ProbeError;

/// Lines of a greeting so far (RFC 5321 section 4.2).
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    /// The line that is not at its end yet.
    line: Vec<u8>,
    /// Octets of all of them.
    octets: usize,
}

impl Greeting {
    /// Reads on; `None` = it is not at its end.
    pub(crate) fn read(&mut self, octets: &[u8]) -> Option<Result<(), ProbeError>> {
        for octet in octets {
            self.line.push(*octet);
            self.octets += 1;
            let at_end = *octet == b'\n';
            match self.line.as_slice() {
                [b'2', b'2', b'0', b'-', ..] if at_end => self.line.clear(),
                [b'2', b'2', b'0', b' ' | b'\r' | b'\n', ..] if at_end => return Some(Ok(())),
                _ if at_end || self.octets >= MAX_OCTETS => {
                    return Some(Err(ProbeError::Greeting(self.shown())));
                }
                _ => {}
            }
        }
        None
    }

    fn shown(&self) -> String {
        let line = self.line.trim_ascii_end();
        String::from_utf8_lossy(&line[..line.len().min(SHOWN_MAX_OCTETS)]).into_owned()
    }
}

/// As much of a wrong greeting as anybody needs to see.
const SHOWN_MAX_OCTETS: usize = 200;
/// A greeting longer than this is none.
const MAX_OCTETS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it whole, and octet by octet.
    #[track_caller]
    fn read(text: &[u8]) -> Option<Result<(), String>> {
        let words = |end: Result<(), ProbeError>| end.map_err(|error| error.to_string());
        let whole = Greeting::default().read(text).map(words);
        let mut slowly = Greeting::default();
        let piecemeal = text.iter().find_map(|octet| slowly.read(&[*octet]));
        assert_eq!(piecemeal.map(words), whole);
        whole
    }

    #[test]
    fn a_greeting_ends_with_its_last_line() {
        assert_eq!(read(b"220 relay-1 ESMTP\r\n"), Some(Ok(())));
        assert_eq!(read(b"220\r\n"), Some(Ok(())));
        assert_eq!(read(b"220-one\r\n220 two\r\n"), Some(Ok(())));
        assert_eq!(read(b"220-one\r\n220 tw"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn anything_else_is_shown() {
        let greeted = |line: &str| Some(Err(format!("greeted with {line:?} instead of 220")));
        assert_eq!(
            read(b"421 4.3.2 later\r\n220 no\r\n"),
            greeted("421 4.3.2 later")
        );
        assert_eq!(read(b"220-one\r\n554 two\r\n"), greeted("554 two"));
        assert_eq!(read(b"2200 \r\n"), greeted("2200"));
        assert_eq!(read(&[b'x'; 5000]), greeted(&"x".repeat(200)));
        assert_eq!(read(&b"220-a\r\n".repeat(1000)), greeted("2"));
    }
}
