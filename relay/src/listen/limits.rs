//! How many connections there may be, in total and of one customer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relay_proto::server::Stress;
use tokio::sync::watch;

use super::pressure::Pressure;
use crate::config::Limits;
use crate::origin::CustomerAddr;

/// The connections of one relay.
#[derive(Debug)]
pub(crate) struct Connections {
    total_max: usize,
    per_customer_max: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    total: usize,
    by_customer: HashMap<IpAddr, usize>,
    pressure: Pressure,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    customer: IpAddr,
    open: Arc<Mutex<Open>>,
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
    /// No connection yet. From `stressed_at` per cent of all on there is stress.
    pub(crate) fn new(limits: &Limits, stressed_at: usize) -> Self {
        Self {
            total_max: limits.connections,
            per_customer_max: limits.connections_per_customer,
            open: Arc::new(Mutex::new(Open {
                total: 0,
                by_customer: HashMap::new(),
                pressure: Pressure::new(limits.connections, stressed_at),
            })),
        }
    }

    /// The same connections under other bounds; who is beyond them stays.
    pub(crate) fn bounded(&self, limits: &Limits, stressed_at: usize) -> Self {
        let mut open = lock(&self.open);
        open.pressure.bound(limits.connections, stressed_at);
        open.pressure.feel(open.total);
        drop(open);
        Self {
            total_max: limits.connections,
            per_customer_max: limits.connections_per_customer,
            open: Arc::clone(&self.open),
        }
    }

    /// Whether sessions should make room for each other.
    pub(crate) fn stress(&self) -> watch::Receiver<Stress> {
        lock(&self.open).pressure.subscribe()
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        lock(&self.open).total
    }

    /// Takes a place for a connection of `customer`.
    pub(crate) fn enter(&self, customer: CustomerAddr) -> Result<Permit, Full> {
        let mut open = lock(&self.open);
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
        open.pressure.feel(open.total);
        open.by_customer.insert(customer, of_customer + 1);
        Ok(Permit {
            customer,
            open: Arc::clone(&self.open),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.total -= 1;
        open.pressure.feel(open.total);
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

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
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
        let connections = Connections::new(&limits, 80);
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
        assert_eq!(lock(&connections.open).total, 3);
        assert_eq!(lock(&connections.open).by_customer.len(), 3);
    }
}
