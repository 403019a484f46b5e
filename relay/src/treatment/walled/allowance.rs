//! How often walled customers may write to the operator.
//!
//! Such mail is not scanned, and a host that was walled for what it sends may send it to the abuse desk just as
//! well. Each customer (IPv6: each /64) has so many messages an hour, at once or one by one; what is beyond them is
//! deferred, so that nothing that a person wrote is lost.
//!
//! One moment is kept per customer, and only until its allowance is whole again; the table is bounded, and while it is
//! full of customers who are writing a new one is deferred.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::listen::limits::counted_as;
use crate::origin::CustomerAddr;

/// The allowances of all customers of a relay.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// What one message takes away, and time gives back.
    each: Duration,
    /// By customer: when its allowance will be whole again.
    whole_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Allowance {
    /// Everybody's is whole.
    pub(crate) fn new(per_hour: NonZeroU32) -> Self {
        Self {
            each: HOUR / per_hour.get(),
            whole_at: Mutex::default(),
        }
    }

    /// Takes one message of `customer`'s allowance; whether there was one left.
    pub(crate) fn take(&self, customer: CustomerAddr, now: Instant) -> bool {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let customer = counted_as(customer);
        if whole_at.len() >= CUSTOMERS_MAX && !whole_at.contains_key(&customer) {
            whole_at.retain(|_, &mut moment| moment > now);
            if whole_at.len() >= CUSTOMERS_MAX {
                return false;
            }
        }
        let moment = whole_at.entry(customer).or_insert(now);
        let after = (*moment).max(now) + self.each;
        let is_left = after <= now + HOUR;
        if is_left {
            *moment = after;
        }
        is_left
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// Entries at once: some 4 MiB.
const CUSTOMERS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(number: u32) -> CustomerAddr {
        CustomerAddr::new(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back_with_time() {
        let allowance = Allowance::new(NonZeroU32::new(4).unwrap());
        let start = Instant::now();
        let taken = |minutes: u64| {
            let now = start + Duration::from_secs(60 * minutes);
            (0..10).filter(|_| allowance.take(customer(1), now)).count()
        };
        assert_eq!(taken(0), 4);
        assert_eq!(taken(14), 0);
        assert_eq!(taken(15), 1);
        assert_eq!(taken(45), 2);
        assert_eq!(taken(1000), 4);
        // Nobody else's business.
        assert!(allowance.take(customer(2), start));
    }

    #[test]
    fn addresses_of_one_64_share_one() {
        let allowance = Allowance::new(NonZeroU32::MIN);
        let now = Instant::now();
        let six = |text: &str| CustomerAddr::new(text.parse().unwrap());
        assert!(allowance.take(six("2001:db8:a:a::10"), now));
        assert!(!allowance.take(six("2001:db8:a:a::11"), now));
        assert!(allowance.take(six("2001:db8:a:b::10"), now));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_whole_again() {
        let allowance = Allowance::new(NonZeroU32::MIN);
        let start = Instant::now();
        let customers = u32::try_from(CUSTOMERS_MAX).unwrap();
        assert!((0..customers).all(|number| allowance.take(customer(number), start)));
        assert!(!allowance.take(customer(customers), start));
        assert!(allowance.take(customer(customers), start + HOUR));
        assert_eq!(allowance.whole_at.lock().unwrap().len(), 1);
    }
}
