//! Octets, and the lines or errors that they are.

use super::*;

/// Reads `octets` in pieces of `step`; what comes out, as text.
fn read(octets: &[u8], step: usize) -> Vec<String> {
    let mut reader = LineReader::new(10);
    let mut buffer = BytesMut::new();
    let mut seen = Vec::new();
    for piece in octets.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.take(&mut buffer) {
                Ok(Some(line)) => seen.push(String::from_utf8_lossy(&line).into_owned()),
                Ok(None) => break,
                Err(LineError::TooLong) => seen.push("TooLong".to_owned()),
                Err(LineError::Framing(error)) => {
                    seen.push(error.to_string());
                    return seen;
                }
            }
        }
    }
    seen
}

/// The line ends of `octets`, in pieces of `step`, and what is wrong with them.
fn ends(octets: &[u8], dot_taken: bool, step: usize) -> (usize, Option<FramingError>) {
    let mut lines = ContentLines::new(Nul::Passed);
    if dot_taken {
        lines.dot_taken();
    }
    let mut found = 0;
    for piece in octets.chunks(step) {
        let mut rest = piece;
        loop {
            match lines.next(rest) {
                Ok(Some(end)) => (found, rest) = (found + 1, &rest[end..]),
                Ok(None) => break,
                Err(broken) => return (found, Some(broken.error)),
            }
        }
    }
    (found, None)
}

#[test]
fn nul_passes_in_content_but_not_beside_a_lone_dot() {
    use FramingError::{BareCr, BareLf, NulBesideDot};
    type Case<'a> = (&'a [u8], bool, (usize, Option<FramingError>));
    let cases: [Case<'_>; 17] = [
        (b"\0\r\n", false, (1, None)),
        (b"a\0b\r\n\0\0c\r\n", false, (2, None)),
        (b"\0.\r\n", false, (0, Some(NulBesideDot))),
        (b"\0\0.\0\r\n", false, (0, Some(NulBesideDot))),
        (b"a\r\n\0.\r\n", false, (1, Some(NulBesideDot))),
        (b"\0..\r\n", false, (1, None)),
        (b"\0.a\r\n", false, (1, None)),
        (b"a\0.\r\n", false, (1, None)),
        // The dot that is no content is the one that ends it.
        (b"\0\r\n", true, (0, Some(NulBesideDot))),
        (b"\0\0\r\n", true, (0, Some(NulBesideDot))),
        // It would leave as a lone dot.
        (b"\0.\r\n", true, (0, Some(NulBesideDot))),
        (b"\0..\r\n", true, (1, None)),
        (b"a\0\r\n\0\r\n", true, (2, None)),
        // Doubled on its way out.
        (b".\0\r\n", false, (1, None)),
        (b"\r\0\n", false, (0, Some(BareCr))),
        (b"\0\n", false, (0, Some(BareLf))),
        (b"\0\r\0\n", false, (0, Some(BareCr))),
    ];
    for (octets, dot_taken, expected) in cases {
        for step in 1..=octets.len() {
            let found = ends(octets, dot_taken, step);
            assert_eq!(found, expected, "{octets:?} {dot_taken} by {step}");
        }
    }
}

#[test]
fn a_line_ends_in_crlf_however_it_arrives() {
    let cases: [(&[u8], &[&str]); 12] = [
        (b"abc\r\n", &["abc"]),
        (b"\r\n\r\n", &["", ""]),
        (b"abc", &[]),
        (b"abc\r", &[]),
        (b"abc\ndef\r\n", &["bare LF"]),
        (b"abc\rdef\r\n", &["bare CR"]),
        (b"abc\r\r\n", &["bare CR"]),
        (b"a\0b\r\n", &["NUL"]),
        (b"12345678\r\nx\r\n", &["12345678", "x"]),
        (b"123456789\r\nx\r\n", &["TooLong", "x"]),
        (
            b"0123456789012345678901234567890\r\nx\r\n",
            &["TooLong", "x"],
        ),
        (b"0123456789012345\nx\r\n", &["TooLong", "bare LF"]),
    ];
    for (octets, expected) in cases {
        for step in 1..=octets.len() {
            assert_eq!(read(octets, step), expected, "{octets:?} by {step}");
        }
    }
}
