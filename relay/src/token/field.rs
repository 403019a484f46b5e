//! Finds the token in what a complaint comes as: the bare token, a message, a report with the message inside, or
//! somebody's answer with the message quoted.

use mail_parser::{MessageParser, PartType};

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
        in_parts(octets, &mut found, PARTS_DEEP_MAX);
    }
    found
}

fn in_parts(octets: &[u8], found: &mut Vec<String>, deep: usize) {
    let Some(message) = MessageParser::default().parse(octets) else {
        return;
    };
    for part in &message.parts {
        match &part.body {
            PartType::Text(text) | PartType::Html(text) => in_text(text, found),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => {
                in_text(&String::from_utf8_lossy(octets), found);
            }
            PartType::Message(inner) if deep > 0 => {
                in_text(&String::from_utf8_lossy(&inner.raw_message), found);
                in_parts(&inner.raw_message, found, deep - 1);
            }
            PartType::Message(_) | PartType::Multipart(_) => {}
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
/// A report holds a message, which may hold another.
const PARTS_DEEP_MAX: usize = 4;

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
