//! How often somebody may do something: so many times an hour, at once or one by one.
//!
//! One moment is kept for each, and only until its allowance is whole again; the table is bounded, and while it is
//! full of those who are using theirs up somebody new has none.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The allowances of all `Key`s, as customers.
#[derive(Debug)]
pub(crate) struct Allowance<Key> {
    /// What one use takes away, and time gives back.
    each: Duration,
    /// When an allowance will be whole again.
    whole_at: Mutex<HashMap<Key, Instant>>,
}

impl<Key: Hash + Eq> Allowance<Key> {
    /// Everybody's is whole.
    pub(crate) fn new(per_hour: NonZeroU32) -> Self {
        Self {
            each: HOUR / per_hour.get(),
            whole_at: Mutex::default(),
        }
    }

    /// The same where each key has a share of its own, which [`Self::take_of`] and [`Self::is_left_of`] are told.
    pub(crate) fn of_each() -> Self {
        Self {
            each: HOUR,
            whole_at: Mutex::default(),
        }
    }

    /// Takes one use of `key`'s allowance; whether there was one left.
    pub(crate) fn take(&self, key: Key, now: Instant) -> bool {
        self.take_of(key, self.each, now)
    }

    /// Whether one use of `key`'s allowance is left.
    pub(crate) fn is_left(&self, key: &Key, now: Instant) -> bool {
        self.is_left_of(key, self.each, now)
    }

    /// As [`Self::is_left`], of a key whose uses cost `each`.
    pub(crate) fn is_left_of(&self, key: &Key, each: Duration, now: Instant) -> bool {
        let whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = whole_at.get(key).copied().unwrap_or(now);
        moment.max(now) + each <= now + HOUR
    }

    /// As [`Self::take`], of a key whose uses cost `each`, an hour at most.
    pub(crate) fn take_of(&self, key: Key, each: Duration, now: Instant) -> bool {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_at.len() >= KEYS_MAX && !whole_at.contains_key(&key) {
            whole_at.retain(|_, &mut moment| moment > now);
            if whole_at.len() >= KEYS_MAX {
                return false;
            }
        }
        let moment = whole_at.entry(key).or_insert(now);
        let after = (*moment).max(now) + each;
        let is_left = after <= now + HOUR;
        if is_left {
            *moment = after;
        }
        is_left
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// Entries at once: some 4 MiB.
const KEYS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back_with_time() {
        let allowance = Allowance::new(NonZeroU32::new(4).unwrap());
        let start = Instant::now();
        let taken = |minutes: u64| {
            let now = start + Duration::from_secs(60 * minutes);
            (0..10).filter(|_| allowance.take(1, now)).count()
        };
        assert!(allowance.is_left(&1, start));
        assert_eq!(taken(0), 4);
        assert!(!allowance.is_left(&1, start));
        assert_eq!(taken(14), 0);
        assert_eq!(taken(15), 1);
        assert_eq!(taken(45), 2);
        assert_eq!(taken(1000), 4);
        // Nobody else's business.
        assert!(allowance.take(2, start));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_whole_again() {
        let allowance = Allowance::new(NonZeroU32::MIN);
        let start = Instant::now();
        assert!((0..KEYS_MAX).all(|key| allowance.take(key, start)));
        assert!(!allowance.take(KEYS_MAX, start));
        assert!(allowance.take(KEYS_MAX, start + HOUR));
        assert_eq!(allowance.whole_at.lock().unwrap().len(), 1);
    }
}
