//! How jobs come back from an attempt.

use super::super::jobs::{HOLD, JobKey, REMOVE, Recipients, State, WARNED};
use super::{After, Scheduler};
use crate::queued::UnixMillis;

impl Scheduler {
    /// All recipients of a job in flight are done: it is gone.
    pub fn finish(&mut self, key: JobKey) {
        if let Some(slot) = self.in_flight(key) {
            self.forget(slot);
        }
    }

    /// These recipients of a job in flight are still to be tried, by the schedule.
    pub fn defer(&mut self, key: JobKey, remaining: &[usize], now: UnixMillis) -> After {
        self.clock(now);
        let Some(slot) = self.in_flight(key) else {
            return After::Gone;
        };
        self.keep(slot, remaining);
        if let Some(after) = self.as_people_said(slot) {
            return after;
        }
        let Some(job) = self.jobs.at_mut(slot) else {
            return After::Gone;
        };
        let age_ms = self.now_ms.saturating_sub(job.arrived_ms);
        let Some(next_ms) = self.settings.schedule.after_ms(job.id, age_ms) else {
            return After::Expired;
        };
        let due_ms = job.arrived_ms.saturating_add(next_ms);
        let late = self
            .settings
            .warn_after_ms
            .is_some_and(|after| age_ms >= after);
        let warn = late && !job.has(WARNED);
        if warn {
            job.flags |= WARNED;
            self.await_age(slot);
        }
        self.schedule(slot, due_ms);
        After::Due {
            at: UnixMillis(due_ms),
            warn,
        }
    }

    /// These recipients of a job in flight were not attempted, for a reason of our own: again in a moment.
    pub fn put_back(
        &mut self,
        key: JobKey,
        remaining: &[usize],
        pause_ms: u64,
        now: UnixMillis,
    ) -> After {
        self.clock(now);
        let Some(slot) = self.in_flight(key) else {
            return After::Gone;
        };
        self.keep(slot, remaining);
        if let Some(after) = self.as_people_said(slot) {
            return after;
        }
        let due_ms = self.now_ms.saturating_add(pause_ms);
        self.schedule(slot, due_ms);
        After::Due {
            at: UnixMillis(due_ms),
            warn: false,
        }
    }

    fn keep(&mut self, slot: u32, remaining: &[usize]) {
        let Some(job) = self.jobs.at_mut(slot) else {
            return;
        };
        if !remaining.is_empty() && remaining.len() < job.recipients.as_slice().len() {
            let left = remaining
                .iter()
                .filter_map(|index| u32::try_from(*index).ok());
            job.recipients = Recipients::new(&left.collect::<Vec<_>>());
        }
    }

    /// What people have said about a job while it was in flight.
    fn as_people_said(&mut self, slot: u32) -> Option<After> {
        let job = self.jobs.at_mut(slot)?;
        if job.has(REMOVE) {
            return Some(After::Removed);
        }
        if job.has(HOLD) {
            job.flags &= !HOLD;
            self.detach(slot);
            self.set(slot, State::Held);
            return Some(After::Held);
        }
        None
    }
}
