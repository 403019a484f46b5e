//! Finds the token in what a complaint comes as: the bare token, a message, a report with the message inside, or
//! somebody's answer with the message quoted.
//!
//! Whoever complains chooses the octets, and they are read on the relay's host: they are taken apart within the limits of
//! [`Bounded`].

use bytes::Bytes;

use crate::scan::mime::{Bounded, Limits};

/// The tokens in `octets`, each once, as they stand there.
#[must_use]
pub fn find(octets: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let text = String::from_utf8_lossy(octets);
    let bare = text.trim();
    if !bare.is_empty() && bare.chars().all(is_token) {
        return vec![bare.to_owned()];
    }
    in_text(&text, &mut found);
    if found.is_empty() {
        // What is encoded whole (an attached message in base64) has no field that could be seen from outside.
        in_parts(octets, &mut found);
    }
    found
}

fn in_parts(octets: &[u8], found: &mut Vec<String>) {
    let bounded = Bounded::parse(Bytes::copy_from_slice(octets), Limits::default());
    for part in &bounded.parts {
        in_text(&String::from_utf8_lossy(&part.header), found);
        if let Some(text) = part.text() {
            in_text(&text, found);
        } else if let Some(octets) = part.octets() {
            in_text(&String::from_utf8_lossy(octets), found);
        }
    }
}

fn in_text(text: &str, found: &mut Vec<String>) {
    // ASCII alone is changed, so places stay places.
    let lower = text.to_ascii_lowercase();
    for (start, name) in lower.match_indices(NAME) {
        let Some(rest) = text.get(start + name.len()..) else {
            continue;
        };
        let token = read(rest);
        if token.len() >= TOKEN_CHARS_MIN && !found.contains(&token) {
            found.push(token);
        }
    }
}

/// The token at the beginning of `text`, whose first octet says how long it is. Folding, quoting (`> `) and the soft
/// line breaks of quoted-printable do not belong to it.
fn read(text: &str) -> String {
    let mut token = String::new();
    let mut chars = text.chars().take(TEXT_CHARS_MAX).peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if is_token(c) => token.push(c),
            ' ' | '\t' | '\r' | '\n' | '>' => {}
            // RFC 2045 section 6.7.
            '=' if matches!(chars.peek(), Some('\r' | '\n')) => {}
            _ => break,
        }
        if chars_of(&token) == Some(token.len()) {
            break;
        }
    }
    token
}

/// How many characters the token has that begins so.
fn chars_of(token: &str) -> Option<usize> {
    let first = token.get(..2)?;
    // Two characters hold twelve bits, of which the first eight count.
    let value = |c: u8| ALPHABET.iter().position(|&known| known == c);
    let (high, low) = (value(first.as_bytes()[0])?, value(first.as_bytes()[1])?);
    let octets = 1 + ((high << 2) | (low >> 4));
    Some((octets * 8).div_ceil(6))
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_".contains(c)
}

/// In lower case.
const NAME: &str = "x-outgate-token:";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// A key's id, a nonce and a tag have more.
const TOKEN_CHARS_MIN: usize = 40;
/// A token has at most 342, whatever stands between.
const TEXT_CHARS_MAX: usize = 2000;

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD};

    use super::*;

    fn token() -> String {
        let mut octets: Vec<u8> = (0..80).map(|octet: u8| octet.wrapping_mul(37)).collect();
        octets[0] = 79;
        BASE64URL_NOPAD.encode(&octets)
    }

    #[track_caller]
    fn finds(text: &str) {
        assert_eq!(find(text.as_bytes()), [token()], "{text}");
    }

    #[test]
    fn a_token_is_found_wherever_it_stands() {
        let token = token();
        let (one, two) = token.split_at(60);
        finds(&token);
        finds(&format!("  {token}\n"));
        let message = format!(
            "Received: from x\r\nX-Outgate-Token: {one}\r\n {two}\r\nX-Outgate-Id: 1\r\nSubject: x\r\n\r\nx\r\n"
        );
        finds(&message);
        finds(&message.replace("X-Outgate-Token", "x-OUTGATE-token"));
        let quoted: String = message.lines().map(|line| format!("> {line}\n")).collect();
        finds(&format!(
            "Hello abuse desk,\n\n{quoted}\nThat was not nice.\n"
        ));
        finds(&format!("X-Outgate-Token: {one}=\r\n{two} and more text"));
        let report = format!(
            "From: fbl@example.org\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
             --b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\n{message}\r\n--b--\r\n"
        );
        finds(&report);
        let encoded = format!(
            "From: x@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: application/octet-stream; name=mail.eml\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
            BASE64.encode(message.as_bytes())
        );
        finds(&encoded);
        // No attached message may be encoded (RFC 2046 section 5.2.1), and some are all the same.
        finds(&encoded.replace("application/octet-stream; name=mail.eml", "message/rfc822"));
        let html = format!("<p>{}</p>", message.replace('=', "=3D"));
        let quoted_printable = format!(
            "From: x@example.org\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}",
            html.replace("X-Outgate", "X=2DOutgate")
        );
        finds(&quoted_printable);
    }

    #[test]
    fn a_complaint_that_is_nested_without_end_costs_no_more_than_its_octets() {
        // Each level of a parser that calls itself would take some of a thread's stack.
        let header = "Content-Type: message/rfc822\r\n\r\n";
        let nested = header.repeat((4 << 20) / header.len());
        assert!(find(nested.as_bytes()).is_empty());
        let mut boundaries = String::new();
        for level in 0..20_000 {
            boundaries +=
                &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
        }
        assert!(find(boundaries.as_bytes()).is_empty());
        // What stands in the open is found however deep it is.
        let token = token();
        finds(&format!("{nested}X-Outgate-Token: {token}\r\n\r\nx\r\n"));
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        for text in [
            "",
            "Subject: x\r\n\r\nX-Outgate-Token",
            "X-Outgate-Token:",
            "X-Outgate-Token: AAAA",
            "x-outgate-token: äöü",
        ] {
            assert!(find(text.as_bytes()).is_empty(), "{text}");
        }
        let octets: Vec<u8> = (0..=255).cycle().take(5000).collect();
        assert!(find(&octets).is_empty());
    }
}
