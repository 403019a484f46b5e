//! Longest-prefix look-up over prefixes of both families.
//!
//! One hash map, probed once per prefix length that occurs, longest first: an operator uses a
//! handful of lengths, and a million hosts cost one probe.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// Values by prefix.
#[derive(Debug)]
pub(super) struct Prefixes<V> {
    values: HashMap<(IpAddr, u8), V>,
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
}

impl<V> Prefixes<V> {
    /// The value of the longest prefix that contains `address`.
    pub(super) fn longest(&self, address: IpAddr) -> Option<&V> {
        let lengths = match address {
            IpAddr::V4(_) => &self.lengths_v4,
            IpAddr::V6(_) => &self.lengths_v6,
        };
        lengths
            .iter()
            .find_map(|&length| self.values.get(&(masked(address, length), length)))
    }
}

impl<V> FromIterator<(IpNetwork, V)> for Prefixes<V> {
    fn from_iter<I: IntoIterator<Item = (IpNetwork, V)>>(pairs: I) -> Self {
        let mut this = Self {
            values: HashMap::new(),
            lengths_v4: Vec::new(),
            lengths_v6: Vec::new(),
        };
        for (network, value) in pairs {
            let lengths = match network {
                IpNetwork::V4(_) => &mut this.lengths_v4,
                IpNetwork::V6(_) => &mut this.lengths_v6,
            };
            lengths.push(network.prefix());
            // Host bits may be set: a prefix means the network it names.
            let key = (masked(network.ip(), network.prefix()), network.prefix());
            this.values.insert(key, value);
        }
        for lengths in [&mut this.lengths_v4, &mut this.lengths_v6] {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
        }
        this
    }
}

/// `address` with all but its first `length` bits zero.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_in_both_families() {
        let prefixes: Prefixes<&str> = [
            ("192.0.2.0/24", "net"),
            ("192.0.2.10/32", "host"),
            ("0.0.0.0/0", "all"),
            // Host bits set, as somebody types it.
            ("2001:db8:a:b::20/64", "six"),
            ("2001:db8:a:b::21/128", "six-host"),
        ]
        .map(|(network, name)| (network.parse().unwrap(), name))
        .into_iter()
        .collect();
        for (address, expected) in [
            ("192.0.2.10", Some("host")),
            ("192.0.2.11", Some("net")),
            ("203.0.113.1", Some("all")),
            ("2001:db8:a:b::1", Some("six")),
            ("2001:db8:a:b::21", Some("six-host")),
            ("2001:db8:a:c::21", None),
        ] {
            let found = prefixes.longest(address.parse().unwrap()).copied();
            assert_eq!(found, expected, "{address}");
        }
    }
}
