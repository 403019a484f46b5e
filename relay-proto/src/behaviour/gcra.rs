//! The generic cell rate algorithm: so many in a period, at once or one by one.
//!
//! One moment is kept, at which nothing will be used up any more. What is taken moves it on by its share of the period,
//! and time comes after it; there is room as long as it is no further away than one period. So in any stretch of time
//! `t` at most `count + count * t / period` are taken.

use core::num::NonZeroU64;
use core::time::Duration;

use super::limits::Period;
use crate::Time;

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU64,
    /// In what time.
    pub per: Period,
}

/// How much of one [`Rate`] is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// When nothing of it is, in nanoseconds since 1970.
    whole_at: u64,
}

impl Rate {
    /// What so many take of the period, rounded up: rounding must not add up to more than the rate.
    fn cost(self, units: u64) -> u64 {
        let period = u128::from(self.per.nanoseconds());
        let cost = (u128::from(units) * period).div_ceil(u128::from(self.count.get()));
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

impl Cell {
    /// How long to wait until so many fit; `None` = they do.
    #[must_use]
    pub fn wait(&self, rate: Rate, units: u64, now: Time) -> Option<Duration> {
        let now = nanoseconds(now);
        let after = self.from(rate, now).saturating_add(rate.cost(units));
        let latest = now.saturating_add(rate.per.nanoseconds());
        let wait = after.saturating_sub(latest);
        // More than the whole never fits; by then there is at least as much room as there will ever be.
        (wait > 0).then(|| Duration::from_nanos(wait.min(rate.per.nanoseconds())))
    }

    /// Uses so many up, whether they fit or not: what has happened has happened. The debt is bounded by one period.
    pub fn charge(&mut self, rate: Rate, units: u64, now: Time) {
        let now = nanoseconds(now);
        let latest = now.saturating_add(rate.per.nanoseconds().saturating_mul(2));
        let after = self.from(rate, now).saturating_add(rate.cost(units));
        self.whole_at = after.min(latest);
    }

    /// Gives back what was charged for nothing.
    pub fn give_back(&mut self, rate: Rate, units: u64) {
        self.whole_at = self.whole_at.saturating_sub(rate.cost(units));
    }

    /// How many are used up.
    #[must_use]
    pub fn used(&self, rate: Rate, now: Time) -> u64 {
        let now = nanoseconds(now);
        let ahead = u128::from(self.from(rate, now).saturating_sub(now));
        // What has begun to come back is not back yet.
        let used = (ahead * u128::from(rate.count.get())).div_ceil(rate.per.nanoseconds().into());
        u64::try_from(used).unwrap_or(u64::MAX)
    }

    pub(super) const fn raw(self) -> u64 {
        self.whole_at
    }

    pub(super) const fn from_raw(whole_at: u64) -> Self {
        Self { whole_at }
    }

    /// From where the next is charged. What is further away than any debt is what a clock that was set back has left: it
    /// must not keep anybody out until the clock is there again.
    fn from(&self, rate: Rate, now: u64) -> u64 {
        let latest = now.saturating_add(rate.per.nanoseconds().saturating_mul(2));
        if self.whole_at > latest {
            return now;
        }
        self.whole_at.max(now)
    }
}

/// 584 years of them.
fn nanoseconds(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Time = Duration::from_secs(1_790_000_000);

    fn rate(count: u64, per: Period) -> Rate {
        let count = NonZeroU64::new(count).unwrap();
        Rate { count, per }
    }

    fn take(cell: &mut Cell, rate: Rate, units: u64, now: Time) -> bool {
        let fits = cell.wait(rate, units, now).is_none();
        if fits {
            cell.charge(rate, units, now);
        }
        fits
    }

    #[test]
    fn a_rate_is_used_up_and_comes_back_with_time() {
        let (mut cell, rate) = (Cell::default(), rate(60, Period::Hour));
        assert!((0..60).all(|_| take(&mut cell, rate, 1, START)));
        assert_eq!(cell.used(rate, START), 60);
        assert_eq!(cell.wait(rate, 1, START), Some(Duration::from_secs(60)));
        let later = START + Duration::from_secs(60);
        assert!(take(&mut cell, rate, 1, later));
        assert!(!take(&mut cell, rate, 1, later));
        let much_later = START + Duration::from_secs(7200);
        assert_eq!(cell.used(rate, much_later), 0);
        assert!(take(&mut cell, rate, 60, much_later));
    }

    #[test]
    fn what_was_charged_for_nothing_comes_back() {
        let (mut cell, rate) = (Cell::default(), rate(3, Period::Minute));
        cell.charge(rate, 3, START);
        assert!(cell.wait(rate, 1, START).is_some());
        cell.give_back(rate, 1);
        assert_eq!(cell.wait(rate, 1, START), None);
    }

    #[test]
    fn a_debt_and_a_clock_that_was_set_back_keep_nobody_out_for_long() {
        let (mut cell, rate) = (Cell::default(), rate(10, Period::Minute));
        cell.charge(rate, 1_000_000, START);
        let wait = cell.wait(rate, 10, START).unwrap();
        assert!(wait <= Duration::from_secs(120), "{wait:?}");
        let before = START - Duration::from_secs(86_400 * 365);
        assert_eq!(cell.wait(rate, 10, before), None);
        assert_eq!(cell.used(rate, before), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            count in 1_u64..2000,
            steps in proptest::collection::vec((0_u64..200_000, 1_u64..50), 1..300),
            per in proptest::sample::select(&Period::ALL[..]),
        ) {
            let (mut cell, rate) = (Cell::default(), rate(count, per));
            let (mut elapsed, mut taken) = (0_u64, 0_u64);
            for (milliseconds, units) in steps {
                elapsed += milliseconds;
                let now = START + Duration::from_millis(elapsed);
                // A restart between any two of them.
                cell = Cell::from_raw(cell.raw());
                if take(&mut cell, rate, units, now) {
                    taken += units;
                }
                let by_rate = u128::from(count) * u128::from(elapsed) * 1_000_000;
                let allowed = u128::from(count) + by_rate.div_ceil(u128::from(per.nanoseconds()));
                prop_assert!(u128::from(taken) <= allowed, "{taken} of {allowed}");
            }
        }

        #[test]
        fn after_the_wait_there_is_room(count in 1_u64..100, used in 0_u64..100, units in 1_u64..100) {
            let (mut cell, rate) = (Cell::default(), rate(count, Period::Hour));
            cell.charge(rate, used.min(count), START);
            if let Some(wait) = cell.wait(rate, units.min(count), START) {
                prop_assert_eq!(cell.wait(rate, units.min(count), START + wait), None);
            }
        }
    }
}
