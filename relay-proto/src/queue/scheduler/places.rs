//! Where jobs are: each transition takes a job out of one place and puts it into another, and the counts follow.

use super::super::filter::JobState;
use super::super::jobs::{Chain, JobKey, LIFE, List, State, WARNED};
use super::super::lane::RELAY;
use super::super::names::NONE;
use super::{Scheduler, seconds};

impl State {
    /// What people call it.
    pub(super) fn shown(self) -> Option<JobState> {
        match self {
            Self::Nowhere => None,
            Self::Scheduled(_) => Some(JobState::Scheduled),
            Self::Due | Self::Parked => Some(JobState::Waiting),
            Self::Ready(_) => Some(JobState::Ready),
            Self::InFlight(_) => Some(JobState::InFlight),
            Self::Held => Some(JobState::Held),
        }
    }
}

impl Scheduler {
    /// The slot of a job that is in flight.
    pub(super) fn in_flight(&self, key: JobKey) -> Option<u32> {
        let slot = self.jobs.slot(key)?;
        let job = self.jobs.at(slot)?;
        matches!(job.state, State::InFlight(_)).then_some(slot)
    }

    /// Takes a job out of where it is.
    pub(super) fn detach(&mut self, slot: u32) {
        let Some(job) = self.jobs.at(slot) else {
            return;
        };
        let (state, target, customer) = (job.state, job.target, job.customer);
        match state {
            State::Nowhere => return,
            State::Scheduled(place) => self.wheel.remove(&mut self.jobs, slot, place),
            State::Due => self.jobs.unlink(&mut self.due, slot, Chain::Place),
            State::Parked => {
                if let Some(target) = self.targets.beside_mut(target) {
                    self.jobs.unlink(&mut target.parked, slot, Chain::Place);
                }
            }
            State::Ready(lane) => {
                let share = self.share(customer);
                if let Some(Some(lane)) = self.lanes.get_mut(lane as usize) {
                    lane.remove(&mut self.jobs, slot, share);
                }
            }
            State::InFlight(_) | State::Held => {}
        }
        self.set(slot, State::Nowhere);
        if let State::Ready(lane) = state {
            self.retire(lane);
        }
    }

    /// Says where a job is that was put there.
    pub(super) fn set(&mut self, slot: u32, state: State) {
        let Some(job) = self.jobs.at_mut(slot) else {
            return;
        };
        let before = core::mem::replace(&mut job.state, state);
        self.count(before, state, 1);
    }

    fn count(&mut self, before: State, after: State, jobs: usize) {
        let place = |state: State| {
            JobState::ALL
                .into_iter()
                .position(|it| Some(it) == state.shown())
        };
        if let Some(count) = place(before).and_then(|place| self.counts.get_mut(place)) {
            *count = count.saturating_sub(jobs);
        }
        if let Some(count) = place(after).and_then(|place| self.counts.get_mut(place)) {
            *count += jobs;
        }
    }

    pub(super) fn make_due(&mut self, slot: u32) {
        self.detach(slot);
        self.jobs.push_back(&mut self.due, slot, Chain::Place);
        if let Some(job) = self.jobs.at_mut(slot) {
            job.due_s = seconds(self.now_ms);
        }
        self.set(slot, State::Due);
    }

    pub(super) fn schedule(&mut self, slot: u32, due_ms: u64) {
        if due_ms <= self.now_ms {
            // Not at the next tick.
            self.make_due(slot);
            return;
        }
        self.detach(slot);
        let Some(job) = self.jobs.at_mut(slot) else {
            return;
        };
        job.due_s = u32::try_from(due_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        if self.wheel.insert(&mut self.jobs, slot) {
            let state = self.jobs.at(slot).map_or(State::Nowhere, |job| job.state);
            self.count(State::Nowhere, state, 1);
        } else {
            self.jobs.push_back(&mut self.due, slot, Chain::Place);
            self.set(slot, State::Due);
        }
    }

    /// Moves what has come due from the wheel.
    pub(super) fn turn_the_wheel(&mut self) {
        let mut fired = List::default();
        let now_s = seconds(self.now_ms);
        let count = self.wheel.advance(&mut self.jobs, now_s, &mut fired);
        self.jobs.append(&mut self.due, &mut fired, Chain::Place);
        self.count(State::Scheduled(0), State::Due, count);
    }

    pub(super) fn park_slot(&mut self, slot: u32) {
        self.detach(slot);
        let Some(target) = self.jobs.at(slot).map(|job| job.target) else {
            return;
        };
        if let Some(target) = self.targets.beside_mut(target) {
            self.jobs.push_back(&mut target.parked, slot, Chain::Place);
        }
        self.set(slot, State::Parked);
    }

    /// Puts all that wait with a target among the due ones.
    pub(super) fn unpark(&mut self, target: u32) {
        while let Some(slot) = self.targets.beside(target).and_then(|it| it.parked.first()) {
            self.make_due(slot);
        }
    }

    /// Waits for what the job's age brings next.
    pub(super) fn await_age(&mut self, slot: u32) {
        let Some(job) = self.jobs.at_mut(slot) else {
            return;
        };
        let warning = self
            .settings
            .warn_after_ms
            .filter(|_| !job.has(WARNED | LIFE));
        let after_ms = warning.unwrap_or_else(|| {
            job.flags |= LIFE;
            self.settings.schedule.lifetime_ms()
        });
        let at_ms = job.arrived_ms.saturating_add(after_ms);
        self.ages.put(&mut self.jobs, slot, at_ms);
    }

    /// Whose turns a customer's jobs take.
    pub(super) fn share(&self, customer: u32) -> u32 {
        let owner = self.customers.beside(customer);
        owner.map_or(RELAY, |owner| owner.share)
    }

    pub(super) fn is_domain_paused(&self, slot: u32) -> bool {
        let domain = self
            .jobs
            .at(slot)
            .and_then(|job| self.targets.key(job.target));
        let domain = domain.and_then(|names| self.domains.beside(names.domain));
        domain.is_some_and(|domain| domain.paused)
    }

    /// Takes a job that is nowhere out of the queue, and releases its names.
    pub(super) fn forget(&mut self, slot: u32) {
        self.detach(slot);
        self.ages.remove(&mut self.jobs, slot);
        let Some(job) = self.jobs.remove(slot) else {
            return;
        };
        let minute = job.arrived_ms / super::MINUTE_MS;
        if let Some(count) = self.arrivals.get_mut(&minute) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.arrivals.remove(&minute);
            }
        }
        if let Some((_, owner)) = self.customers.release(job.customer) {
            self.shares.release(owner.share);
        }
        self.domains.release(job.sender);
        self.sites.release(job.site);
        if let Some((names, _)) = self.targets.release(job.target) {
            self.domains.release(names.domain);
            self.original_dsts.release(names.original_dst);
        }
        debug_assert_ne!(job.target, NONE, "a job has a target");
    }
}
