//! Things by prefix, and which of them lie around or inside of another prefix, without a walk over all of them.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

/// At most one thing for each prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes<T>(BTreeMap<IpNetwork, T>);

impl<T> Prefixes<T> {
    /// What a prefix has, and those around it, the most specific first.
    pub fn over(&self, prefix: IpNetwork) -> impl Iterator<Item = (IpNetwork, &T)> {
        let lengths = (0..=prefix.prefix()).rev();
        let around = lengths.filter_map(move |length| shortened(prefix, length));
        around.filter_map(|around| Some((around, self.0.get(&around)?)))
    }

    /// What lies inside of a prefix, itself included, by address.
    pub fn within(&self, prefix: IpNetwork) -> impl Iterator<Item = (IpNetwork, &T)> {
        // Prefixes sort by address, and of one address the widest comes first.
        let beginning = self.0.range(prefix..);
        let inside = beginning.take_while(move |(inner, _)| prefix.contains(inner.network()));
        inside.map(|(inner, thing)| (*inner, thing))
    }

    /// What exactly this prefix has.
    #[must_use]
    pub fn on(&self, prefix: IpNetwork) -> Option<&T> {
        self.0.get(&prefix)
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = (IpNetwork, &T)> {
        self.0.iter().map(|(prefix, thing)| (*prefix, thing))
    }

    /// Puts something there; answers with what was there.
    pub fn insert(&mut self, prefix: IpNetwork, thing: T) -> Option<T> {
        self.0.insert(prefix, thing)
    }

    /// Takes away what is there.
    pub fn remove(&mut self, prefix: IpNetwork) -> Option<T> {
        self.0.remove(&prefix)
    }
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> FromIterator<(IpNetwork, T)> for Prefixes<T> {
    fn from_iter<I: IntoIterator<Item = (IpNetwork, T)>>(things: I) -> Self {
        Self(things.into_iter().collect())
    }
}

/// The prefix of that length around another one.
#[must_use]
pub fn shortened(prefix: IpNetwork, length: u8) -> Option<IpNetwork> {
    let around = IpNetwork::new(prefix.network(), length).ok()?;
    IpNetwork::new(around.network(), length).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Few bits, so that many of them overlap.
    fn prefix() -> impl Strategy<Value = IpNetwork> {
        let four = (0_u32..16, 26_u8..=32).prop_map(|(host, length)| {
            let address = IpAddr::V4(Ipv4Addr::from(0xc000_0200 + host * 4));
            shortened(IpNetwork::from(address), length).unwrap()
        });
        let six = (0_u128..16, 120_u8..=128).prop_map(|(host, length)| {
            let address = IpAddr::V6(Ipv6Addr::from((0x2001_0db8 << 96) + host * 16));
            shortened(IpNetwork::from(address), length).unwrap()
        });
        prop_oneof![four, six]
    }

    fn covers(wide: IpNetwork, narrow: IpNetwork) -> bool {
        wide.prefix() <= narrow.prefix() && wide.contains(narrow.network())
    }

    proptest! {
        #[test]
        fn around_and_inside_is_what_a_walk_over_all_would_find(
            all in proptest::collection::btree_set(prefix(), 0..24),
            asked in prefix(),
        ) {
            let prefixes: Prefixes<()> = all.iter().map(|prefix| (*prefix, ())).collect();
            let mut over: Vec<_> = prefixes.over(asked).map(|(prefix, ())| prefix).collect();
            prop_assert!(over.is_sorted_by_key(|prefix| std::cmp::Reverse(prefix.prefix())));
            over.sort();
            let expected: Vec<_> = all.iter().copied().filter(|it| covers(*it, asked)).collect();
            prop_assert_eq!(over, expected);
            let within: Vec<_> = prefixes.within(asked).map(|(prefix, ())| prefix).collect();
            let expected: Vec<_> = all.iter().copied().filter(|it| covers(asked, *it)).collect();
            prop_assert_eq!(within, expected);
        }
    }
}
