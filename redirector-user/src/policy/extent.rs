//! What somebody had when: prefixes, each for a time. Whoever asks what is held about a customer asks by it.
//!
//! What is told about a wider prefix than the customer's is about others, too, and is not the customer's alone.

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::tenant::CustomerId;

/// A prefix for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which.
    pub prefix: IpNetwork,
    /// From then on; `None` = from the beginning.
    pub from: Option<Timestamp>,
    /// Until then, exclusive; `None` = to the end.
    pub to: Option<Timestamp>,
}

/// All that somebody had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    spans: Vec<Span>,
    customer: Option<CustomerId>,
}

impl Extent {
    /// Made of spans, which may overlap.
    pub fn new(spans: impl IntoIterator<Item = Span>) -> Self {
        Self {
            spans: spans.into_iter().collect(),
            customer: None,
        }
    }

    /// What a known customer has and had, and what is known of itself.
    pub fn of(customer: CustomerId, spans: impl IntoIterator<Item = Span>) -> Self {
        Self {
            customer: Some(customer),
            ..Self::new(spans)
        }
    }

    /// Whose it is, if that is known by a key.
    #[must_use]
    pub const fn customer(&self) -> Option<&CustomerId> {
        self.customer.as_ref()
    }

    /// A prefix, always.
    #[must_use]
    pub fn always(prefix: IpNetwork) -> Self {
        Self::new([Span {
            prefix,
            from: None,
            to: None,
        }])
    }

    /// Its spans.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Whether what is about this prefix at that time is about nobody else.
    #[must_use]
    pub fn holds(&self, prefix: IpNetwork, at: Timestamp) -> bool {
        self.spans
            .iter()
            .any(|span| span.holds_time(at) && is_inside(prefix, span.prefix))
    }
}

impl Span {
    fn holds_time(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// Whether a prefix is the other one, or in it.
fn is_inside(prefix: IpNetwork, other: IpNetwork) -> bool {
    prefix.prefix() >= other.prefix() && other.contains(prefix.network())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::feed::keys;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn prefixes() -> impl Strategy<Value = IpNetwork> {
        let network = |address: IpAddr, length: u8| {
            let network = IpNetwork::new(address, length).unwrap();
            IpNetwork::new(network.network(), length).unwrap()
        };
        let four = (any::<u8>(), 20..=32_u8);
        let six = (any::<u8>(), 40..=128_u8);
        prop_oneof![
            four.prop_map(move |(low, length)| network(
                Ipv4Addr::new(192, 0, 2, low).into(),
                length
            )),
            six.prop_map(move |(low, length)| {
                let address = Ipv6Addr::new(0x2001, 0xdb8, 0xa, low.into(), 0, 0, 0, low.into());
                network(address.into(), length)
            }),
        ]
    }

    #[test]
    fn what_is_wider_or_at_another_time_is_anothers() {
        let span = |prefix: &str, from, to| Span {
            prefix: prefix.parse().unwrap(),
            from,
            to,
        };
        let extent = Extent::new([
            span("192.0.2.0/28", None, Some(at(100))),
            span("2001:db8:a:a::/64", Some(at(50)), None),
        ]);
        for (prefix, second, expected) in [
            ("192.0.2.0/28", 0, true),
            ("192.0.2.15/32", 99, true),
            ("192.0.2.15/32", 100, false),
            ("192.0.2.16/32", 0, false),
            ("192.0.2.0/27", 0, false),
            ("2001:db8:a:a::10/128", 50, true),
            ("2001:db8:a:a::10/128", 49, false),
            ("2001:db8:a::/48", 60, false),
        ] {
            let held = extent.holds(prefix.parse().unwrap(), at(second));
            assert_eq!(held, expected, "{prefix} at {second}");
        }
        assert!(!Extent::default().holds("192.0.2.0/28".parse().unwrap(), at(0)));
    }

    proptest! {
        /// The store looks by keys; both must mean the same.
        #[test]
        fn inside_is_between_the_keys(prefix in prefixes(), other in prefixes()) {
            let ((first, last), (from, to)) = (keys(prefix), keys(other));
            prop_assert_eq!(is_inside(prefix, other), first >= from && last <= to);
            prop_assert_eq!(Extent::always(other).holds(prefix, at(0)), is_inside(prefix, other));
        }
    }
}
