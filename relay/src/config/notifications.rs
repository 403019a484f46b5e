//! `[notifications]`: what senders are told about queued mail.

use std::num::NonZeroU32;
use std::time::Duration;

use relay_proto::address::{Domain, ForwardPath};
use serde::Deserialize;

use super::Invalid;
use super::check::duration;

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

/// `[notifications]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotifications {
    from: Option<String>,
    delay_after: Option<String>,
    per_domain_per_hour: Option<u32>,
    per_customer_per_hour: Option<u32>,
}

impl RawNotifications {
    /// `own` is the relay's name.
    pub(super) fn check(self, own: &str) -> Result<Notifications, Invalid> {
        let delay_after = self.delay_after.as_deref().map(delay_after).transpose()?;
        let from = self.from.map(|text| mailbox("notifications.from", &text));
        let from = from.transpose()?;
        Ok(Notifications {
            from: from.unwrap_or_else(|| format!("mailer-daemon@{own}")),
            delay_after: delay_after.flatten(),
            per_domain_per_hour: per_hour("per_domain_per_hour", self.per_domain_per_hour)?,
            per_customer_per_hour: per_hour("per_customer_per_hour", self.per_customer_per_hour)?,
        })
    }
}

/// A mailbox that the relay's own mail may come from.
pub(super) fn mailbox(key: &str, text: &str) -> Result<String, Invalid> {
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
            Err(Invalid::new(key, text, problem))
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
const FROM_MAX_OCTETS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

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
