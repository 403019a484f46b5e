//! All customers, bounded: whoever was silent for longest makes room.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::customer::Customer;
use super::octets;
use crate::Time;

/// Who is counted as one: an IPv4 address, or an IPv6 prefix, because hosts rotate inside of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerKey {
    address: IpAddr,
    /// Of an IPv6 address; 32 of an IPv4 address.
    prefix: u8,
}

/// The table.
#[derive(Debug)]
pub struct Customers {
    known: HashMap<CustomerKey, Known, std::hash::RandomState>,
    /// By the turn in which they were heard last, more or less. The first one is 1.
    silent: BTreeMap<u64, CustomerKey>,
    turn: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Known {
    customer: Box<Customer>,
    turn: u64,
}

/// How many records of a table could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damaged(pub usize);

impl CustomerKey {
    /// The one that `address` belongs to; of IPv6 by `ipv6_prefix` bits.
    #[must_use]
    pub fn of(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self {
                address: address.to_canonical(),
                prefix: 32,
            },
            IpAddr::V6(address) => {
                let prefix = ipv6_prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self {
                    address: Ipv6Addr::from_bits(address.to_bits() & mask).into(),
                    prefix,
                }
            }
        }
    }

    /// The address, or the first one of the prefix.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn octets(&self) -> [u8; OCTETS] {
        let mut octets = [0; OCTETS];
        let [family, prefix, address @ ..] = &mut octets;
        *prefix = self.prefix;
        match self.address {
            IpAddr::V4(v4) => {
                *family = 4;
                let kept = address.iter_mut().zip(v4.octets());
                kept.for_each(|(octet, kept)| *octet = kept);
            }
            IpAddr::V6(v6) => {
                *family = 6;
                *address = v6.octets();
            }
        }
        octets
    }

    pub(super) fn of_octets(octets: [u8; OCTETS]) -> Option<Self> {
        let [family, prefix, address @ ..] = octets;
        match (family, prefix) {
            (4, 32) => {
                let [a, b, c, d, ..] = address;
                Some(Self::of(Ipv4Addr::new(a, b, c, d).into(), 128))
            }
            (6, ..=128) => Some(Self::of(Ipv6Addr::from(address).into(), prefix)),
            _ => None,
        }
    }
}

/// `192.0.2.10`, `2001:db8:a:a::/64`.
impl fmt::Display for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V6(address) if self.prefix < 128 => write!(f, "{address}/{}", self.prefix),
            IpAddr::V4(_) | IpAddr::V6(_) => write!(f, "{}", self.address),
        }
    }
}

impl Customers {
    /// Nobody is known; so many will be at most.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            known: HashMap::default(),
            silent: BTreeMap::new(),
            turn: 0,
            capacity: capacity.max(1),
        }
    }

    /// The customer, who does something.
    pub fn heard(&mut self, key: CustomerKey) -> &mut Customer {
        if !self.known.contains_key(&key) {
            while self.known.len() >= self.capacity
                && let Some((_, silent)) = self.silent.pop_first()
            {
                self.known.remove(&silent);
            }
        }
        // Who is far from being forgotten keeps its place: most of what is told is told of the same few.
        let safe = self.known.len() as u64 / 8;
        let (turn, silent) = (&mut self.turn, &mut self.silent);
        let known = self.known.entry(key).or_insert_with(|| Known {
            customer: Box::default(),
            turn: 0,
        });
        if known.turn == 0 || known.turn + safe < *turn {
            *turn += 1;
            silent.remove(&known.turn);
            known.turn = *turn;
            silent.insert(*turn, key);
        }
        &mut known.customer
    }

    /// The customer, if it is known.
    #[must_use]
    pub fn known(&self, key: CustomerKey) -> Option<&Customer> {
        self.known.get(&key).map(|known| &*known.customer)
    }

    /// All of them; who was heard last stands among the last.
    pub fn all(&self) -> impl Iterator<Item = (CustomerKey, &Customer)> {
        let keys = self.silent.values();
        keys.filter_map(|key| Some((*key, self.known(*key)?)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Other bounds; who was silent for longest is forgotten.
    pub fn bound(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
        while self.known.len() > self.capacity
            && let Some((_, silent)) = self.silent.pop_first()
        {
            self.known.remove(&silent);
        }
    }

    /// What a file holds of it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        octets::encode(self)
    }

    /// What such a file says. Records that are damaged are left out, and counted; what is not such a file at all is
    /// `None`. Nothing is older than a moment of the future that `now` denies.
    #[must_use]
    pub fn decode(octets: &[u8], capacity: usize, now: Time) -> Option<(Self, Damaged)> {
        octets::decode(octets, capacity, now)
    }
}

pub(super) const OCTETS: usize = 18;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::limits::{Limits, Measure};
    use super::*;

    #[test]
    fn a_64_is_one_customer_and_an_ipv4_address_is() {
        let key = |text: &str| CustomerKey::of(text.parse().unwrap(), 64);
        assert_eq!(key("2001:db8:a:a::10"), key("2001:db8:a:a:ffff::1"));
        assert_ne!(key("2001:db8:a:a::10"), key("2001:db8:a:b::10"));
        assert_ne!(key("192.0.2.10"), key("192.0.2.11"));
        assert_eq!(key("::ffff:192.0.2.10"), key("192.0.2.10"));
        assert_eq!(key("2001:db8:a:a::10").to_string(), "2001:db8:a:a::/64");
        assert_eq!(key("192.0.2.10").to_string(), "192.0.2.10");
        let whole = CustomerKey::of("2001:db8::1".parse().unwrap(), 128);
        assert_eq!(whole.to_string(), "2001:db8::1");
        for key in [key("2001:db8:a:a::10"), key("192.0.2.10"), whole] {
            assert_eq!(CustomerKey::of_octets(key.octets()), Some(key));
        }
    }

    #[test]
    fn who_was_silent_for_longest_makes_room() {
        let key = |number| CustomerKey::of(IpAddr::from([192, 0, 2, number]), 64);
        let now = Duration::from_secs(1_790_000_000);
        let mut customers = Customers::new(3);
        for number in [1, 2, 3, 1, 4] {
            let customer = customers.heard(key(number));
            customer.used(Measure::Messages, 1, &Limits::default(), now);
        }
        let known: Vec<CustomerKey> = customers.all().map(|(key, _)| key).collect();
        assert_eq!(known, [key(3), key(1), key(4)]);
        let messages = |number| {
            customers
                .known(key(number))
                .map(|it| it.counts(now).messages)
        };
        assert_eq!((messages(1), messages(2)), (Some(2), None));
        customers.bound(1);
        assert_eq!(customers.len(), 1);
        assert!(customers.known(key(4)).is_some());
    }
}
