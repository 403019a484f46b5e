//! How many connections there may be, in total and of one customer, and whether that is nearly all.
//!
//! From four fifths of the total on the relay is under stress, and sessions are given less time and fewer
//! errors, so that the last places go to those who use them; it ends at two thirds, so that it does not come and
//! go with every connection. Sessions that are waiting are told at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relay_proto::server::Stress;
use tokio::sync::watch;

use crate::config::Limits;
use crate::origin::CustomerAddr;

/// The connections of one relay.
#[derive(Debug)]
pub(crate) struct Connections {
    total_max: usize,
    per_customer_max: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open: Mutex<Open>,
    stress: watch::Sender<Stress>,
    /// Connections from which on there is stress, and below which it ends.
    stressed_from: usize,
    relieved_below: usize,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_customer: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    customer: IpAddr,
    shared: Arc<Shared>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The relay has all the connections it takes.
    Relay,
    /// The customer has all that one customer may have.
    Customer,
}

impl Connections {
    /// No connection yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            total_max: limits.connections,
            per_customer_max: limits.connections_per_customer,
            shared: Arc::new(Shared {
                open: Mutex::default(),
                stress: watch::Sender::new(Stress::None),
                stressed_from: limits.connections.saturating_mul(4).div_ceil(5),
                relieved_below: limits.connections.saturating_mul(2).div_ceil(3),
            }),
        }
    }

    /// Whether there is stress, and when that changes.
    pub(crate) fn stress(&self) -> watch::Receiver<Stress> {
        self.shared.stress.subscribe()
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.shared.lock().total
    }

    /// Takes a place for a connection of `customer`.
    pub(crate) fn enter(&self, customer: CustomerAddr) -> Result<Permit, Full> {
        let mut open = self.shared.lock();
        // The customer's own limit first: "your address" is an answer that it can act on.
        let customer = counted_as(customer);
        let of_customer = open.by_customer.get(&customer).copied().unwrap_or(0);
        if of_customer >= self.per_customer_max {
            return Err(Full::Customer);
        }
        if open.total >= self.total_max {
            return Err(Full::Relay);
        }
        open.total += 1;
        open.by_customer.insert(customer, of_customer + 1);
        self.shared.tell_stress(open.total);
        drop(open);
        Ok(Permit {
            customer,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.shared.lock();
        open.total -= 1;
        self.shared.tell_stress(open.total);
        if let Entry::Occupied(mut entry) = open.by_customer.entry(self.customer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// IPv6 hosts rotate their addresses inside of a /64, so that is what is counted.
pub(crate) fn counted_as(customer: CustomerAddr) -> IpAddr {
    match customer.ip() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who listens, if `total` connections make a difference.
    fn tell_stress(&self, total: usize) {
        self.stress.send_if_modified(|stress| {
            let now = if total >= self.stressed_from {
                Stress::High
            } else if total < self.relieved_below {
                Stress::None
            } else {
                *stress
            };
            std::mem::replace(stress, now) != now
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn places_are_bounded_per_customer_and_in_total_and_come_back() {
        let limits = Limits {
            connections: 3,
            connections_per_customer: 2,
            drain: Duration::ZERO,
        };
        let connections = Connections::new(&limits);
        let customer = |text: &str| CustomerAddr::new(text.parse().unwrap());
        // Two addresses of one /64 are one customer.
        let first = connections.enter(customer("2001:db8:a:a::10")).unwrap();
        let _second = connections.enter(customer("2001:db8:a:a::11")).unwrap();
        assert_eq!(
            connections.enter(customer("2001:db8:a:a::12")).unwrap_err(),
            Full::Customer
        );
        let _third = connections.enter(customer("192.0.2.10")).unwrap();
        assert_eq!(
            connections.enter(customer("192.0.2.20")).unwrap_err(),
            Full::Relay
        );
        drop(first);
        let _fourth = connections.enter(customer("192.0.2.20")).unwrap();
        assert_eq!(connections.shared.lock().total, 3);
        assert_eq!(connections.shared.lock().by_customer.len(), 3);
    }

    #[test]
    fn stress_begins_at_four_fifths_and_ends_at_two_thirds() {
        let limits = Limits {
            connections: 30,
            connections_per_customer: 30,
            drain: Duration::ZERO,
        };
        let connections = Connections::new(&limits);
        let mut stress = connections.stress();
        let customer = CustomerAddr::new("192.0.2.10".parse().unwrap());
        let mut permits: Vec<Permit> = (0..23)
            .map(|_| connections.enter(customer).unwrap())
            .collect();
        assert!(!stress.has_changed().unwrap());
        permits.push(connections.enter(customer).unwrap());
        assert_eq!(*stress.borrow_and_update(), Stress::High);
        permits.truncate(20);
        assert!(!stress.has_changed().unwrap());
        permits.truncate(19);
        assert_eq!(*stress.borrow_and_update(), Stress::None);
        permits.push(connections.enter(customer).unwrap());
        assert!(!stress.has_changed().unwrap());
    }
}
