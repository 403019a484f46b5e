//! What is read of messages as they should be, as they should not be, and beyond every limit.

use std::fmt::Write as _;

use super::*;

mod properties;

fn parse(message: &str) -> Bounded {
    Bounded::parse(message.to_owned().into(), Limits::default())
}

/// Each part in a line: its depth, its type, and what it says.
fn shown(bounded: &Bounded) -> Vec<String> {
    let line = |part: &Part| {
        let text = part.octets().map_or_else(String::new, |octets| {
            format!(" {:?}", String::from_utf8_lossy(octets))
        });
        format!("{} {}{text}", part.depth, part.media)
    };
    bounded.parts.iter().map(line).collect()
}

#[test]
fn a_message_is_read_as_its_reader_sees_it() {
    let multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("no header", "\r\nhello\r\n".into(), &["0 text/plain \"hello\\r\\n\""]),
        ("nothing", String::new(), &["0 text/plain \"\""]),
        ("a header alone", "Subject: x\r\n".into(), &["0 text/plain \"\""]),
        (
            "two parts",
            format!("{multipart}before\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: TEXT/HTML\r\n\r\n<p>\r\n--b--\r\nafter\r\n"),
            &["0 multipart/mixed", "1 text/plain \"one\"", "1 text/html \"<p>\""],
        ),
        (
            "lines that end in LF alone",
            format!("{multipart}--b\r\n\r\none\r\n--b--\r\n").replace("\r\n", "\n"),
            &["0 multipart/mixed", "1 text/plain \"one\""],
        ),
        (
            "a file",
            "Content-Type: application/pdf\r\nContent-Transfer-Encoding: BASE64 (x)\r\n\r\naGVs\r\nbG8=\r\n".into(),
            &["0 application/pdf \"hello\""],
        ),
        (
            "a message in a message",
            "Content-Type: message/rfc822\r\n\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n<p>".into(),
            &["0 message/rfc822", "1 text/html \"<p>\""],
        ),
        (
            "an encoded message",
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nContent-Type: text/html\r\n\r\n=3Cp>".into(),
            &["0 message/rfc822", "1 text/html \"<p>\""],
        ),
        (
            "a digest",
            "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\nhi\r\n--b--".into(),
            &["0 multipart/digest", "1 message/rfc822", "2 text/plain \"hi\""],
        ),
        (
            "a multipart in a multipart with nearly its boundary",
            format!("{multipart}--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\nin\r\n--bb--\r\n--b\r\n\r\nout\r\n--b--\r\n"),
            &["0 multipart/mixed", "1 multipart/mixed", "2 text/plain \"in\"", "1 text/plain \"out\""],
        ),
        (
            "no empty line",
            format!("{multipart}--b\r\nContent-Type: text/html\r\n<p>one\r\n--b--\r\n"),
            &["0 multipart/mixed", "1 text/html \"<p>one\""],
        ),
        (
            "a message out of a mailbox",
            "From a@b.example Sat Jan  3 01:05:34 1996\nSubject: x\n\nhi\n".into(),
            &["0 text/plain \"hi\\n\""],
        ),
        (
            "an inner end that never comes",
            format!("{multipart}--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nin\r\n--b\r\n\r\nout\r\n--b--\r\n"),
            &["0 multipart/mixed", "1 multipart/mixed", "2 text/plain \"in\"", "1 text/plain \"out\""],
        ),
        (
            "no end at all",
            format!("{multipart}--b\r\n\r\none"),
            &["0 multipart/mixed", "1 text/plain \"one\""],
        ),
        (
            "no boundary",
            "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\none".into(),
            &["0 multipart/mixed \"--b\\r\\n\\r\\none\""],
        ),
        (
            "two types",
            "Content-Type: text/html\r\nContent-Type: image/png\r\n\r\n<p>".into(),
            &["0 text/html \"<p>\""],
        ),
        (
            "a type that is none",
            "Content-Type: ;;;\r\n\r\nx".into(),
            &["0 text/plain \"x\""],
        ),
        (
            "a boundary in the header",
            "Content-Type: multipart/mixed; boundary=b\r\nX: y\r\n --b\r\n\r\n--b\r\n\r\none\r\n--b--".into(),
            &["0 multipart/mixed", "1 text/plain \"one\""],
        ),
        (
            "a boundary in the header of a part",
            format!("{multipart}--b\r\nContent-Type: image/png\r\n--b\r\n\r\none\r\n--b--"),
            &["0 multipart/mixed", "1 image/png \"\"", "1 text/plain \"one\""],
        ),
    ];
    for (name, message, expected) in cases {
        let bounded = parse(&message);
        assert_eq!(shown(&bounded), expected, "{name}");
        assert_eq!(bounded.beyond, None, "{name}");
    }
}

#[test]
fn text_is_what_its_charset_makes_of_it() {
    for (charset, shown) in [
        ("ISO-8859-1", "naÃ¯ve"),
        ("\"utf-8\"", "naïve"),
        ("US-ASCII; x=\"(", "naÃ¯ve"),
        ("no-such-charset", "naïve"),
        ("", "naïve"),
        ("(a comment) utf-8", "naïve"),
    ] {
        let bounded = parse(&format!(
            "Content-Type: text/plain; charset={charset}\r\n\r\nnaïve"
        ));
        assert_eq!(bounded.parts[0].text().unwrap(), shown, "{charset}");
    }
    let pieces = "Content-Type: text/plain; charset*0=iso-; charset*1=8859-1\r\n\r\nnaïve";
    assert_eq!(parse(pieces).parts[0].text().unwrap(), "naÃ¯ve");
}

#[test]
fn what_lies_beyond_a_limit_is_left_out_and_named() {
    let small = Limits {
        header_octets: 100,
        parts: 5,
        depth: 3,
        decoded_octets: 10,
    };
    let mut nested = String::new();
    for level in 0..5 {
        write!(
            nested,
            "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"
        )
        .unwrap();
    }
    let many = |parts: usize| {
        let parts = "--b\r\n\r\nx\r\n".repeat(parts);
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n")
    };
    let base64 = "Content-Transfer-Encoding: base64\r\n\r\n";
    let cases = [
        (many(4), 5, None),
        (many(5), 5, Some(Unscannable::Parts(5))),
        (many(100_000), 5, Some(Unscannable::Parts(5))),
        (nested, 4, Some(Unscannable::Depth(3))),
        (
            "Content-Type: message/rfc822\r\n\r\n".repeat(50_000),
            4,
            Some(Unscannable::Depth(3)),
        ),
        (format!("{base64}{}", "QUFB".repeat(3)), 1, None),
        (
            format!("{base64}{}", "QUFB".repeat(4)),
            1,
            Some(Unscannable::Decoded(10)),
        ),
        (
            format!("X: {}\r\n\r\nx", "y".repeat(97)),
            1,
            Some(Unscannable::Header(100)),
        ),
        (
            "X: y\r\n".repeat(100_000),
            1,
            Some(Unscannable::Header(100)),
        ),
    ];
    for (message, parts, beyond) in cases {
        let bounded = Bounded::parse(message.clone().into(), small);
        let start: String = message.chars().take(60).collect();
        assert_eq!(bounded.parts.len(), parts, "{start}");
        assert_eq!(bounded.beyond, beyond, "{start}");
        assert_eq!(bounded.whole().err(), beyond, "{start}");
        let decoded = bounded.parts.iter().filter_map(Part::octets);
        assert!(beyond.is_none() || decoded.map(Bytes::len).sum::<usize>() <= message.len());
        assert!(bounded.parts.iter().all(|part| part.depth <= 3));
    }
}
