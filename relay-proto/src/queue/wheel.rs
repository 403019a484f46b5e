//! A hierarchical timer wheel of one-second ticks.
//!
//! Five levels of 64 slots reach 34 years. A job goes into the level of the highest group of bits in which its tick
//! differs from now, and moves down at most four times, so putting one in, taking one out and firing it cost the same
//! however many there are. Which slots are taken is a word per level: a gap of hours is crossed in one step.

use super::jobs::{Chain, Jobs, List, State};

#[derive(Debug)]
pub(super) struct Wheel {
    now: u32,
    levels: [Level; LEVELS as usize],
}

#[derive(Clone, Copy, Debug)]
struct Level {
    occupied: u64,
    slots: [List; SLOTS as usize],
}

impl Wheel {
    pub(super) fn new(now_s: u32) -> Self {
        let level = Level {
            occupied: 0,
            slots: [List::default(); SLOTS as usize],
        };
        Self {
            now: now_s,
            levels: [level; LEVELS as usize],
        }
    }

    /// Takes in a job by its `due_s`; whether that is still to come. If not, it is due and in no slot.
    pub(super) fn insert(&mut self, jobs: &mut Jobs, slot: u32) -> bool {
        let Some(due) = jobs.at(slot).map(|job| job.due_s) else {
            return false;
        };
        if due <= self.now {
            return false;
        }
        let place = place(self.now, due);
        let Some(level) = self.levels.get_mut(usize::from(place) / PER_LEVEL) else {
            return false;
        };
        level.occupied |= 1 << (usize::from(place) % PER_LEVEL);
        if let Some(list) = level.slots.get_mut(usize::from(place) % PER_LEVEL) {
            jobs.push_back(list, slot, Chain::Place);
        }
        if let Some(job) = jobs.at_mut(slot) {
            job.state = State::Scheduled(place);
        }
        true
    }

    /// Takes out a job that stands in the slot `place`.
    pub(super) fn remove(&mut self, jobs: &mut Jobs, slot: u32, place: u16) {
        let Some(level) = self.levels.get_mut(usize::from(place) / PER_LEVEL) else {
            return;
        };
        let Some(list) = level.slots.get_mut(usize::from(place) % PER_LEVEL) else {
            return;
        };
        jobs.unlink(list, slot, Chain::Place);
        if list.is_empty() {
            level.occupied &= !(1 << (usize::from(place) % PER_LEVEL));
        }
    }

    /// The tick at which something happens next: a job is due, or moves down.
    pub(super) fn next(&self) -> Option<u32> {
        self.next_slot().map(|(tick, _)| tick)
    }

    /// Goes on to `now_s`, and appends what has come due to `due`, in the order of its ticks. How many these are.
    pub(super) fn advance(&mut self, jobs: &mut Jobs, now_s: u32, due: &mut List) -> usize {
        let mut count = 0;
        while let Some((tick, place)) = self.next_slot().filter(|(tick, _)| *tick <= now_s) {
            self.now = tick;
            let Some(level) = self.levels.get_mut(place / PER_LEVEL) else {
                return count;
            };
            level.occupied &= !(1 << (place % PER_LEVEL));
            let taken = level.slots.get_mut(place % PER_LEVEL);
            let mut list = taken.map(core::mem::take).unwrap_or_default();
            while let Some(slot) = jobs.pop_front(&mut list, Chain::Place) {
                if !self.insert(jobs, slot) {
                    if let Some(job) = jobs.at_mut(slot) {
                        job.state = State::Due;
                    }
                    jobs.push_back(due, slot, Chain::Place);
                    count += 1;
                }
            }
        }
        self.now = self.now.max(now_s);
        count
    }

    /// The first slot that is taken, and the tick at which it begins.
    fn next_slot(&self) -> Option<(u32, usize)> {
        let mut levels = (0_u32..).zip(&self.levels);
        levels.find_map(|(index, level)| {
            // What is in a level differs from now first in that level's bits, so it is in a later slot: there is no
            // wrapping around.
            let shift = BITS * index;
            let here = (self.now >> shift) % SLOTS;
            let later = level.occupied & !((2_u64 << here).wrapping_sub(1));
            if later == 0 {
                return None;
            }
            let slot = later.trailing_zeros();
            let above = u64::from(self.now) >> (shift + BITS) << (shift + BITS);
            let tick = above | (u64::from(slot) << shift);
            let place = PER_LEVEL * index as usize + slot as usize;
            Some((u32::try_from(tick).unwrap_or(u32::MAX), place))
        })
    }
}

/// Level times [`SLOTS`], plus slot.
fn place(now: u32, due: u32) -> u16 {
    let highest_bit = 31 - ((now ^ due) | 1).leading_zeros();
    // What is further away than the wheel reaches waits in its last level, and is not due when it leaves it.
    let level = (highest_bit / BITS).min(LEVELS - 1);
    let slot = (due >> (BITS * level)) % SLOTS;
    u16::try_from(level * SLOTS + slot).unwrap_or(0)
}

const BITS: u32 = 6;
const SLOTS: u32 = 1 << BITS;
const PER_LEVEL: usize = SLOTS as usize;
/// 36 bits: more than a tick has, so that the last level never wraps around either.
const LEVELS: u32 = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::jobs::{Job, Recipients};
    use super::*;
    use crate::queued::QueueId;

    fn job(jobs: &mut Jobs, due_s: u32) -> u32 {
        let id = QueueId::from_number(u64::from(due_s) + 1).unwrap();
        let mut job = Job::new(id, 0, Recipients::One(0));
        job.due_s = due_s;
        jobs.insert(job).unwrap()
    }

    fn fire(wheel: &mut Wheel, jobs: &mut Jobs, now_s: u32) -> Vec<u32> {
        let mut due = List::default();
        wheel.advance(jobs, now_s, &mut due);
        let fired = core::iter::from_fn(|| {
            let slot = jobs.pop_front(&mut due, Chain::Place)?;
            jobs.remove(slot).map(|job| job.due_s)
        });
        fired.collect()
    }

    #[test]
    fn the_end_of_time_is_reached() {
        let (mut wheel, mut jobs) = (Wheel::new(5), Jobs::new());
        for due in [6, 70, u32::MAX - 1, u32::MAX] {
            let slot = job(&mut jobs, due);
            assert!(wheel.insert(&mut jobs, slot));
        }
        assert_eq!(fire(&mut wheel, &mut jobs, 1 << 31), [6, 70]);
        let last = [u32::MAX - 1, u32::MAX];
        assert_eq!(fire(&mut wheel, &mut jobs, u32::MAX), last);
        assert_eq!(wheel.next(), None);
    }

    proptest! {
        #[test]
        fn each_job_fires_at_its_tick_and_in_order(
            start in 0_u32..4_000_000,
            pauses in proptest::collection::vec(1_u32..1_000_000, 1..60),
            steps in proptest::collection::vec(1_u32..100_000, 1..200),
            removed in any::<u64>(),
        ) {
            let (mut wheel, mut jobs) = (Wheel::new(start), Jobs::new());
            let mut expected = Vec::new();
            for (index, pause) in pauses.iter().enumerate() {
                let slot = job(&mut jobs, start + pause);
                prop_assert!(wheel.insert(&mut jobs, slot));
                if removed >> index & 1 == 1 {
                    let Some(State::Scheduled(place)) = jobs.at(slot).map(|job| job.state) else {
                        panic!("not scheduled")
                    };
                    wheel.remove(&mut jobs, slot, place);
                    jobs.remove(slot);
                } else {
                    expected.push(start + pause);
                }
            }
            expected.sort_unstable();
            let (mut now, mut fired) = (start, Vec::new());
            for step in steps {
                now += step;
                let here = fire(&mut wheel, &mut jobs, now);
                prop_assert!(here.iter().all(|due| *due <= now && *due > now - step));
                fired.extend(here);
                if let Some(next) = wheel.next() {
                    prop_assert!(next > now);
                }
            }
            expected.retain(|due| *due <= now);
            prop_assert_eq!(fired, expected);
        }
    }
}
