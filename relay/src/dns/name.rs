//! A domain name as look-ups and certificates know it.

use std::fmt;
use std::sync::Arc;

/// A name in A-labels and lower case, without the dot at its end: 1 to 253 octets, labels of 1 to 63
/// letters, digits, hyphens and underscores. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(Arc<str>);

/// Text that is no [`DnsName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a domain name that DNS could hold")]
pub struct NotAName;

impl DnsName {
    /// The name, whose U-labels become A-labels (RFC 5891 section 5).
    pub fn new(text: &str) -> Result<Self, NotAName> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(text).map_err(|_invalid| NotAName)?
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let label_fits = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(fits);
        if ascii.len() > 253 || !ascii.split('.').all(label_fits) {
            return Err(NotAName);
        }
        Ok(Self(ascii.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name below this one; `None` if that were too long.
    #[must_use]
    pub fn below(&self, labels: &str) -> Option<Self> {
        Self::new(&format!("{labels}.{self}")).ok()
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_one_way() {
        for (text, name) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("_25._tcp.mx_1.example", "_25._tcp.mx_1.example"),
            ("x", "x"),
        ] {
            assert_eq!(DnsName::new(text).unwrap().as_str(), name, "{text}");
        }
        let long = format!("{}.example", "a".repeat(64));
        let longest = ["a23456789."; 25].concat() + "abc";
        assert_eq!(DnsName::new(&longest).unwrap().as_str().len(), 253);
        assert_eq!(DnsName::new(&longest).unwrap().below("_x"), None);
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a\0b",
            "*.example",
            &long,
            &format!("x{longest}"),
        ] {
            assert_eq!(DnsName::new(text), Err(NotAName), "{text}");
        }
    }
}
