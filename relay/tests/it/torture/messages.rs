//! What no honest program writes: a list for all who must bear it.

use std::fmt::Write as _;

/// What somebody finds who sends it to see a refusal.
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
/// Just within what is decoded at all.
const OCTETS: usize = 1_000_000;

/// What becomes of a message where `unscannable = "reject"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It could be looked at whole.
    Whole,
    /// It could not.
    Unscannable,
    /// Something was found in it all the same.
    Found,
}

/// Each with its name. All have an encoding somewhere, without which nothing is decoded.
pub(crate) fn messages() -> Vec<(&'static str, Vec<u8>, Judged)> {
    use Judged::{Found, Unscannable, Whole};
    let fill = |piece: &str| piece.repeat(OCTETS / piece.len());
    let encoded = "Content-Transfer-Encoding: base64\r\n";
    let multipart = "Content-Type: multipart/mixed; boundary=b\r\n";
    let mut nested = encoded.to_owned();
    for level in 0..10_000 {
        write!(
            nested,
            "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"
        )
        .unwrap();
    }
    let mut continued = format!("{encoded}Content-Type: text/plain; x=y");
    for number in 0..10_000 {
        write!(continued, ";\r\n name*{number}*=%41%42").unwrap();
    }
    let mut renamed = format!("{encoded}Content-Type: text/plain");
    for number in 0..10_000 {
        write!(renamed, ";\r\n a{number}=b").unwrap();
    }
    let mut pieces = GTUBE.as_bytes().to_vec();
    pieces.extend(b"\0\xff\xfe".repeat(1000));
    let strange = data_encoding::BASE64
        .encode(GTUBE.as_bytes())
        .replace('J', "J*\u{1}");
    let mut eight_bit = b"Subject: \xc3\x28\xa0\xff\r\nX\xe4: y\r\n".to_vec();
    eight_bit.extend(encoded.as_bytes());
    eight_bit.extend(b"\r\naGVsbG8=\r\n");
    let text = |text: String| text.into_bytes();
    vec![
        (
            "ten thousand multiparts in each other",
            text(nested),
            Unscannable,
        ),
        (
            "a chain of messages that is no base64",
            text(
                format!("{encoded}\r\n").replace("\r\n\r\n", "\r\n")
                    + &fill("Content-Type: message/rfc822\r\n\r\n"),
            ),
            Whole,
        ),
        (
            "a chain of messages that is decoded",
            text(format!("X: {encoded}") + &fill("Content-Type: message/rfc822\r\n\r\n")),
            Unscannable,
        ),
        (
            "a hundred thousand parts",
            text(format!(
                "{encoded}{multipart}\r\n{}",
                fill("--b\r\n\r\n\r\n")
            )),
            Unscannable,
        ),
        (
            "multiparts without an end, side by side",
            text(format!(
                "{encoded}{multipart}\r\n{}",
                fill("--b\r\nContent-Type: multipart/mixed; boundary=never\r\n\r\n")
            )),
            Unscannable,
        ),
        (
            "one boundary for all",
            text(format!(
                "{encoded}{}",
                fill("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n")
            )),
            Unscannable,
        ),
        (
            "lines of hyphens",
            text(format!(
                "{encoded}{multipart}\r\n--b\r\n\r\n{}",
                fill("--\r\n")
            )),
            Whole,
        ),
        (
            "one field of a megabyte",
            text(format!("{encoded}X: {}\r\n\r\nx", fill("y"))),
            Unscannable,
        ),
        (
            "a field in a hundred thousand lines",
            text(format!("{encoded}X: y{}\r\n\r\nx", fill("\r\n y"))),
            Unscannable,
        ),
        (
            "a hundred thousand fields",
            text(format!("{encoded}{}\r\nx", fill("X: y\r\n"))),
            Unscannable,
        ),
        (
            "a name in ten thousand pieces",
            text(continued + "\r\n\r\naGVsbG8=\r\n"),
            Whole,
        ),
        (
            "ten thousand parameters",
            text(renamed + "\r\n\r\naGVsbG8=\r\n"),
            Whole,
        ),
        (
            "a comment without an end",
            text(format!(
                "{encoded}Content-Type: text/plain {}\r\n\r\nx",
                fill("(").get(..2000).unwrap()
            )),
            Whole,
        ),
        (
            "a quotation without an end",
            text(format!(
                "{encoded}Content-Type: text/plain; a=\"{}\r\n\r\nx",
                "\\".repeat(2000)
            )),
            Whole,
        ),
        (
            "nothing but NUL",
            [encoded.as_bytes(), b"\r\n", &[0; 100_000]].concat(),
            Whole,
        ),
        ("octets in the header that no charset has", eight_bit, Whole),
        (
            "a charset that lies",
            text(format!(
                "Content-Type: text/plain; charset=utf-16\r\n{encoded}\r\n{}",
                fill("aGVs")
            )),
            Whole,
        ),
        (
            "a charset that does not exist",
            text(format!(
                "Content-Type: text/plain; charset={}\r\n{encoded}\r\naGVs",
                "x".repeat(3000)
            )),
            Whole,
        ),
        (
            "strange octets between those of the pattern",
            text(format!("{encoded}\r\n{strange}\r\n")),
            Found,
        ),
        (
            "the pattern, and too many parts",
            text(format!(
                "{encoded}{multipart}\r\n--b\r\n{encoded}\r\n{strange}\r\n{}",
                fill("--b\r\n\r\n\r\n")
            )),
            Found,
        ),
        (
            "an equals sign that means nothing",
            text(format!(
                "Content-Transfer-Encoding: quoted-printable\r\n\r\n{}{}\r\n",
                fill("=").get(..100_000).unwrap(),
                GTUBE.replace('-', "=2D")
            )),
            Found,
        ),
    ]
}
