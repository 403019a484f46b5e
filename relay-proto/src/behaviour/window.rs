//! Different ones in the last hour, or day: three sketches that take turns.
//!
//! Each stands for a third of the period. What is told is the union of all, so it is about two thirds of the period at
//! least and about all of it at most: nobody is held to more than the limit says.

use core::time::Duration;

use super::limits::Period;
use super::sketch::Sketch;
use crate::Time;

/// A set of which the size is known, and that forgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    period: Period,
    /// Number of the third that the latest sketch stands for, since 1970.
    latest: u64,
    /// The place of a third is its number, modulo three.
    thirds: [Sketch; THIRDS],
}

impl Window {
    /// Nothing is in it.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self {
            period,
            latest: 0,
            thirds: Default::default(),
        }
    }

    /// Adds one.
    pub fn insert(&mut self, hash: u64, now: Time) {
        self.turn(now);
        let place = self.latest % THIRDS as u64;
        let latest = self.thirds.get_mut(usize::try_from(place).unwrap_or(0));
        if let Some(latest) = latest {
            latest.insert(hash);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn estimate(&self, now: Time) -> u64 {
        let mut current = self.living(now);
        let Some(first) = current.next() else {
            return 0;
        };
        let mut others = current.filter(|it| **it != Sketch::default()).peekable();
        if others.peek().is_none() {
            return first.estimate();
        }
        let mut union = first.clone();
        others.for_each(|other| union.merge(other));
        union.estimate()
    }

    /// When the oldest third is forgotten.
    #[must_use]
    pub fn next_turn(&self, now: Time) -> Duration {
        let third = self.third();
        let into = now.as_nanos() % third.as_nanos().max(1);
        third.saturating_sub(Duration::from_nanos(u64::try_from(into).unwrap_or(0)))
    }

    /// Octets beside its own.
    #[must_use]
    pub fn heap_octets(&self) -> usize {
        self.thirds.iter().map(Sketch::heap_octets).sum()
    }

    pub(super) fn parts(&self) -> (u64, &[Sketch; THIRDS]) {
        (self.latest, &self.thirds)
    }

    pub(super) fn of_parts(period: Period, latest: u64, thirds: [Sketch; THIRDS]) -> Self {
        Self {
            period,
            latest,
            thirds,
        }
    }

    fn third(&self) -> Duration {
        Duration::from_secs(self.period.duration().as_secs() / THIRDS as u64)
    }

    fn number(&self, now: Time) -> u64 {
        now.as_secs() / self.third().as_secs().max(1)
    }

    /// Those that are not forgotten yet. A clock that was set back finds all of them.
    fn living(&self, now: Time) -> impl Iterator<Item = &Sketch> {
        let passed = self.number(now).saturating_sub(self.latest);
        let latest = self.latest;
        let ages = (0..THIRDS as u64).take_while(move |age| age + passed < THIRDS as u64);
        ages.filter_map(move |age| {
            let place = latest.wrapping_sub(age) % THIRDS as u64;
            self.thirds.get(usize::try_from(place).ok()?)
        })
    }

    fn turn(&mut self, now: Time) {
        let number = self.number(now);
        let passed = number.saturating_sub(self.latest).min(THIRDS as u64);
        for age in 0..passed {
            let place = number.wrapping_sub(age) % THIRDS as u64;
            let forgotten = self.thirds.get_mut(usize::try_from(place).unwrap_or(0));
            if let Some(forgotten) = forgotten {
                *forgotten = Sketch::default();
            }
        }
        self.latest = self.latest.max(number);
    }
}

pub(super) const THIRDS: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::hash;
    use super::*;

    /// Where a third of an hour begins.
    const START: Time = Duration::from_secs(1_790_000_400);

    fn later(minutes: u64) -> Time {
        START + Duration::from_secs(60 * minutes)
    }

    fn add(window: &mut Window, numbers: core::ops::Range<u64>, now: Time) {
        numbers.for_each(|number| window.insert(hash::of(&number.to_be_bytes()), now));
    }

    #[test]
    fn what_is_older_than_the_period_is_forgotten_and_nothing_younger_than_two_thirds() {
        let mut window = Window::new(Period::Hour);
        add(&mut window, 0..10, START);
        assert_eq!(window.estimate(START), 10);
        add(&mut window, 5..20, later(20));
        add(&mut window, 20..30, later(40));
        assert_eq!(window.estimate(later(40)), 30);
        // A third is forgotten at a time: these begin at START.
        for (minutes, count) in [(41, 30), (59, 30), (60, 25), (79, 25), (80, 10), (100, 0)] {
            assert_eq!(window.estimate(later(minutes)), count, "{minutes}");
        }
        assert_eq!(window.estimate(later(10_000)), 0);
        add(&mut window, 0..3, later(10_000));
        assert_eq!(window.estimate(later(10_000)), 3);
    }

    #[test]
    fn the_next_turn_is_at_most_a_third_away() {
        let window = Window::new(Period::Hour);
        for minutes in 0..60 {
            let turn = window.next_turn(later(minutes));
            assert!(turn > Duration::ZERO && turn <= Duration::from_secs(1200));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_loses_nothing() {
        let mut window = Window::new(Period::Day);
        add(&mut window, 0..5, START);
        let before = START - Duration::from_secs(86_400 * 30);
        assert_eq!(window.estimate(before), 5);
        add(&mut window, 5..7, before);
        assert_eq!(window.estimate(START), 7);
    }
}
