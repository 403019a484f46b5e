//! What customers do between two reports, counted: messages that are accepted are not told one by one.
//!
//! A customer is an address and a flag; an IPv6 host rotates inside of its /64, which is one customer here. There are so
//! many at most; whoever comes then has all of them told early.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use contract::event::{Happening, Rates};

use crate::learnt::Learner;

/// Whom figures are about: the address, or the first of its /64, and the flag.
pub(super) type Whom = (IpAddr, Option<u32>);

/// Counts of one window.
#[derive(Debug)]
pub(super) struct Tally {
    begun: Instant,
    customers: HashMap<Whom, Rates>,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begun: now,
            customers: HashMap::new(),
        }
    }

    /// Changes the figures of a customer; what has to be told first.
    pub(super) fn count(
        &mut self,
        (customer, flag): Whom,
        now: Instant,
        change: impl FnOnce(&mut Rates),
    ) -> Vec<(Whom, Happening)> {
        let whom = (Learner::of(customer).ip(), flag);
        let full = self.customers.len() >= CUSTOMERS_MAX && !self.customers.contains_key(&whom);
        let told = if full { self.tell(now) } else { Vec::new() };
        change(self.customers.entry(whom).or_default());
        told
    }

    /// Ends the window: the figures of everybody who did something in it.
    pub(super) fn tell(&mut self, now: Instant) -> Vec<(Whom, Happening)> {
        let window = now.duration_since(self.begun).as_secs_f64().round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of seconds that is neither negative nor beyond a century"
        )]
        let window_s = window as u32;
        self.begun = now;
        let customers = self.customers.drain();
        let told =
            customers.map(|(whom, rates)| (whom, Happening::Rates(Rates { window_s, ..rates })));
        told.collect()
    }
}

/// About 2 MiB.
const CUSTOMERS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_of_a_window_are_told_once_and_hosts_of_one_64_together() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        let four: IpAddr = "192.0.2.10".parse().unwrap();
        let message = |rates: &mut Rates| rates.messages += 1;
        for (address, flag) in [
            (four, Some(3)),
            (four, Some(3)),
            (four, None),
            ("2001:db8:a:a::10".parse().unwrap(), Some(4)),
            ("2001:db8:a:a::11".parse().unwrap(), Some(4)),
        ] {
            assert!(tally.count((address, flag), begun, message).is_empty());
        }
        let mut told = tally.tell(begun + Duration::from_secs(60));
        told.sort_by_key(|(whom, _)| *whom);
        let rates = |messages| {
            Happening::Rates(Rates {
                window_s: 60,
                messages,
                ..Rates::default()
            })
        };
        let six = "2001:db8:a:a::".parse().unwrap();
        let expected = [
            ((four, None), rates(1)),
            ((four, Some(3)), rates(2)),
            ((six, Some(4)), rates(2)),
        ];
        assert_eq!(told, expected);
        assert!(tally.tell(begun + Duration::from_secs(120)).is_empty());
    }

    #[test]
    fn too_many_customers_are_told_early() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        let mut told = 0;
        let customers = u32::try_from(CUSTOMERS_MAX).unwrap() + 10;
        for number in 0..customers {
            let address = IpAddr::from(number.to_be_bytes());
            told += tally
                .count((address, None), begun, |rates| rates.connections += 1)
                .len();
            assert!(tally.customers.len() <= CUSTOMERS_MAX);
        }
        assert_eq!(told, CUSTOMERS_MAX);
        assert_eq!(tally.tell(begun).len(), 10);
    }
}
