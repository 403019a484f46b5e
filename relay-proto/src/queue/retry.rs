//! When a message is tried, by its age alone.
//!
//! Nothing is written down for an attempt: how many there were, and when the next is due, follows from when the message
//! arrived and from its name, from which the jitter is derived. A restart agrees with what was before it.

use crate::queued::QueueId;

/// Pauses that double from `first` to `longest`, until `lifetime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    first_ms: u64,
    longest_ms: u64,
    lifetime_ms: u64,
}

/// Pauses that are no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the first pause must be at least a second, the longest no shorter, and a life at least that"
)]
pub struct NoSchedule;

impl Default for Schedule {
    /// 5 minutes to 4 hours, 5 days (RFC 5321 section 4.5.4.1).
    fn default() -> Self {
        Self {
            first_ms: 300_000,
            longest_ms: 14_400_000,
            lifetime_ms: 432_000_000,
        }
    }
}

impl Schedule {
    /// All in milliseconds.
    pub fn new(first_ms: u64, longest_ms: u64, lifetime_ms: u64) -> Result<Self, NoSchedule> {
        let fits = first_ms >= 1000 && longest_ms >= first_ms && lifetime_ms >= longest_ms;
        // A hundred years, so that no sum below overflows.
        if !fits || lifetime_ms > 3_155_760_000_000 {
            return Err(NoSchedule);
        }
        Ok(Self {
            first_ms,
            longest_ms,
            lifetime_ms,
        })
    }

    /// How long a message is tried, in milliseconds.
    #[must_use]
    pub fn lifetime_ms(&self) -> u64 {
        self.lifetime_ms
    }

    /// The longest time between two attempts, in milliseconds.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        self.longest_ms.saturating_add(self.longest_ms / JITTER)
    }

    /// At which age attempt `number` is due; 0 is the first one.
    #[must_use]
    pub fn due_ms(&self, id: QueueId, number: u64) -> u64 {
        let (base, pause) = self.base(number);
        if number == 0 {
            return 0;
        }
        // Only later, and by less than the shortest difference to the next: the order stays.
        let spread = (pause / JITTER).max(1);
        base.saturating_add(scramble(id.get() ^ number.rotate_left(48)) % spread)
    }

    /// How many attempts have been due at this age.
    #[must_use]
    pub fn attempts(&self, id: QueueId, age_ms: u64) -> u64 {
        let mut number = self.lower_bound(age_ms);
        while self.due_ms(id, number) <= age_ms {
            number += 1;
        }
        number
    }

    /// The age at which the attempt was due that is the last before, or at, this age.
    #[must_use]
    pub fn latest_ms(&self, id: QueueId, age_ms: u64) -> u64 {
        self.due_ms(id, self.attempts(id, age_ms).saturating_sub(1))
    }

    /// At which age the next attempt is due after one at this age; `None` = that was the last. An attempt that came late,
    /// because its site was away or busy, is not followed at once by the next. The last one is at the end of its life.
    #[must_use]
    pub fn after_ms(&self, id: QueueId, age_ms: u64) -> Option<u64> {
        if age_ms >= self.lifetime_ms {
            return None;
        }
        let mut number = self.attempts(id, age_ms);
        loop {
            let (_, pause) = self.base(number);
            let due = self.due_ms(id, number);
            if due >= age_ms.saturating_add(pause / 4) {
                return Some(due.min(self.lifetime_ms));
            }
            number += 1;
        }
    }

    /// Age of an attempt without its jitter, and the pause before it.
    fn base(&self, number: u64) -> (u64, u64) {
        let (mut base, mut pause) = (0_u64, self.first_ms);
        for done in 0..number {
            if pause >= self.longest_ms {
                let rest = (number - done).saturating_mul(self.longest_ms);
                return (base.saturating_add(rest), self.longest_ms);
            }
            base = base.saturating_add(pause);
            if done + 1 < number {
                pause = pause.saturating_mul(2).min(self.longest_ms);
            }
        }
        (base, pause)
    }

    /// An attempt that is certainly not later than this age, with few between.
    fn lower_bound(&self, age_ms: u64) -> u64 {
        let (mut base, mut pause, mut number) = (0_u64, self.first_ms, 0_u64);
        while pause < self.longest_ms {
            if base.saturating_add(pause) > age_ms {
                return number.saturating_sub(1);
            }
            base = base.saturating_add(pause);
            number += 1;
            pause = pause.saturating_mul(2).min(self.longest_ms);
        }
        let more = age_ms.saturating_sub(base) / self.longest_ms;
        number.saturating_add(more).saturating_sub(1)
    }
}

/// Finaliser of SplitMix64: neighbouring names get unrelated jitters.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Jitter is less than this part of a pause.
const JITTER: u64 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> QueueId {
        QueueId::from_number(number).unwrap()
    }

    const MINUTE: u64 = 60_000;

    #[test]
    fn pauses_double_up_to_four_hours() {
        let schedule = Schedule::default();
        let minutes: Vec<u64> = (0..10).map(|n| schedule.base(n).0 / MINUTE).collect();
        assert_eq!(minutes, [0, 5, 15, 35, 75, 155, 315, 555, 795, 1035]);
        let pauses: Vec<u64> = (1..9).map(|n| schedule.base(n).1 / MINUTE).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 240, 240]);
    }

    #[test]
    fn a_message_of_five_days_is_tried_some_forty_times_and_the_last_time_at_its_end() {
        let schedule = Schedule::default();
        let (mut age, mut attempts) = (0, 1);
        while let Some(next) = schedule.after_ms(id(77), age) {
            assert!(next > age);
            (age, attempts) = (next, attempts + 1);
        }
        assert_eq!(age, schedule.lifetime_ms());
        assert!((34..=37).contains(&attempts), "{attempts}");
    }

    #[test]
    fn a_late_attempt_is_not_followed_at_once() {
        let schedule = Schedule::default();
        let second = schedule.due_ms(id(5), 2);
        let next = schedule.after_ms(id(5), second - 1000).unwrap();
        assert_eq!(next, schedule.due_ms(id(5), 3));
    }

    #[test]
    fn messages_of_the_same_moment_come_back_apart() {
        let schedule = Schedule::default();
        let due: std::collections::HashSet<u64> = (1..=1000)
            .map(|number| schedule.due_ms(id(number), 4) / 1000)
            .collect();
        // 40 minutes have 300 seconds of jitter.
        assert!(due.len() > 200, "{}", due.len());
    }

    proptest! {
        #[test]
        fn attempts_are_in_order_and_counted_by_age(
            first in 1000_u64..10_000_000, factor in 1_u64..100, life in 1_u64..100,
            number in 1_u64.., age in 0_u64..2_000_000_000,
        ) {
            let schedule = Schedule::new(first, first * factor, first * factor * life).unwrap();
            let id = id(number);
            let attempts = schedule.attempts(id, age);
            prop_assert!(attempts >= 1);
            prop_assert!(schedule.due_ms(id, attempts - 1) <= age);
            prop_assert!(schedule.due_ms(id, attempts) > age);
            prop_assert!(schedule.latest_ms(id, age) <= age);
            match schedule.after_ms(id, age) {
                Some(next) => prop_assert!(next > age && next <= schedule.lifetime_ms()),
                None => prop_assert!(age >= schedule.lifetime_ms()),
            }
        }
    }
}
