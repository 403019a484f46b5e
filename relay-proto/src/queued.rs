//! A message that the relay has promised to deliver: all of it but its content, and what becomes of its
//! recipients.
//!
//! The spool keeps a [`Queued`] beside the content, the queue says when to try, the delivery yields an
//! [`Attempt`] per recipient, and a notification to the sender is made of both.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU64;
use core::str::FromStr;

use crate::envelope::{EhloName, Mail, Recipient};
use crate::reply::Reply;

/// Name of a queued message, unique within a spool for ever. Sorts by the time of its making; people read
/// and type it as 13 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(NonZeroU64);

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. This crate is given the time and never asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

/// What is written to disk before the sender hears 250, but for the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its name.
    pub id: QueueId,
    /// When it was taken; retries and its end are reckoned from here.
    pub arrived: UnixMillis,
    /// Who sent it: the customer, or the relay itself.
    pub source: Source,
    /// Where it leaves from.
    pub egress: Egress,
    /// Reverse-path and parameters.
    pub mail: Mail,
    /// All recipients, also those that are done; what speaks about one does so by its place here.
    pub recipients: Vec<Recipient>,
    /// Trace fields that go above the content, whole lines ending in CRLF.
    pub trace: String,
    /// Whether the reverse-path may be told of a failure. Only where the sender was authenticated, or SPF
    /// or DKIM vouches for it; everything else would be backscatter.
    pub may_notify: bool,
    /// Why it waits for a person: a verdict on its content. It grows too old all the same, and then its sender is told.
    pub held: Option<String>,
}

/// Who sent a queued message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A customer, diverted or authorised.
    Customer {
        /// Its address.
        address: IpAddr,
        /// Where its connection was going; `None` if it came by submission.
        original_dst: Option<SocketAddr>,
        /// What it called itself.
        ehlo: Option<EhloName>,
        /// Its own leg was encrypted. Where it was not, a destination whose TLS is broken may be served in clear text.
        tls: bool,
        /// The flag that diverted it.
        flag_id: Option<u32>,
        /// Who it has shown that it is, if it came by submission.
        user: Option<String>,
    },
    /// The relay: a delivery status notification, whose reverse-path is null, or a report about a domain's TLS, whose
    /// reverse-path is not.
    Relay,
}

/// Where the leg to the destination leaves from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Egress {
    /// An address of the relay.
    #[default]
    Pool,
    /// The customer's own address.
    Customer,
    /// A SOCKS5 proxy.
    Socks5,
}

/// What one attempt did for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index into [`Queued::recipients`].
    pub recipient: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Who said so.
    pub remote: Option<Remote>,
}

/// What became of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its server has the message and said so.
    Delivered {
        /// The 2xx.
        reply: Reply,
        /// That server promised notifications itself (RFC 3461 section 5.2.2).
        dsn: bool,
    },
    /// Not now.
    Deferred(Cause),
    /// Never.
    Failed(Cause),
}

/// Why a recipient does not have its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its server said this.
    Reply(Reply),
    /// There was no server that could say anything, with an enhanced status code (RFC 3463) as `4.4.1`.
    Local {
        /// Enhanced status code.
        status: &'static str,
        /// One line for people.
        text: String,
    },
}

/// The server at the other end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Name by which it was found, if any.
    pub name: Option<String>,
    /// Its address.
    pub address: SocketAddr,
}

impl Queued {
    /// Whether it tells a domain of its servers' TLS (RFC 8460). Such a report must arrive where that TLS is broken, so
    /// what the domain demands of it counts for nothing (section 5.3.1).
    #[must_use]
    pub fn is_tls_report(&self) -> bool {
        match self.source {
            Source::Relay => self.mail.reverse_path.mailbox().is_some(),
            Source::Customer { .. } => false,
        }
    }
}

impl QueueId {
    /// The name after `last`, at `now`: greater than `last`, and usually greater than every name made earlier
    /// by another run. Milliseconds fit in 42 bits until the year 2109; what remains numbers four million
    /// messages in each.
    #[must_use]
    pub fn after(last: Option<Self>, now: UnixMillis) -> Self {
        let by_clock = (now.0 << 22).max(1);
        let next = last.map_or(0, |last| last.0.get().saturating_add(1));
        Self(NonZeroU64::new(by_clock.max(next)).unwrap_or(NonZeroU64::MIN))
    }

    /// The number, as records keep it.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The name of that number; `None` for 0.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = (0..LENGTH)
            .rev()
            .map(|place| ((self.0.get() >> (5 * place)) & 31) as u8)
            .filter_map(|value| DIGITS.get(usize::from(value)))
            .map(|&digit| char::from(digit))
            .collect();
        f.pad(&text)
    }
}

/// Text that is no [`QueueId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a queue id: 13 characters as 01K8Z3V5M0000 are one")]
pub struct NotAQueueId;

impl FromStr for QueueId {
    type Err = NotAQueueId;

    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        if text.len() != LENGTH as usize {
            return Err(NotAQueueId);
        }
        let mut number = 0_u64;
        for octet in text.bytes() {
            let octet = octet.to_ascii_uppercase();
            let value = DIGITS.iter().position(|&digit| digit == octet);
            let value = value.ok_or(NotAQueueId)? as u64;
            number = number.checked_mul(32).ok_or(NotAQueueId)? | value;
        }
        Self::from_number(number).ok_or(NotAQueueId)
    }
}

const LENGTH: u32 = 13;
/// Crockford's base 32: no I, L, O or U to be misread.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_grow_with_the_clock_and_without() {
        let noon = UnixMillis(1_790_000_000_000);
        let first = QueueId::after(None, noon);
        let second = QueueId::after(Some(first), noon);
        let with_a_clock_set_back = QueueId::after(Some(second), UnixMillis(1_000));
        let later = QueueId::after(Some(with_a_clock_set_back), UnixMillis(noon.0 + 1));
        assert!(first < second && second < with_a_clock_set_back && with_a_clock_set_back < later);
        assert!(first.to_string() < later.to_string());
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        for number in [1, 31, 32, u64::MAX, 1_790_000_000_000 << 22] {
            let id = QueueId::from_number(number).unwrap();
            let shown = id.to_string();
            assert_eq!(shown.len(), LENGTH as usize);
            assert_eq!(shown.parse(), Ok(id));
            assert_eq!(shown.to_lowercase().parse(), Ok(id));
        }
        for wrong in [
            "",
            "0",
            "0000000000000",
            "ZZZZZZZZZZZZZ",
            "00000000000I1",
            "00000000000é",
            "000000000000011",
        ] {
            assert_eq!(wrong.parse::<QueueId>(), Err(NotAQueueId), "{wrong}");
        }
    }
}
