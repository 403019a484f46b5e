//! Links in a text: what stands where a browser, or a program that makes links of what looks like one, takes the host from.
//!
//! One pass over the text. What is found errs on the side of too much: who is asked about a domain that nobody can
//! click on has lost a question. What hides a host from a reader that takes links literally, and not from a
//! browser, is undone: letters as entities, backslashes, too many or too few slashes, blanks inside of quotes (URL Standard,
//! section 4.4).

use aho_corasick::AhoCorasick;
use mail_parser::decoders::html::add_html_token;

/// Finds links.
#[derive(Debug)]
pub(super) struct Links {
    starts: AhoCorasick,
}

impl Links {
    pub(super) fn new() -> Self {
        Self {
            starts: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(STARTS)
                .expect("a few words are patterns"),
        }
    }

    /// Hands over the authority of each link: the host, with what may stand around it.
    pub(super) fn each(&self, text: &str, mut found: impl FnMut(&str)) {
        let mut at = 0;
        while let Some(start) = self.starts.find(text.get(at..).unwrap_or_default()) {
            let (begins, ends) = (at + start.start(), at + start.end());
            let before = text.get(..begins).unwrap_or_default();
            let is_start = match STARTS.get(start.pattern().as_usize()).copied() {
                Some(WITHOUT_SCHEME) => opens_value(before),
                Some(WITHOUT_SLASHES) => !before.ends_with(char::is_alphanumeric),
                _ => true,
            };
            at = ends;
            if !is_start {
                continue;
            }
            let quote = before
                .trim_end_matches(BLANKS)
                .chars()
                .next_back()
                .filter(|letter| matches!(letter, '"' | '\''));
            let from = match STARTS.get(start.pattern().as_usize()).copied() {
                Some(WITHOUT_SLASHES) => begins,
                _ => ends,
            };
            let rest = text.get(from..).unwrap_or_default();
            let (authority, octets) = authority(rest, quote);
            at = from + octets.max(ends - from);
            if !authority.is_empty() {
                found(&authority);
            }
        }
    }
}

/// Whether what follows is the value of an attribute, or of a `url()` in a style.
fn opens_value(before: &str) -> bool {
    before
        .trim_end_matches(BLANKS)
        .ends_with(['"', '\'', '=', '('])
}

/// What stands in front of the path, and how much of `rest` it takes. Inside of quotes blanks of lines count for nothing;
/// outside they end the link.
fn authority(rest: &str, quote: Option<char>) -> (String, usize) {
    let mut authority = String::new();
    for (at, letter) in rest.char_indices() {
        let blank = BLANKS.contains(&letter);
        let ends = match (letter, quote) {
            ('/' | '\\', _) if authority.is_empty() => continue,
            ('/' | '\\' | '?' | '#', _) => true,
            (letter, Some(quote)) if letter == quote => true,
            (_, Some(_)) if blank && letter != ' ' => continue,
            (letter, Some(_)) => letter.is_control(),
            (letter, None) => {
                letter.is_whitespace() || letter.is_control() || ENDS.contains(letter)
            }
        };
        if ends || authority.len() >= AUTHORITY_OCTETS_MAX {
            return (authority, at);
        }
        authority.push(letter);
    }
    (authority, rest.len())
}

/// HTML with letters in the place of entities.
pub(super) fn decoded(html: &str) -> String {
    let mut decoded = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        decoded.push_str(before);
        rest = push_entity(entity, &mut decoded);
    }
    decoded + rest
}

/// What follows the entity that `text` begins with, or its ampersand.
fn push_entity<'a>(text: &'a str, decoded: &mut String) -> &'a str {
    let name = text.get(1..).unwrap_or_default();
    if let Some(number) = name.strip_prefix('#') {
        let hexadecimal = number.strip_prefix(['x', 'X']);
        let (digits, radix) = hexadecimal.map_or((number, 10), |digits| (digits, 16));
        let end = digits.find(|letter: char| !letter.is_digit(radix));
        let (number, rest) = digits.split_at(end.unwrap_or(digits.len()));
        let letter = u32::from_str_radix(number, radix).ok();
        if let Some(letter) = letter.and_then(char::from_u32) {
            decoded.push(letter);
            // Browsers do not insist on the semicolon.
            return rest.strip_prefix(';').unwrap_or(rest);
        }
    } else if let Some(end) = name
        .bytes()
        .take(ENTITY_OCTETS_MAX)
        .position(|it| it == b';')
        && let Some((name, rest)) = name.split_at_checked(end)
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric())
    {
        add_html_token(decoded, format!("&{name};").as_bytes(), false);
        return rest.strip_prefix(';').unwrap_or(rest);
    }
    decoded.push('&');
    name
}

const WITHOUT_SCHEME: &str = "//";
const WITHOUT_SLASHES: &str = "www.";
/// What a link begins with. Behind a scheme there may be any number of slashes, even none.
const STARTS: [&str; 5] = ["http:", "https:", "ftp:", WITHOUT_SCHEME, WITHOUT_SLASHES];
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
/// What ends a link in a text, beside blanks.
const ENDS: &str = "\"'<>(){}|^`,;";
/// A host has 253 octets, and what stands before an `@` is nothing to us.
const AUTHORITY_OCTETS_MAX: usize = 2000;
/// The longest that HTML knows has 31.
const ENTITY_OCTETS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        Links::new().each(text, |authority| found.push(authority.to_owned()));
        found
    }

    #[test]
    fn what_a_browser_takes_for_a_host_is_found() {
        for (text, hosts) in [
            (
                "see http://a.example/x and https://b.example.",
                &["a.example", "b.example."][..],
            ),
            ("HTTP://A.example?x", &["A.example"]),
            ("(www.a.example), xwww.b.example", &["www.a.example"]),
            ("<https://a.example>", &["a.example"]),
            (
                "http:a.example http:///b.example http:\\\\c.example\\d",
                &["a.example", "b.example", "c.example"],
            ),
            (
                "http://bank.example@a.example:80/",
                &["bank.example@a.example:80"],
            ),
            (
                "http://a.example/?to=http://b.example/",
                &["a.example", "b.example"],
            ),
            ("http://[2001:db8::1]:8080/", &["[2001:db8::1]:8080"]),
            ("<a href=\"http://a.ex\r\n\tample/\">", &["a.example"]),
            (
                "<a href=' //a.example/'><img src=//b.example/c//d.example>",
                &["a.example", "b.example"],
            ),
            ("url(//a.example/x.png)", &["a.example"]),
            ("a // b, http:// and http:", &[]),
            ("ftp://a.example", &["a.example"]),
            ("http://ä.example/", &["ä.example"]),
            ("", &[]),
        ] {
            assert_eq!(found(text), hosts, "{text}");
        }
    }

    #[test]
    fn entities_are_letters() {
        for (html, expected) in [
            (
                "&#104;ttp&colon;&sol;&sol;a&period;example",
                "http://a.example",
            ),
            ("a&#x2E;b&#46c&#46", "a.b.c."),
            ("?a=1&b=2&amp;c", "?a=1&b=2&c"),
            ("&#; &#x; &#1114112; & &;", "&#; &#x; &#1114112; & &;"),
            ("&nosuchentity;", "&nosuchentity;"),
            ("ä&ä;", "ä&ä;"),
        ] {
            assert_eq!(decoded(html), expected, "{html}");
        }
    }

    #[test]
    fn a_long_text_is_one_pass() {
        for text in ["http:", "http://", "www.", "\"//", "&#", "&am", "http://a"] {
            let long = text.repeat(200_000);
            Links::new().each(&decoded(&long), |authority| {
                assert!(authority.len() <= AUTHORITY_OCTETS_MAX + 4);
            });
        }
    }
}
