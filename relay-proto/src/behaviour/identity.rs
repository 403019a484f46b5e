//! Who it was inside of a host that many share: the name of a site, as a field of the header or the envelope tells it.
//!
//! What a message says about itself is as true as the host that lets it through: PHP puts its field in front of those that
//! a script adds, so the first one counts. A name is short, and printable: people type it, and it stands in replies.

use core::fmt;

/// The name of a site; 1 to [`OCTETS_MAX`] octets of visible ASCII and single spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Box<str>);

impl Identity {
    /// The name that is left of `text` when what cannot be printed is replaced, and what is too much is cut; `None` if
    /// nothing is.
    #[must_use]
    pub fn clean(text: &str) -> Option<Self> {
        let mut name = String::new();
        for word in text.split_ascii_whitespace() {
            if !name.is_empty() {
                name.push(' ');
            }
            name.extend(word.chars().map(printable));
            if name.len() >= OCTETS_MAX {
                break;
            }
        }
        // It is ASCII by now.
        name.truncate(OCTETS_MAX);
        let name = name.trim_end();
        (!name.is_empty()).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of the first field `name` in `header`, which is read up to its end, or to the first empty line. Folded lines
/// are one. What is not UTF-8 is replaced.
#[must_use]
pub fn field(header: &[u8], name: &str) -> Option<String> {
    let lines = header.split_inclusive(|&octet| octet == b'\n').map(trimmed);
    let mut value: Option<String> = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let continues = line.first().is_some_and(|octet| b" \t".contains(octet));
        match &mut value {
            Some(value) if continues && value.len() < VALUE_OCTETS_MAX => {
                value.push_str(&String::from_utf8_lossy(line));
            }
            Some(_) => break,
            None if continues => {}
            None => {
                let colon = line.iter().position(|&octet| octet == b':');
                let (field, rest) = line.split_at_checked(colon.unwrap_or(0))?;
                // RFC 5322 section 4.5.3: old ones may have blanks before the colon.
                if !field.is_empty() && field.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
                {
                    let rest = rest.split_first().map_or(&[][..], |(_, rest)| rest);
                    value = Some(String::from_utf8_lossy(rest).into_owned());
                }
            }
        }
    }
    value
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn printable(c: char) -> char {
    if c.is_ascii_graphic() { c } else { '?' }
}

/// As much as a reply has room for beside the rest of its line.
pub const OCTETS_MAX: usize = 64;
const VALUE_OCTETS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_field_of_a_name_counts() {
        let header: &[u8] = b"Received: x\r\n y\r\nX-PHP-Originating-Script : 1001:\r\n\tmail.php\r\n\
                       x-php-originating-script: 1002:other.php\r\nSubject: x\r\n\r\nX-Site: body\r\n";
        let field = |name| field(header, name);
        assert_eq!(
            field("x-php-originating-SCRIPT").unwrap(),
            " 1001:\tmail.php"
        );
        assert_eq!(field("Subject").unwrap(), " x");
        assert_eq!(field("X-Site"), None);
        assert_eq!(field(""), None);
        assert_eq!(super::field(b"X-Site: last", "X-Site").unwrap(), " last");
        assert_eq!(super::field(b"X-Site:", "X-Site").unwrap(), "");
    }

    #[test]
    fn a_name_is_short_and_printable() {
        let clean = |text: &str| Identity::clean(text).map(|it| it.to_string());
        assert_eq!(clean(" 1001:\tmail.php \r\n").unwrap(), "1001: mail.php");
        assert_eq!(clean("shöp\u{1b}[2J\u{0}").unwrap(), "sh?p?[2J?");
        assert_eq!(clean(&"x".repeat(100)).unwrap().len(), OCTETS_MAX);
        assert_eq!(clean(" \t "), None);
    }

    proptest! {
        #[test]
        fn whatever_is_said_a_name_is_fit_for_a_reply(text: String) {
            if let Some(name) = Identity::clean(&text) {
                prop_assert!((1..=OCTETS_MAX).contains(&name.as_str().len()));
                prop_assert!(name.as_str().bytes().all(|octet| (b' '..=b'~').contains(&octet)));
                // What is typed is what is meant.
                prop_assert_eq!(Identity::clean(name.as_str()), Some(name));
            }
        }

        #[test]
        fn no_header_is_too_strange(header: Vec<u8>, name in "[A-Za-z-]{0,10}") {
            drop(field(&header, &name));
        }
    }
}
