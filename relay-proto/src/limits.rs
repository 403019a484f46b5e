//! What a server takes in one session or transaction, as it says in its answer to EHLO (LIMITS, RFC 9422).
//!
//! The same on both sides: a server says them ([`Limits::parameters`]), a client reads them ([`Limits::read`]) and keeps
//! to them. Limits that are not known here, and values that the grammar does not have, are passed over (section 3).

use core::num::NonZeroU32;

/// Limits; `None` where the server names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// MAILMAX: MAIL commands in one session, whatever they are answered.
    pub mails: Option<NonZeroU32>,
    /// RCPTMAX: RCPT commands in one transaction, whatever they are answered.
    pub recipients: Option<NonZeroU32>,
    /// RCPTDOMAINMAX: different domains of recipients in one session.
    pub recipient_domains: Option<NonZeroU32>,
}

impl Limits {
    /// None at all.
    pub const NONE: Self = Self {
        mails: None,
        recipients: None,
        recipient_domains: None,
    };

    /// Reads what follows the keyword. Of a limit that stands there twice the smaller value counts.
    #[must_use]
    pub fn read<'a>(parameters: impl IntoIterator<Item = &'a str>) -> Self {
        let said = parameters.into_iter().filter_map(Self::parameter);
        said.fold(Self::NONE, Self::least)
    }

    /// What keeps to both.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            mails: least(self.mails, other.mails),
            recipients: least(self.recipients, other.recipients),
            recipient_domains: least(self.recipient_domains, other.recipient_domains),
        }
    }

    /// What follows the keyword; `None` = there is nothing to say.
    #[must_use]
    pub fn parameters(&self) -> Option<String> {
        let said = |(name, limit): (&str, Option<NonZeroU32>)| {
            // To name less than is taken makes no client fail.
            limit.map(|limit| format!("{name}={}", limit.get().min(SAID_MAX)))
        };
        let all: Vec<String> = self.named().into_iter().filter_map(said).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    fn named(&self) -> [(&'static str, Option<NonZeroU32>); 3] {
        [
            (MAILS, self.mails),
            (RECIPIENTS, self.recipients),
            (RECIPIENT_DOMAINS, self.recipient_domains),
        ]
    }

    fn parameter(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        let limit = Some(number(value)?);
        match name.to_ascii_uppercase().as_str() {
            MAILS => Some(Self {
                mails: limit,
                ..Self::NONE
            }),
            RECIPIENTS => Some(Self {
                recipients: limit,
                ..Self::NONE
            }),
            RECIPIENT_DOMAINS => Some(Self {
                recipient_domains: limit,
                ..Self::NONE
            }),
            _ => None,
        }
    }
}

fn least(one: Option<NonZeroU32>, other: Option<NonZeroU32>) -> Option<NonZeroU32> {
    one.into_iter().chain(other).min()
}

/// RFC 9422 section 4: one to six digits, of which the first is not 0.
fn number(text: &str) -> Option<NonZeroU32> {
    let is_one = (1..=6).contains(&text.len())
        && text.bytes().all(|octet| octet.is_ascii_digit())
        && !text.starts_with('0');
    is_one.then(|| text.parse().ok()).flatten()
}

const MAILS: &str = "MAILMAX";
const RECIPIENTS: &str = "RCPTMAX";
const RECIPIENT_DOMAINS: &str = "RCPTDOMAINMAX";
/// What six digits hold.
const SAID_MAX: u32 = 999_999;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(mails: u32, recipients: u32, recipient_domains: u32) -> Limits {
        Limits {
            mails: NonZeroU32::new(mails),
            recipients: NonZeroU32::new(recipients),
            recipient_domains: NonZeroU32::new(recipient_domains),
        }
    }

    #[test]
    fn what_is_known_is_read_and_the_rest_passed_over() {
        for (text, expected) in [
            ("", limits(0, 0, 0)),
            (
                "MAILMAX=1 RCPTMAX=22 RCPTDOMAINMAX=999999",
                limits(1, 22, 999_999),
            ),
            ("rcptmax=5 X-NEW=3 FLAG =7 MAILMAX", limits(0, 5, 0)),
            ("RCPTMAX=7 RCPTMAX=5 RCPTMAX=9", limits(0, 5, 0)),
            ("RCPTMAX=0 MAILMAX=010 RCPTDOMAINMAX=", limits(0, 0, 0)),
            (
                "RCPTMAX=1000000 MAILMAX=-1 RCPTDOMAINMAX=+1",
                limits(0, 0, 0),
            ),
            ("RCPTMAX=1=2 MAILMAX=\u{0661}", limits(0, 0, 0)),
        ] {
            let read = Limits::read(text.split_ascii_whitespace());
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn what_is_said_is_read_again() {
        assert_eq!(Limits::default().parameters(), None);
        for limits in [limits(1, 2, 3), limits(0, 100, 0), limits(5000, 0, 1)] {
            let said = limits.parameters().unwrap();
            assert_eq!(
                Limits::read(said.split_ascii_whitespace()),
                limits,
                "{said}"
            );
        }
        let most = limits(u32::MAX, 0, 0);
        assert_eq!(most.parameters().unwrap(), "MAILMAX=999999");
    }

    #[test]
    fn the_least_of_two_keeps_to_both() {
        let least = limits(5, 0, 7).least(limits(9, 3, 0));
        assert_eq!(least, limits(5, 3, 7));
        assert_eq!(least.least(Limits::default()), least);
    }
}
