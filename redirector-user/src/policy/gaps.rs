//! What of a prefix no other prefix is about. Pure.
//!
//! Addresses are numbers here, those of IPv4 below 2^32: two families never meet in one question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// What is left of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many of its addresses are left; of `::/0` one less, which nobody counts.
    pub addresses: u128,
    /// They, in as few prefixes as it takes, in order, at most as many as were asked for.
    pub pieces: Vec<IpNetwork>,
    /// Whether there are more pieces.
    pub more: bool,
}

/// What is left of `whole` without the prefixes in `covered`; `None` = nothing. At most so many pieces are named.
#[must_use]
pub fn gap(
    whole: IpNetwork,
    covered: impl IntoIterator<Item = IpNetwork>,
    at_most: usize,
) -> Option<Gap> {
    let spans = left(whole, covered);
    let addresses = spans
        .iter()
        .map(|span| (span.last - span.first).saturating_add(1))
        .fold(0, u128::saturating_add);
    let mut pieces = spans.iter().flat_map(|span| Pieces::new(whole, *span));
    let named: Vec<IpNetwork> = pieces.by_ref().take(at_most).collect();
    (addresses > 0).then(|| Gap {
        addresses,
        pieces: named,
        more: pieces.next().is_some(),
    })
}

/// How many addresses a prefix has; of `::/0` one less.
#[must_use]
pub fn addresses(prefix: IpNetwork) -> u128 {
    let span = Span::of(prefix);
    (span.last - span.first).saturating_add(1)
}

/// Addresses from one to another, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: u128,
    last: u128,
}

impl Span {
    fn of(prefix: IpNetwork) -> Self {
        Self {
            first: number(prefix.network()),
            last: number(prefix.broadcast()),
        }
    }
}

/// Spans of `whole` that nothing covers, in order.
fn left(whole: IpNetwork, covered: impl IntoIterator<Item = IpNetwork>) -> Vec<Span> {
    let whole_span = Span::of(whole);
    let mut covered: Vec<Span> = covered
        .into_iter()
        .filter(|prefix| prefix.is_ipv4() == whole.is_ipv4())
        .map(Span::of)
        .filter(|span| span.last >= whole_span.first && span.first <= whole_span.last)
        .collect();
    covered.sort_by_key(|span| span.first);
    let mut left = Vec::new();
    // The first address that nobody has spoken about yet; `None` = the last one was.
    let mut next = Some(whole_span.first);
    for span in covered {
        let Some(first) = next else { break };
        if span.first > first {
            left.push(Span {
                first,
                last: span.first - 1,
            });
        }
        if span.last >= first {
            next = span.last.checked_add(1);
        }
    }
    if let Some(first) = next.filter(|first| *first <= whole_span.last) {
        left.push(Span {
            first,
            last: whole_span.last,
        });
    }
    left
}

/// A span as prefixes: at each address the widest one that begins there and ends within.
#[derive(Debug)]
struct Pieces {
    v4: bool,
    next: Option<u128>,
    last: u128,
}

impl Pieces {
    fn new(whole: IpNetwork, span: Span) -> Self {
        Self {
            v4: whole.is_ipv4(),
            next: Some(span.first),
            last: span.last,
        }
    }
}

impl Iterator for Pieces {
    type Item = IpNetwork;

    fn next(&mut self) -> Option<IpNetwork> {
        let first = self.next.filter(|first| *first <= self.last)?;
        let bits: u32 = if self.v4 { 32 } else { 128 };
        let aligned = first.trailing_zeros().min(bits);
        let room = self.last - first;
        // So many bits below the prefix that it ends within: 2^host - 1 <= room.
        let fits = match room.checked_add(1) {
            Some(count) => count.ilog2(),
            None => 128,
        };
        let host = aligned.min(fits);
        let size_less_one = match host {
            128 => u128::MAX,
            host => (1 << host) - 1,
        };
        self.next = first
            .checked_add(size_less_one)
            .and_then(|it| it.checked_add(1));
        let length = u8::try_from(bits - host).ok()?;
        IpNetwork::new(address(self.v4, first)?, length).ok()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(v4: bool, number: u128) -> Option<IpAddr> {
    Some(if v4 {
        Ipv4Addr::from(u32::try_from(number).ok()?).into()
    } else {
        Ipv6Addr::from(number).into()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    #[track_caller]
    fn left_are(whole: &str, covered: &[&str], wanted: &[&str]) {
        let gap = gap(
            prefix(whole),
            covered.iter().map(|text| prefix(text)),
            1_000,
        );
        let pieces = gap.map(|gap| gap.pieces).unwrap_or_default();
        let pieces: Vec<String> = pieces.iter().map(IpNetwork::to_string).collect();
        assert_eq!(pieces, wanted, "{whole} without {covered:?}");
    }

    #[test]
    fn what_nobody_speaks_about_is_left() {
        left_are("192.0.2.0/24", &[], &["192.0.2.0/24"]);
        left_are("192.0.2.0/24", &["192.0.2.0/24"], &[]);
        left_are("192.0.2.0/24", &["192.0.0.0/16"], &[]);
        left_are(
            "192.0.2.0/24",
            &["198.51.100.0/24", "::/0"],
            &["192.0.2.0/24"],
        );
        left_are("192.0.2.0/24", &["192.0.2.0/25", "192.0.2.128/25"], &[]);
        left_are(
            "192.0.2.0/30",
            &["192.0.2.1/32"],
            &["192.0.2.0/32", "192.0.2.2/31"],
        );
        left_are("2001:db8::/32", &["2001:db8::/33"], &["2001:db8:8000::/33"]);
        left_are("0.0.0.0/0", &[], &["0.0.0.0/0"]);
        left_are("::/0", &[], &["::/0"]);
        left_are("::/0", &["8000::/1", "::/1"], &[]);
        left_are(
            "255.255.255.254/31",
            &["255.255.255.255/32"],
            &["255.255.255.254/32"],
        );
    }

    #[test]
    fn no_more_pieces_are_named_than_were_asked_for() {
        let covered = (0..128).map(|host| prefix(&format!("192.0.2.{}/32", 2 * host)));
        let gap = gap(prefix("192.0.2.0/24"), covered, 3).unwrap();
        assert_eq!((gap.addresses, gap.pieces.len(), gap.more), (128, 3, true));
        assert_eq!(addresses(prefix("192.0.2.0/24")), 256);
        assert_eq!(addresses(prefix("2001:db8::/64")), 1 << 64);
    }

    proptest! {
        #[test]
        fn an_address_is_in_a_piece_just_if_nobody_covers_it(
            covered in prop::collection::vec((0_u8.., 24_u8..=32), 0..12),
            whole in (0_u8.., 22_u8..=32),
        ) {
            let at = |(host, length): (u8, u8)| {
                let address = IpAddr::from([192, 0, 2, host]);
                let prefix = IpNetwork::new(address, length).unwrap();
                IpNetwork::new(prefix.network(), length).unwrap()
            };
            let whole = at(whole);
            let covered: Vec<IpNetwork> = covered.into_iter().map(at).collect();
            let gap = gap(whole, covered.iter().copied(), usize::MAX);
            let pieces = gap.as_ref().map(|gap| gap.pieces.clone()).unwrap_or_default();
            let mut count = 0;
            for address in whole.iter() {
                let free = !covered.iter().any(|prefix| prefix.contains(address));
                let within = pieces.iter().filter(|piece| piece.contains(address)).count();
                prop_assert_eq!(within, usize::from(free));
                count += u128::from(free);
            }
            prop_assert_eq!(gap.map_or(0, |gap| gap.addresses), count);
            // No two of them are halves of one.
            for pair in pieces.windows(2) {
                let wider = IpNetwork::new(pair[0].network(), pair[0].prefix() - 1).unwrap();
                let halves = pair[0].prefix() == pair[1].prefix()
                    && wider.network() == pair[0].network()
                    && wider.contains(pair[1].network());
                prop_assert!(!halves, "{:?}", pair);
            }
        }
    }
}
