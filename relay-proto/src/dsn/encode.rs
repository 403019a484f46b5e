//! How what is not plain ASCII is written: quoted-printable, xtext, and addresses of RFC 6533.

use core::fmt::Write;

/// What `+XX` of xtext stands for (RFC 3461 section 4). The text has been checked when it was received; what is no
/// xtext all the same stays as it is.
pub(super) fn from_xtext(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('+') {
        decoded.push_str(before);
        let octet = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let octet = octet.filter(|octet| *octet == b' ' || octet.is_ascii_graphic());
        match (octet, after.get(2..)) {
            (Some(octet), Some(tail)) => {
                decoded.push(char::from(octet));
                rest = tail;
            }
            _ => {
                decoded.push('+');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// `utf-8-addr-xtext` of RFC 6533 section 3: an internationalised address in ASCII.
pub(super) fn to_ascii_address(address: &str) -> String {
    let mut encoded = String::with_capacity(address.len());
    for c in address.chars() {
        if c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=') {
            encoded.push(c);
        } else {
            let written = write!(encoded, "\\x{{{:02X}}}", u32::from(c));
            debug_assert!(written.is_ok(), "a String takes everything");
        }
    }
    encoded
}

/// Quoted-printable of RFC 2045 section 6.7. Lines of `octets` end in CRLF; so do those that come out, which have at
/// most 76 octets.
pub(super) fn quoted_printable(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() + octets.len() / 8);
    let mut lines = octets;
    while !lines.is_empty() {
        let end = memchr::memmem::find(lines, b"\r\n");
        let (line, rest) = match end {
            Some(end) => (lines.get(..end), lines.get(end + 2..)),
            None => (Some(lines), None),
        };
        quoted_line(&mut out, line.unwrap_or_default());
        out.push_str("\r\n");
        lines = rest.unwrap_or_default();
    }
    out
}

fn quoted_line(out: &mut String, line: &[u8]) {
    let mut column = 0;
    for (at, &octet) in line.iter().enumerate() {
        let is_last = at + 1 == line.len();
        let is_blank = octet == b' ' || octet == b'\t';
        let is_plain = (octet.is_ascii_graphic() && octet != b'=') || (is_blank && !is_last);
        let width = if is_plain { 1 } else { 3 };
        if column + width > SOFT_WIDTH {
            out.push_str("=\r\n");
            column = 0;
        }
        if is_plain {
            out.push(char::from(octet));
        } else {
            let written = write!(out, "={octet:02X}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
        column += width;
    }
}

/// Whether a character can stand in text for people: it neither ends a line for any reader (also not for those who
/// follow Unicode), nor turns the direction of what follows.
pub(super) fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// 76 with the `=` that ends a soft line.
const SOFT_WIDTH: usize = 75;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_decoded_and_nothing_unprintable_comes_out() {
        for (text, decoded) in [
            ("user+2Bx@example.org", "user+x@example.org"),
            ("a+20+3Db", "a =b"),
            ("QQ314159", "QQ314159"),
            ("+2B+2b", "++"),
            // Received before it was checked, or never: nothing is taken for what it is not.
            ("a+0Ab", "a+0Ab"),
            ("a+", "a+"),
            ("a+2", "a+2"),
            ("a+é0", "a+é0"),
        ] {
            assert_eq!(from_xtext(text), decoded, "{text}");
        }
    }

    #[test]
    fn addresses_beyond_ascii_are_said_in_ascii() {
        assert_eq!(
            to_ascii_address("grün+x@müller.example"),
            "gr\\x{FC}n\\x{2B}x@m\\x{FC}ller.example"
        );
        assert_eq!(to_ascii_address("用 \\@a"), "\\x{7528}\\x{20}\\x{5C}@a");
    }

    #[test]
    fn quoted_printable_has_short_lines_and_no_trailing_blanks() {
        assert_eq!(
            quoted_printable("ü=\t\r\n\r\nend ".as_bytes()),
            "=C3=BC=3D=09\r\n\r\nend=20\r\n"
        );
        let long = quoted_printable(&[b'x'; 200]);
        assert!(long.split("\r\n").all(|line| line.len() <= 76), "{long}");
        assert_eq!(long.replace("=\r\n", "").trim_end(), "x".repeat(200));
        assert_eq!(quoted_printable(b"a\r\n"), "a\r\n");
        assert_eq!(quoted_printable(b"bare\rcr"), "bare=0Dcr\r\n");
    }
}
