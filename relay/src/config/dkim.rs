//! `[[dkim]]`: keys that the relay signs with, its own mail and perhaps its customers'.

use std::path::PathBuf;

use serde::Deserialize;

use super::Invalid;
use super::check::{absolute, hostname};

/// A key that the relay signs mail with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// The domain that answers for the mail; if it is the relay's own mail, that is `From` of it or above.
    pub domain: String,
    /// The key's name in the domain's DNS.
    pub selector: String,
    /// PEM file of the private key.
    pub key: PathBuf,
    /// What it signs.
    pub signs: DkimSigns,
}

/// Whose mail a key signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DkimSigns {
    /// What the relay writes itself.
    #[default]
    Own,
    /// What it relays.
    Customers,
    /// Both.
    All,
}

impl DkimSigns {
    /// Notifications and reports.
    #[must_use]
    pub fn own(self) -> bool {
        match self {
            Self::Own | Self::All => true,
            Self::Customers => false,
        }
    }

    /// What customers send.
    #[must_use]
    pub fn customers(self) -> bool {
        match self {
            Self::Customers | Self::All => true,
            Self::Own => false,
        }
    }
}

/// One `[[dkim]]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDkimKey {
    domain: String,
    selector: String,
    key: PathBuf,
    #[serde(default)]
    sign: DkimSigns,
}

/// Each key of its own; `from` is the address that those of own mail sign for.
pub(super) fn check(raw: Vec<RawDkimKey>, from: &str) -> Result<Vec<DkimKey>, Invalid> {
    let from = from.rsplit_once('@').map_or(from, |(_, domain)| domain);
    let mut keys: Vec<DkimKey> = Vec::with_capacity(raw.len());
    for raw in raw {
        let key = raw.check(from)?;
        if keys.iter().any(|other| other.is_named_like(&key)) {
            let problem = "stands twice for this domain; each key needs a name of its own";
            return Err(Invalid::new("dkim.selector", key.selector, problem));
        }
        keys.push(key);
    }
    for signs in [DkimSigns::own, DkimSigns::customers] {
        let count = keys.iter().filter(|key| signs(key.signs)).count();
        if count > KEYS_MAX {
            let problem = format!(
                "may stand {KEYS_MAX} times for a message: each key makes a field of its own"
            );
            return Err(Invalid::new("dkim", count, problem));
        }
    }
    Ok(keys)
}

impl RawDkimKey {
    fn check(self, from: &str) -> Result<DkimKey, Invalid> {
        let domain = self.domain.to_ascii_lowercase();
        let domain = hostname(domain).map_err(|invalid| Invalid {
            key: "dkim.domain".into(),
            problem: "must be a domain name, as example.net".into(),
            ..invalid
        })?;
        // RFC 7489 section 3.1.1: a signature of somebody else is worth nothing to who looks at From. Customers' mail has
        // theirs for that.
        if self.sign.own() && !is_in_or_below(from, &domain) {
            let problem =
                format!("must be the domain of notifications.from, {from}, or one above it");
            return Err(Invalid::new("dkim.domain", domain, problem));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        if self.selector.len() > 100 || !self.selector.split('.').all(label) {
            let problem = "must be letters, digits and '-', as relay2026";
            return Err(Invalid::new("dkim.selector", self.selector, problem));
        }
        Ok(DkimKey {
            domain,
            selector: self.selector,
            key: absolute("dkim.key", self.key)?,
            signs: self.sign,
        })
    }
}

impl DkimKey {
    /// Whether its signature is that of who writes from `mailbox`.
    pub(super) fn signs_for(&self, mailbox: &str) -> bool {
        let domain = mailbox.rsplit_once('@').map(|(_, domain)| domain);
        self.signs.own() && domain.is_some_and(|domain| is_in_or_below(domain, &self.domain))
    }

    fn is_named_like(&self, other: &Self) -> bool {
        self.domain == other.domain && self.selector.eq_ignore_ascii_case(&other.selector)
    }
}

fn is_in_or_below(name: &str, domain: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let above = name.strip_suffix(domain);
    above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Two while keys change, of two algorithms.
const KEYS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "mailer-daemon@Relay-1.example.net";

    fn raw(domain: &str, selector: &str, sign: DkimSigns) -> RawDkimKey {
        RawDkimKey {
            domain: domain.into(),
            selector: selector.into(),
            key: "/etc/outgate/dkim.pem".into(),
            sign,
        }
    }

    fn own(domain: &str, selector: &str) -> RawDkimKey {
        raw(domain, selector, DkimSigns::Own)
    }

    #[test]
    fn a_key_signs_for_the_domain_that_the_mail_comes_from() {
        for (domain, fits) in [
            ("example.net", true),
            ("EXAMPLE.net", true),
            ("relay-1.example.net", true),
            ("ample.net", false),
            ("a.relay-1.example.net", false),
            ("example.org", false),
            ("net", false),
            ("", false),
        ] {
            for signs in [DkimSigns::Own, DkimSigns::All] {
                let keys = check(vec![raw(domain, "s", signs)], FROM);
                assert_eq!(keys.is_ok(), fits, "{domain}");
            }
        }
        for (selector, fits) in [
            ("a.b-c", true),
            ("", false),
            ("a..b", false),
            ("a_b", false),
            ("ä", false),
        ] {
            let keys = check(vec![own("example.net", selector)], FROM);
            assert_eq!(keys.is_ok(), fits, "{selector}");
        }
        let twice = check(vec![own("example.net", "a"), own("example.net", "A")], FROM);
        assert_eq!(twice.unwrap_err().key, "dkim.selector");
    }

    #[test]
    fn customers_mail_is_signed_for_any_domain() {
        let key = raw("example.org", "s", DkimSigns::Customers);
        let keys = check(vec![key], FROM).unwrap();
        assert!(keys[0].signs.customers() && !keys[0].signs.own());
        assert!(!keys[0].signs_for("a@example.org"));
        let key = raw("net.", "s", DkimSigns::Customers);
        assert_eq!(check(vec![key], FROM).unwrap_err().key, "dkim.domain");
        let keys = check(vec![own("example.net", "s")], FROM).unwrap();
        assert!(
            keys[0].signs_for("tls@reports.example.net") && !keys[0].signs_for("a@example.org")
        );
    }

    #[test]
    fn a_message_has_a_bounded_number_of_signatures() {
        let keys = |own: usize, customers: usize| {
            let own = (0..own).map(|n| raw("example.net", &format!("o{n}"), DkimSigns::Own));
            let customers =
                (0..customers).map(|n| raw("example.net", &format!("c{n}"), DkimSigns::Customers));
            check(own.chain(customers).collect(), FROM).map(|keys| keys.len())
        };
        assert_eq!(keys(4, 4).unwrap(), 8);
        assert_eq!(keys(5, 0).unwrap_err().key, "dkim");
        assert_eq!(keys(0, 5).unwrap_err().key, "dkim");
    }
}
