//! The way that health probes take, and the addresses that they come from. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

/// The way that probes take to a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    /// From the host itself, by the kernel's routing.
    Direct,
    /// The way that customers' connections go. By each listener's address, the source of its probes.
    DataPath(BTreeMap<IpAddr, IpAddr>),
}

impl Through {
    /// As the operator writes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Direct => Self::DIRECT,
            Self::DataPath(_) => Self::DATA_PATH,
        }
    }

    /// The word for [`Through::Direct`].
    pub(crate) const DIRECT: &str = "direct";
    /// The word for [`Through::DataPath`].
    pub(crate) const DATA_PATH: &str = "data-path";
}

/// Gives each listener an address of the reserved prefixes, in order. A listener for which none is left is
/// the error.
pub(super) fn sources(
    reserved: &[IpNetwork],
    listeners: impl Iterator<Item = IpAddr>,
) -> Result<BTreeMap<IpAddr, IpAddr>, IpAddr> {
    let mut free4 = reserved.iter().filter_map(v4).flat_map(hosts4);
    let mut free6 = reserved.iter().filter_map(v6).flat_map(hosts6);
    listeners
        .map(|listener| {
            let source = if listener.is_ipv4() {
                free4.next()
            } else {
                free6.next()
            };
            source.map(|source| (listener, source)).ok_or(listener)
        })
        .collect()
}

fn v4(prefix: &IpNetwork) -> Option<Ipv4Network> {
    match prefix {
        IpNetwork::V4(v4) => Some(*v4),
        IpNetwork::V6(_) => None,
    }
}

fn v6(prefix: &IpNetwork) -> Option<Ipv6Network> {
    match prefix {
        IpNetwork::V6(v6) => Some(*v6),
        IpNetwork::V4(_) => None,
    }
}

/// Without the first and the last: where the prefix is a subnet of the relay's host, that host takes neither
/// for somebody else's address (RFC 922 section 7; a /31 has none of them, RFC 3021).
fn hosts4(prefix: Ipv4Network) -> impl Iterator<Item = IpAddr> {
    let (first, last) = (u32::from(prefix.network()), u32::from(prefix.broadcast()));
    let hosts = if prefix.prefix() >= 31 {
        first..=last
    } else {
        first + 1..=last - 1
    };
    hosts.map(|host| IpAddr::V4(host.into()))
}

/// Without the first, which is every router's (RFC 4291 section 2.6.1).
fn hosts6(prefix: Ipv6Network) -> impl Iterator<Item = IpAddr> {
    let (first, last) = (u128::from(prefix.network()), u128::from(prefix.broadcast()));
    (first + 1..=last).map(|host| IpAddr::V6(host.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn given(reserved: &[&str], listeners: &[&str]) -> Result<Vec<String>, String> {
        let reserved: Vec<IpNetwork> = reserved.iter().map(|text| text.parse().unwrap()).collect();
        let listeners: Vec<IpAddr> = listeners.iter().map(|text| text.parse().unwrap()).collect();
        let sources = sources(&reserved, listeners.iter().copied());
        let sources = sources.map_err(|listener| listener.to_string())?;
        Ok(listeners.iter().map(|to| sources[to].to_string()).collect())
    }

    #[test]
    fn every_listener_has_a_source_of_its_own() {
        let reserved = ["192.0.2.224/30", "192.0.2.240/31", "2001:db8:a:ffff::/64"];
        let listeners = [
            "198.51.100.2",
            "2001:db8:2::2",
            "198.51.100.3",
            "198.51.100.4",
            "2001:db8:2::3",
            "198.51.100.5",
        ];
        let expected = [
            "192.0.2.225",
            "2001:db8:a:ffff::1",
            "192.0.2.226",
            "192.0.2.240",
            "2001:db8:a:ffff::2",
            "192.0.2.241",
        ];
        assert_eq!(given(&reserved, &listeners).unwrap(), expected);
    }

    #[test]
    fn who_comes_too_late_is_named() {
        let listeners = ["198.51.100.2", "198.51.100.3"];
        assert_eq!(
            given(&["192.0.2.9/32"], &listeners),
            Err(String::from("198.51.100.3"))
        );
        assert_eq!(
            given(&["192.0.2.0/24"], &["2001:db8:2::2"]),
            Err(String::from("2001:db8:2::2"))
        );
    }
}
