//! `[operator_mail]`: the mailboxes that a walled customer may write to, and the server that has them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use relay_proto::address::{ForwardPath, Mailbox};

use super::Invalid;
use super::raw::RawOperatorMail;

/// The operator's own mail.
#[derive(Debug, Clone)]
pub struct OperatorMail {
    /// Who may be written to.
    pub mailboxes: Mailboxes,
    /// The mail server that has these mailboxes.
    pub deliver_to: SocketAddr,
    /// Messages of one customer (IPv6: of one /64) in an hour.
    pub messages_per_hour: NonZeroU32,
}

/// The operator's mailboxes; at least one.
#[derive(Debug, Clone)]
pub struct Mailboxes(Arc<[Mailbox]>);

impl Mailboxes {
    /// Whether `path` is one of them, in any case of letters: RFC 5321 section 4.5.1 demands that of a postmaster,
    /// and mailboxes that strangers type from memory gain nothing by being strict. So is the postmaster
    /// without a domain, whom every server has to have.
    #[must_use]
    pub fn contain(&self, path: &ForwardPath) -> bool {
        match path {
            ForwardPath::Postmaster => true,
            ForwardPath::Mailbox(mailbox) => self.0.iter().any(|own| {
                let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
                same(own.local_part(), mailbox.local_part())
                    && same(&own.domain().to_string(), &mailbox.domain().to_string())
            }),
        }
    }
}

impl Mailboxes {
    /// Whose the mail for a postmaster without a domain is: the one that is called so, or else the first.
    pub(crate) fn postmaster(&self) -> Option<&Mailbox> {
        let is_called_so =
            |mailbox: &&Mailbox| mailbox.local_part().eq_ignore_ascii_case("postmaster");
        let called_so = self.0.iter().find(is_called_so);
        called_so.or_else(|| self.0.first())
    }
}

impl TryFrom<RawOperatorMail> for OperatorMail {
    type Error = Invalid;

    fn try_from(raw: RawOperatorMail) -> Result<Self, Invalid> {
        if raw.mailboxes.is_empty() || raw.mailboxes.len() > MAILBOXES_MAX {
            let problem = format!("must name 1 to {MAILBOXES_MAX} mailboxes, as abuse@example.net");
            let count = raw.mailboxes.len();
            return Err(Invalid::new("operator_mail.mailboxes", count, problem));
        }
        let mailboxes: Result<Vec<_>, _> = raw.mailboxes.iter().map(|text| mailbox(text)).collect();
        Ok(Self {
            mailboxes: Mailboxes(mailboxes?.into()),
            deliver_to: deliver_to(&raw.deliver_to)?,
            messages_per_hour: per_hour(raw.messages_per_hour)?,
        })
    }
}

fn mailbox(text: &str) -> Result<Mailbox, Invalid> {
    match format!("<{text}>").parse() {
        Ok(ForwardPath::Mailbox(mailbox)) => Ok(mailbox),
        Ok(ForwardPath::Postmaster) => {
            let problem = "needs its domain; the postmaster without one is always among them";
            Err(Invalid::new("operator_mail.mailboxes", text, problem))
        }
        Err(error) => Err(Invalid::new("operator_mail.mailboxes", text, error)),
    }
}

fn deliver_to(text: &str) -> Result<SocketAddr, Invalid> {
    match text.parse::<SocketAddr>() {
        Ok(address)
            if address.port() != 0
                && !address.ip().is_unspecified()
                && !address.ip().is_multicast() =>
        {
            Ok(address)
        }
        Ok(_) | Err(_) => {
            let problem = "must be the ADDRESS:PORT of a mail server, as 198.51.100.25:25";
            Err(Invalid::new("operator_mail.deliver_to", text, problem))
        }
    }
}

fn per_hour(messages: u32) -> Result<NonZeroU32, Invalid> {
    NonZeroU32::new(messages)
        .filter(|messages| messages.get() <= PER_HOUR_MAX)
        .ok_or_else(|| {
            let problem = format!("must be between 1 and {PER_HOUR_MAX}");
            Invalid::new("operator_mail.messages_per_hour", messages, problem)
        })
}

/// More than one a second is no limit to anybody who writes by hand.
const PER_HOUR_MAX: u32 = 3600;
/// They are compared one by one with each recipient of a walled customer.
const MAILBOXES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_recognised_in_any_case_and_no_others_are() {
        let raw = RawOperatorMail {
            mailboxes: vec!["abuse@example.net".into(), "noc@[192.0.2.1]".into()],
            deliver_to: "[2001:db8::25]:25".into(),
            messages_per_hour: 1,
        };
        let mailboxes = OperatorMail::try_from(raw).unwrap().mailboxes;
        for (path, expected) in [
            ("<abuse@example.net>", true),
            ("<ABUSE@Example.NET>", true),
            ("<noc@[192.0.2.1]>", true),
            ("<postmaster>", true),
            ("<PostMaster>", true),
            ("<postmaster@example.net>", false),
            ("<abuse@sub.example.net>", false),
            ("<abuse@example.org>", false),
            ("<xabuse@example.net>", false),
            ("<abuse+x@example.net>", false),
            // The part behind the route decides, and the route is never used.
            ("<@example.net:user@elsewhere.example>", false),
            ("<user%elsewhere.example@example.net>", false),
            ("<\"abuse@example.net\"@elsewhere.example>", false),
        ] {
            let parsed: ForwardPath = path.parse().unwrap();
            assert_eq!(mailboxes.contain(&parsed), expected, "{path}");
        }
    }

    #[test]
    fn some_mailbox_is_the_postmasters() {
        for (texts, expected) in [
            (
                &["abuse@example.net", "noc@example.net"][..],
                "abuse@example.net",
            ),
            (
                &["abuse@example.net", "Postmaster@example.org"],
                "Postmaster@example.org",
            ),
        ] {
            let mailboxes = texts.iter().map(|text| mailbox(text).unwrap());
            let mailboxes = Mailboxes(mailboxes.collect());
            let postmaster = mailboxes.postmaster().map(ToString::to_string);
            assert_eq!(postmaster.as_deref(), Some(expected));
        }
    }
}
