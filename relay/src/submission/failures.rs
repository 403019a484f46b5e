//! Attempts that failed: how many there may be, from one address and at one user.
//!
//! Both tables are bounded. While one is full of those who are using theirs up, an attempt that fails counts for all it
//! has: the next one from there waits for an hour's share. Who has not failed is not in any table, so nobody is shut out
//! by others but by guesses at his own name; and from where he has logged in before, not even by those.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::allowance::Allowance;
use crate::listen::limits::counted_as;
use crate::origin::CustomerAddr;

/// Failed attempts.
#[derive(Debug)]
pub(super) struct Failures {
    of_address: Allowance<IpAddr>,
    /// By a hash of the name, which a stranger chooses: an entry has one size.
    at_user: Allowance<u64>,
    hasher: RandomState,
    /// Who has logged in from where, and when last.
    at_home: Mutex<HashMap<(u64, IpAddr), Instant>>,
}

/// Whose share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limited {
    Address,
    User,
}

impl Failures {
    pub(super) fn new(per_address: NonZeroU32, per_user: NonZeroU32) -> Self {
        Self {
            of_address: Allowance::new(per_address),
            at_user: Allowance::new(per_user),
            hasher: RandomState::new(),
            at_home: Mutex::default(),
        }
    }

    /// Whether anything is heard from `address`.
    pub(super) fn hears(&self, address: IpAddr, now: Instant) -> bool {
        self.of_address.is_left(&counted(address), now)
    }

    /// Why an attempt at `name` is not judged; `None` = it is.
    pub(super) fn limits(&self, address: IpAddr, name: &str, now: Instant) -> Option<Limited> {
        let address = counted(address);
        let name = self.hasher.hash_one(name);
        if !self.of_address.is_left(&address, now) {
            return Some(Limited::Address);
        }
        let is_at_home = self.at_home().contains_key(&(name, address));
        (!is_at_home && !self.at_user.is_left(&name, now)).then_some(Limited::User)
    }

    /// An attempt has failed.
    pub(super) fn failed(&self, address: IpAddr, name: &str, now: Instant) {
        // There may be none left; what counts is that the next attempt finds it so.
        let _left = self.of_address.take(counted(address), now);
        let _left = self.at_user.take(self.hasher.hash_one(name), now);
    }

    /// An attempt has not failed.
    pub(super) fn succeeded(&self, address: IpAddr, name: &str, now: Instant) {
        let pair = (self.hasher.hash_one(name), counted(address));
        let mut at_home = self.at_home();
        if at_home.len() >= HOMES_MAX && !at_home.contains_key(&pair) {
            at_home.retain(|_, &mut last| now.duration_since(last) < REMEMBERED);
        }
        if at_home.len() < HOMES_MAX || at_home.contains_key(&pair) {
            at_home.insert(pair, now);
        }
    }

    fn at_home(&self) -> MutexGuard<'_, HashMap<(u64, IpAddr), Instant>> {
        self.at_home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted(address: IpAddr) -> IpAddr {
    counted_as(CustomerAddr::new(address))
}

/// Some 4 MiB.
const HOMES_MAX: usize = 65_536;
const REMEMBERED: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn failures() -> Failures {
        let number = |number| NonZeroU32::new(number).unwrap();
        Failures::new(number(3), number(5))
    }

    #[test]
    fn an_address_has_its_share_and_time_gives_it_back() {
        let failures = failures();
        let now = Instant::now();
        let guesser = address("2001:db8::1");
        for name in ["a", "b", "c"] {
            assert_eq!(failures.limits(guesser, name, now), None);
            failures.failed(guesser, name, now);
        }
        // The whole /64.
        let neighbour = address("2001:db8::2");
        assert_eq!(failures.limits(neighbour, "d", now), Some(Limited::Address));
        assert!(!failures.hears(neighbour, now));
        assert_eq!(failures.limits(address("2001:db8:0:1::1"), "d", now), None);
        let later = now + Duration::from_secs(1200);
        assert_eq!(failures.limits(neighbour, "d", later), None);
    }

    #[test]
    fn a_user_that_many_guess_at_is_let_in_from_home() {
        let failures = failures();
        let now = Instant::now();
        let home = address("192.0.2.1");
        failures.succeeded(home, "ann", now);
        for host in 1..=5 {
            let guesser = IpAddr::from([198, 51, 100, host]);
            assert_eq!(failures.limits(guesser, "ann", now), None);
            failures.failed(guesser, "ann", now);
        }
        let elsewhere = address("203.0.113.1");
        assert_eq!(failures.limits(elsewhere, "ann", now), Some(Limited::User));
        assert_eq!(failures.limits(elsewhere, "bob", now), None);
        assert_eq!(failures.limits(home, "ann", now), None);
        // Whose share of failures is as any other's.
        for _ in 0..3 {
            failures.failed(home, "ann", now);
        }
        assert_eq!(failures.limits(home, "ann", now), Some(Limited::Address));
    }

    #[test]
    fn homes_are_bounded() {
        let failures = failures();
        let now = Instant::now();
        for number in 0..u32::try_from(HOMES_MAX).unwrap() + 10 {
            failures.succeeded(IpAddr::from(number.to_be_bytes()), "ann", now);
        }
        assert_eq!(failures.at_home().len(), HOMES_MAX);
        failures.succeeded(address("2001:db8::1"), "ann", now + REMEMBERED);
        assert_eq!(failures.at_home().len(), 1);
    }
}
