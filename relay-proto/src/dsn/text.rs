//! Lines of a notification: whatever stands in one stays on it.

use super::encode::is_harmless;
use crate::address::ForwardPath;
use crate::reply::Reply;

/// Characters that a line of a notification may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// Printable ASCII.
    Ascii,
    /// Whatever does not end or turn a line, and stays in it on any screen.
    Utf8,
}

impl Charset {
    /// `text` in these characters; what does not fit becomes `?`.
    pub(super) fn clean(self, text: &str) -> String {
        let kept = |c: char| match self {
            Self::Ascii => c == ' ' || c.is_ascii_graphic(),
            Self::Utf8 => is_harmless(c),
        };
        text.chars()
            .map(|c| if kept(c) { c } else { '?' })
            .collect()
    }
}

/// Appends `name: value`, cleaned, on a line of its own: an address or a name, which no blank may get into. Of one
/// that is too long for a line, which takes an odd address in an odd encoding, the rest is left out.
pub(super) fn field(out: &mut String, charset: Charset, name: &str, value: &str) {
    let value = charset.clean(value);
    let at = value.floor_char_boundary(MAX_FIELD_OCTETS);
    let (value, rest) = value.split_at_checked(at).unwrap_or((&value, ""));
    let more = if rest.is_empty() { "" } else { "..." };
    out.push_str(&format!("{name}: {value}{more}{CRLF}"));
}

/// A recipient's address without brackets.
pub(super) fn address(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
    }
}

/// A server's reply on one line, its enhanced status code once.
pub(super) fn said(reply: &Reply) -> String {
    match reply.enhanced() {
        Some(enhanced) => format!("{} {enhanced} {}", reply.code(), reply.text()),
        None => format!("{} {}", reply.code(), reply.text()),
    }
}

/// Appends `name: value`, cleaned and folded at spaces, of which several in a row become one. What is beyond
/// [`MAX_VALUE_OCTETS`] is left out, and seen to be.
pub(super) fn folded(out: &mut String, charset: Charset, name: &str, value: &str) {
    let value = charset.clean(&shortened(value));
    let first = format!("{name}:");
    wrap(out, &first, " ", &value);
}

/// Appends `text`, cleaned, as lines that begin with `indent`.
pub(super) fn paragraph(out: &mut String, indent: &str, text: &str) {
    wrap(out, indent, indent, &Charset::Utf8.clean(&shortened(text)));
}

/// `first` opens the first line, `indent` the others.
fn wrap(out: &mut String, first: &str, indent: &str, text: &str) {
    let mut line = first.to_owned();
    let mut is_empty = first == indent;
    let mut has_word = false;
    for piece in text.split_ascii_whitespace().flat_map(pieces) {
        let gap = usize::from(!is_empty);
        if has_word && line.len() + gap + piece.len() > WIDTH {
            out.push_str(&line);
            out.push_str(CRLF);
            line = indent.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(piece);
        (is_empty, has_word) = (false, true);
    }
    out.push_str(line.trim_end());
    out.push_str(CRLF);
}

/// A word in pieces that each fit on a line.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    core::iter::from_fn(move || {
        let at = rest.floor_char_boundary(MAX_WORD_OCTETS);
        let (piece, after) = rest.split_at_checked(at)?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn shortened(text: &str) -> String {
    match text.split_at_checked(text.floor_char_boundary(MAX_VALUE_OCTETS)) {
        Some((head, tail)) if !tail.is_empty() => format!("{head} [...]"),
        Some(_) | None => text.to_owned(),
    }
}

pub(super) const CRLF: &str = "\r\n";
/// RFC 5322 section 2.1.1 advises 78.
const WIDTH: usize = 76;
/// Far below the 998 octets of a line, with any name and indent in front.
const MAX_WORD_OCTETS: usize = 500;
const MAX_VALUE_OCTETS: usize = 4000;
/// With the longest name and its colon below 998 (RFC 5322 section 2.1.1).
const MAX_FIELD_OCTETS: usize = 950;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_and_none_ends_a_line_of_its_own() {
        let mut out = String::new();
        let value = format!(
            "smtp; 550 5.1.1 {} a\r\nX-Evil: 1\u{85}ü {}",
            "long ".repeat(20),
            "x".repeat(1200)
        );
        folded(&mut out, Charset::Ascii, "Diagnostic-Code", &value);
        assert!(out.ends_with(CRLF));
        let lines: Vec<&str> = out.split_terminator(CRLF).collect();
        assert!(lines[0].starts_with("Diagnostic-Code: smtp; 550 5.1.1 long"));
        assert!(
            lines[1..]
                .iter()
                .all(|line| line.starts_with(' ') && line.trim() != "")
        );
        assert!(
            lines
                .iter()
                .all(|line| line.len() <= 501 && line.bytes().all(|o| (32..127).contains(&o)))
        );
        assert!(out.contains("a??X-Evil: 1??"), "{out}");
        assert_eq!(out.replace("\r\n ", "").matches('x').count(), 1200);
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let mut out = String::new();
        paragraph(&mut out, "  ", &"é".repeat(MAX_VALUE_OCTETS));
        assert!(out.ends_with("é\r\n  [...]\r\n"), "{out}");
        out.clear();
        paragraph(&mut out, "  ", "");
        assert_eq!(out, "\r\n");
    }
}
