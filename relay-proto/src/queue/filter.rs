//! Which jobs a person means.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use crate::queued::{Egress, QueueId};

/// What can be said of a job without its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// Its message.
    pub id: QueueId,
    /// When that arrived, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// Octets of its content; 4 GiB and more are shown as that.
    pub octets: u32,
    /// The customer; `None` = the relay.
    pub customer: Option<IpAddr>,
    /// Domain of the reverse-path; empty for `<>`.
    pub sender: &'a str,
    /// Recipient domain.
    pub domain: &'a str,
    /// Where the customer's connection was going.
    pub original_dst: Option<SocketAddr>,
    /// Where it shall leave from.
    pub egress: Egress,
    /// Its recipients, as indices.
    pub recipients: &'a [u32],
    /// Where it is.
    pub state: JobState,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// The site that it goes to, if that was ever looked up.
    pub site: Option<&'a str>,
    /// What it leaves from, while it is ready or in flight.
    pub way: Option<&'a str>,
}

/// Where a job is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// It will be due.
    Scheduled,
    /// It is due, and waits for a route, or because its domain or everything is paused.
    Waiting,
    /// It has a route, and waits for a connection.
    Ready,
    /// It is being attempted.
    InFlight,
    /// A person holds it.
    Held,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Scheduled,
        Self::Waiting,
        Self::Ready,
        Self::InFlight,
        Self::Held,
    ];

    /// Its name towards people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::InFlight => "in-flight",
            Self::Held => "held",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Conditions, all of which must hold; those that are `None` do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The message.
    pub id: Option<QueueId>,
    /// The customer's address.
    pub customer: Option<Prefix>,
    /// Domain of the reverse-path, in lower case; empty for `<>`.
    pub sender: Option<String>,
    /// Recipient domain, in lower case. With a dot in front: everything below it.
    pub domain: Option<String>,
    /// Name of the site.
    pub site: Option<String>,
    /// Where it shall leave from.
    pub egress: Option<Egress>,
    /// Where it is.
    pub state: Option<JobState>,
    /// It arrived before this, in milliseconds since 1970.
    pub arrived_before_ms: Option<u64>,
    /// It arrived after this.
    pub arrived_after_ms: Option<u64>,
}

impl Filter {
    /// Whether it means every job.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it means this one.
    #[must_use]
    pub fn matches(&self, view: &View<'_>) -> bool {
        let Self {
            id,
            customer,
            sender,
            domain,
            site,
            egress,
            state,
            arrived_before_ms,
            arrived_after_ms,
        } = self;
        id.is_none_or(|id| id == view.id)
            && state.is_none_or(|state| state == view.state)
            && egress.is_none_or(|egress| egress == view.egress)
            && arrived_before_ms.is_none_or(|before| view.arrived_ms < before)
            && arrived_after_ms.is_none_or(|after| view.arrived_ms > after)
            && customer.is_none_or(|prefix| view.customer.is_some_and(|it| prefix.contains(it)))
            && sender.as_ref().is_none_or(|it| it == view.sender)
            && domain
                .as_ref()
                .is_none_or(|it| is_or_below(view.domain, it))
            && site.as_ref().is_none_or(|it| view.site == Some(it))
    }
}

/// `example.org` is itself, `.example.org` is all below it.
fn is_or_below(domain: &str, meant: &str) -> bool {
    match meant.strip_prefix('.') {
        Some(_) => domain.ends_with(meant),
        None => domain == meant,
    }
}

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

/// Text that is no [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address or prefix, as 192.0.2.10, 192.0.2.0/24 or 2001:db8:a::/48")]
pub struct NotAPrefix;

impl Prefix {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                own == Ipv4Addr::from_bits(other.to_bits() & mask_v4(self.bits))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                own == Ipv6Addr::from_bits(other.to_bits() & mask_v6(self.bits))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_parse| NotAPrefix)?;
        let all: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_parse| NotAPrefix)?,
            None => all,
        };
        if bits > all {
            return Err(NotAPrefix);
        }
        let address = match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & mask_v4(bits)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask_v6(bits)).into(),
        };
        Ok(Self { address, bits })
    }
}

impl core::fmt::Display for Prefix {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn mask_v4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

fn mask_v6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View<'static> {
        View {
            id: QueueId::from_number(7).unwrap(),
            arrived_ms: 1000,
            octets: 5,
            customer: Some("192.0.2.10".parse().unwrap()),
            sender: "customer.example",
            domain: "mail.example.org",
            original_dst: None,
            egress: Egress::Pool,
            recipients: &[0],
            state: JobState::Ready,
            due_ms: 2000,
            site: Some("mx.example.org"),
            way: Some("pool"),
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let yes = Filter {
            id: QueueId::from_number(7),
            customer: Some("192.0.2.0/24".parse().unwrap()),
            sender: Some("customer.example".into()),
            domain: Some(".example.org".into()),
            site: Some("mx.example.org".into()),
            egress: Some(Egress::Pool),
            state: Some(JobState::Ready),
            arrived_before_ms: Some(1001),
            arrived_after_ms: Some(999),
        };
        assert!(yes.matches(&view()));
        assert!(Filter::default().matches(&view()) && Filter::default().is_everything());
        type Spoil = fn(&mut Filter);
        let spoilt: [Spoil; 9] = [
            |it| it.id = QueueId::from_number(8),
            |it| it.customer = Some("192.0.3.0/24".parse().unwrap()),
            |it| it.sender = Some(String::new()),
            |it| it.domain = Some("example.org".into()),
            |it| it.site = Some("mx".into()),
            |it| it.egress = Some(Egress::Customer),
            |it| it.state = Some(JobState::Held),
            |it| it.arrived_before_ms = Some(1000),
            |it| it.arrived_after_ms = Some(1000),
        ];
        for spoil in spoilt {
            let mut no = yes.clone();
            spoil(&mut no);
            assert!(!no.matches(&view()), "{no:?}");
        }
    }

    #[test]
    fn prefixes_mean_what_they_say() {
        let cases = [
            ("192.0.2.10", "192.0.2.10", true),
            ("192.0.2.10", "192.0.2.11", false),
            ("192.0.2.99/24", "192.0.2.1", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("::/0", "203.0.113.1", false),
            ("2001:db8:a::/48", "2001:db8:a:1::1", true),
            ("2001:db8:a::/48", "2001:db8:b::1", false),
            ("192.0.2.10", "::ffff:192.0.2.10", true),
        ];
        for (prefix, address, expected) in cases {
            let parsed: Prefix = prefix.parse().unwrap();
            let address = address.parse().unwrap();
            assert_eq!(parsed.contains(address), expected, "{prefix} {address}");
        }
        for wrong in ["", "192.0.2", "192.0.2.1/33", "::/129", "x/8", "192.0.2.1/"] {
            assert_eq!(wrong.parse::<Prefix>(), Err(NotAPrefix), "{wrong}");
        }
        let shown = "2001:db8:a::1/48".parse::<Prefix>().unwrap().to_string();
        assert_eq!(shown, "2001:db8:a::/48");
    }
}
