//! `[notifications]` and `[[dkim]]`: what senders are told about queued mail, and how that is signed.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use relay_proto::address::{Domain, ForwardPath};
use serde::Deserialize;

use super::Invalid;
use super::check::{absolute, duration, hostname};

/// Delivery status notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifications {
    /// Their `From`: an ASCII mailbox with a domain name.
    pub from: String,
    /// The age at which a sender is warned that its message waits; `None` = never.
    pub delay_after: Option<Duration>,
    /// How many an hour may go to mailboxes of one domain.
    pub per_domain_per_hour: NonZeroU32,
    /// How many an hour may be about messages of one customer (IPv6: of one /64).
    pub per_customer_per_hour: NonZeroU32,
}

/// A key that the relay signs its own mail with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// The domain that answers for the mail; the relay's own `From` is in it or below it.
    pub domain: String,
    /// The key's name in the domain's DNS.
    pub selector: String,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// `[notifications]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotifications {
    from: Option<String>,
    delay_after: Option<String>,
    per_domain_per_hour: Option<u32>,
    per_customer_per_hour: Option<u32>,
}

/// One `[[dkim]]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDkimKey {
    domain: String,
    selector: String,
    key: PathBuf,
}

impl RawNotifications {
    /// `own` is the relay's name.
    pub(super) fn check(self, own: &str) -> Result<Notifications, Invalid> {
        let delay_after = self.delay_after.as_deref().map(delay_after).transpose()?;
        let from = self.from.map(|text| from(&text)).transpose()?;
        Ok(Notifications {
            from: from.unwrap_or_else(|| format!("mailer-daemon@{own}")),
            delay_after: delay_after.flatten(),
            per_domain_per_hour: per_hour("per_domain_per_hour", self.per_domain_per_hour)?,
            per_customer_per_hour: per_hour("per_customer_per_hour", self.per_customer_per_hour)?,
        })
    }
}

/// Each key of its own; `from` is the address that they sign for.
pub(super) fn dkim(raw: Vec<RawDkimKey>, from: &str) -> Result<Vec<DkimKey>, Invalid> {
    if raw.len() > KEYS_MAX {
        let problem = format!("may stand {KEYS_MAX} times: each key makes a field of its own");
        return Err(Invalid::new("dkim", raw.len(), problem));
    }
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
        // RFC 7489 section 3.1.1: a signature of somebody else is worth nothing to who looks at From.
        if !is_in_or_below(from, &domain) {
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
        })
    }
}

impl DkimKey {
    fn is_named_like(&self, other: &Self) -> bool {
        self.domain == other.domain && self.selector.eq_ignore_ascii_case(&other.selector)
    }
}

fn is_in_or_below(name: &str, domain: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let above = name.strip_suffix(domain);
    above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn from(text: &str) -> Result<String, Invalid> {
    match format!("<{text}>").parse() {
        Ok(ForwardPath::Mailbox(mailbox))
            if mailbox.is_ascii()
                && mailbox.to_string().len() <= FROM_MAX_OCTETS
                && matches!(mailbox.domain(), Domain::Name(_)) =>
        {
            Ok(mailbox.to_string())
        }
        Ok(_) | Err(_) => {
            let problem =
                "must be a mailbox in ASCII with a domain name, as mailer-daemon@example.net";
            Err(Invalid::new("notifications.from", text, problem))
        }
    }
}

/// Zero is never.
fn delay_after(text: &str) -> Result<Option<Duration>, Invalid> {
    let key = "notifications.delay_after";
    let after = duration(key, text, Duration::ZERO, DELAY_MAX)?;
    if !after.is_zero() && after < DELAY_MIN {
        let problem =
            format!("must be 0s, which is never, or between {DELAY_MIN:?} and {DELAY_MAX:?}");
        return Err(Invalid::new(key, text, problem));
    }
    Ok(Some(after).filter(|after| !after.is_zero()))
}

fn per_hour(key: &str, count: Option<u32>) -> Result<NonZeroU32, Invalid> {
    let count = count.unwrap_or(PER_HOUR);
    NonZeroU32::new(count)
        .filter(|count| count.get() <= PER_HOUR_MAX)
        .ok_or_else(|| {
            let problem = format!("must be between 1 and {PER_HOUR_MAX}");
            Invalid::new(&format!("notifications.{key}"), count, problem)
        })
}

/// What is younger has perhaps only been greylisted.
const DELAY_MIN: Duration = Duration::from_secs(600);
const DELAY_MAX: Duration = Duration::from_secs(86_400);
const PER_HOUR: u32 = 100;
const PER_HOUR_MAX: u32 = 100_000;
/// Two while keys change, of two algorithms.
const KEYS_MAX: usize = 4;
const FROM_MAX_OCTETS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(domain: &str, selector: &str) -> RawDkimKey {
        RawDkimKey {
            domain: domain.into(),
            selector: selector.into(),
            key: "/etc/outgate/dkim.pem".into(),
        }
    }

    #[test]
    fn a_key_signs_for_the_domain_that_the_mail_comes_from() {
        let from = "mailer-daemon@Relay-1.example.net";
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
            assert_eq!(dkim(vec![raw(domain, "s")], from).is_ok(), fits, "{domain}");
        }
        for (selector, fits) in [
            ("a.b-c", true),
            ("", false),
            ("a..b", false),
            ("a_b", false),
            ("ä", false),
        ] {
            assert_eq!(
                dkim(vec![raw("example.net", selector)], from).is_ok(),
                fits,
                "{selector}"
            );
        }
        let twice = dkim(vec![raw("example.net", "a"), raw("example.net", "A")], from);
        assert_eq!(twice.unwrap_err().key, "dkim.selector");
        let five = (0..5).map(|number| raw("example.net", &number.to_string()));
        assert_eq!(dkim(five.collect(), from).unwrap_err().key, "dkim");
    }

    #[test]
    fn the_sender_is_a_plain_mailbox() {
        let own = "relay-1.example.net";
        let default = RawNotifications::default().check(own).unwrap();
        assert_eq!(default.from, "mailer-daemon@relay-1.example.net");
        assert_eq!(default.delay_after, None);
        for (text, fits) in [
            ("postmaster@example.net", true),
            ("postmaster", false),
            ("a@[192.0.2.1]", false),
            ("grün@example.net", false),
            ("a b@example.net", false),
            ("a@example.net>\r\nBcc: x", false),
        ] {
            let raw = RawNotifications {
                from: Some(text.into()),
                ..RawNotifications::default()
            };
            assert_eq!(raw.check(own).is_ok(), fits, "{text}");
        }
    }
}
