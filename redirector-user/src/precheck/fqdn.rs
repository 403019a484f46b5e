//! A name of a host or a domain, as mail knows it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name of two labels or more, of letters, digits and inner hyphens, in lower case, without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fqdn(String);

/// Text that is no [`Fqdn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the full name of a host or domain, as mail.example.net (names in other scripts as xn--...)"
)]
pub struct NotAName;

impl Fqdn {
    /// Reads a name (RFC 1123 section 2.1; RFC 5321 section 2.3.5 wants it full).
    ///
    /// # Errors
    ///
    /// [`NotAName`].
    pub fn new(text: &str) -> Result<Self, NotAName> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fits = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        };
        // The last label of a name is never a number, which keeps addresses out (RFC 3696 section 2).
        let top = text.rsplit('.').next().unwrap_or_default();
        let numeric = top.bytes().all(|octet| octet.is_ascii_digit());
        if text.len() > 253 || !text.contains('.') || numeric || !text.split('.').all(fits) {
            return Err(NotAName);
        }
        Ok(Self(text))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain that somebody has registered, this one or one above it, by the list of public suffixes.
    #[must_use]
    pub fn organisational(&self) -> Option<Self> {
        psl::domain_str(&self.0).and_then(|domain| Self::new(domain).ok())
    }
}

impl fmt::Display for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Fqdn {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        Self::new(&text)
    }
}

impl From<Fqdn> for String {
    fn from(name: Fqdn) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_full_names_of_hosts() {
        for (text, name) in [
            ("Mail.Example.NET.", "mail.example.net"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1and1.example", "1and1.example"),
        ] {
            assert_eq!(Fqdn::new(text).unwrap().as_str(), name);
        }
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "localhost",
            "a..b",
            "-a.example",
            "a-.example",
            "a_b.example",
            "192.0.2.1",
            "[192.0.2.1]",
            "bücher.example",
            "a b.example",
            "a.example\n",
            &long,
        ] {
            assert_eq!(Fqdn::new(text), Err(NotAName), "{text}");
        }
    }

    #[test]
    fn organisations_are_found_by_public_suffixes() {
        let organisation = |text: &str| Fqdn::new(text).unwrap().organisational();
        let named = |text: &str| Some(Fqdn::new(text).unwrap());
        assert_eq!(organisation("a.b.example.co.uk"), named("example.co.uk"));
        assert_eq!(
            organisation("news.customer.example"),
            named("customer.example")
        );
        assert_eq!(organisation("co.uk"), None);
    }
}
