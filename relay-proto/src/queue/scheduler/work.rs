//! What to do next.
//!
//! A lane that wants a worker stands in a ring; the one in front has its turn when there is a connection to be had.

use super::super::jobs::{AGES, JobKey, LIFE, State, WARNED};
use super::super::names::NONE;
use super::super::target::Target;
use super::{Action, Pause, Scheduler, TargetNames, Worker};
use crate::queued::UnixMillis;

impl Scheduler {
    /// What to do next; `None` = nothing until [`Scheduler::deadline`], or until something else is said.
    pub fn poll(&mut self, now: UnixMillis) -> Option<Action> {
        self.clock(now);
        self.next_warning()
            .or_else(|| self.next_age())
            .or_else(|| self.next_wake())
            .or_else(|| self.next_worker())
            .or_else(|| self.next_due())
    }

    fn next_warning(&mut self) -> Option<Action> {
        while let Some(key) = self.warnings.pop_front() {
            let Some(slot) = self.jobs.slot(key) else {
                continue;
            };
            if let Some(job) = self.jobs.at_mut(slot).filter(|job| !job.has(WARNED)) {
                job.flags |= WARNED;
                return self.order(slot).map(Action::Warn);
            }
        }
        None
    }

    fn next_age(&mut self) -> Option<Action> {
        while let Some(slot) = self.ages.pop(&mut self.jobs, self.now_ms) {
            let Some(job) = self.jobs.at_mut(slot) else {
                continue;
            };
            let (state, is_life) = (job.state, job.has(LIFE));
            if !is_life {
                // Whatever is attempted now and then is warned of when that fails.
                job.flags |= LIFE;
                let waits = matches!(state, State::Ready(_) | State::Parked);
                if let Some(key) = self.jobs.key(slot).filter(|_| waits) {
                    self.warnings.push_back(key);
                }
                self.await_age(slot);
                if waits {
                    return self.next_warning();
                }
                continue;
            }
            if self.waits_in_vain(slot, state) {
                self.detach(slot);
                self.set(slot, State::InFlight(NONE));
                return self.order(slot).map(Action::Expire);
            }
            // What is held or paused by a person does not end, what a verdict holds does; what is scheduled or in flight ends by its next attempt.
            self.ages.put(&mut self.jobs, slot, self.now_ms);
        }
        None
    }

    /// Whether a job whose time is up waits for something that nobody holds back.
    fn waits_in_vain(&self, slot: u32, state: State) -> bool {
        let on_purpose = self.paused.contains(&Pause::Everything) || self.is_domain_paused(slot);
        match state {
            State::Parked => !on_purpose,
            State::Ready(lane) => !on_purpose && !self.is_lane_paused(lane),
            State::Held => self.jobs.at(slot).is_some_and(|job| job.has(AGES)),
            State::Nowhere | State::Scheduled(_) | State::Due | State::InFlight(_) => false,
        }
    }

    fn next_wake(&mut self) -> Option<Action> {
        while let Some(number) = self.wakes.pop_front() {
            if let Some(lane) = self.lane_mut(number) {
                lane.woken = false;
                if lane.idle > 0 {
                    return Some(Action::Wake(number));
                }
            }
        }
        None
    }

    fn next_worker(&mut self) -> Option<Action> {
        while self.somebody_waits() {
            if self.is_full() {
                return self.make_room();
            }
            let number = self.listed.pop_front()?;
            let Some(lane) = self.lane_mut(number) else {
                continue;
            };
            lane.listed = false;
            lane.open += 1;
            let (site, probe) = (lane.site, lane.pace.is_dead());
            if let Some(site) = self.sites.beside_mut(site) {
                site.open += 1;
            }
            self.open += 1;
            self.consider(number);
            return Some(Action::Begin(Worker {
                lane: number,
                probe,
                idle: false,
                busy: false,
                served: 0,
                since_ms: self.now_ms,
            }));
        }
        None
    }

    /// Who keeps a connection for what may come gives it up for what is there.
    fn make_room(&mut self) -> Option<Action> {
        if self.making_room {
            return None;
        }
        loop {
            let number = self.idle_lanes.pop_front()?;
            if self.lane_mut(number).is_some_and(|lane| lane.idle > 0) {
                self.making_room = true;
                return Some(Action::Wake(number));
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.open >= self.settings.connections.max(1)
    }

    /// Whether the first of the listed lanes wants a worker that its site may have; those in front that do not are listed
    /// no more.
    pub(super) fn somebody_waits(&mut self) -> bool {
        while let Some(&number) = self.listed.front() {
            let wants = self.wants(number);
            let per_site = self.settings.connections_per_site.max(1);
            let Some(Some(lane)) = self.lanes.get_mut(number as usize) else {
                self.listed.pop_front();
                continue;
            };
            let site = self.sites.beside_mut(lane.site);
            match site.filter(|site| site.open >= per_site) {
                Some(site) if wants => {
                    lane.waits_for_site = true;
                    site.waiting.push_back(number);
                    self.wakes.extend(site.lanes.iter().copied());
                }
                _ if wants => return true,
                _ => {}
            }
            lane.listed = false;
            self.listed.pop_front();
        }
        false
    }

    fn next_due(&mut self) -> Option<Action> {
        if self.paused.contains(&Pause::Everything) {
            return None;
        }
        while let Some(slot) = self.pop_due() {
            if self.is_domain_paused(slot) {
                self.park_slot(slot);
                continue;
            }
            self.set(slot, State::InFlight(NONE));
            if let Some(order) = self.order(slot) {
                return Some(Action::Place(order));
            }
        }
        None
    }

    /// The route of this job leads to `site`, and it leaves by `way`.
    pub fn place(&mut self, key: JobKey, way: &str, site: &str) {
        let Some(slot) = self.in_flight(key) else {
            return;
        };
        let Some(number) = self.lane_of(way, site) else {
            // Too many sites at once; the due ones of those that are there go on.
            self.schedule(slot, self.now_ms.saturating_add(super::MINUTE_MS));
            return;
        };
        self.detach(slot);
        let Some(customer) = self.jobs.at(slot).map(|job| job.customer) else {
            return;
        };
        let share = self.share(customer);
        let Some(Some(lane)) = self.lanes.get_mut(number as usize) else {
            return;
        };
        lane.push(&mut self.jobs, slot, share);
        let (site, is_dead) = (lane.site, lane.pace.is_dead());
        self.sites.hold_again(site);
        let mut is_late = false;
        if let Some(job) = self.jobs.at_mut(slot) {
            let before = core::mem::replace(&mut job.site, site);
            let age_ms = self.now_ms.saturating_sub(job.arrived_ms);
            let after_ms = self.settings.warn_after_ms;
            is_late = !job.has(WARNED) && after_ms.is_some_and(|after| age_ms >= after);
            self.sites.release(before);
        }
        self.set(slot, State::Ready(number));
        if is_dead && is_late {
            self.warnings.push_back(key);
        }
        self.consider(number);
    }

    /// The job waits with its target, until [`Scheduler::routed`].
    pub fn park(&mut self, key: JobKey) {
        if let Some(slot) = self.in_flight(key) {
            self.park_slot(slot);
        }
    }

    /// There is news of a target's route: what waits for it is due, and is asked about again.
    pub fn routed(&mut self, target: &Target) {
        let original_dst = match target.original_dst {
            Some(address) => self.original_dsts.find(&address),
            None => Some(NONE),
        };
        let names = self.domains.find(target.domain.as_str()).zip(original_dst);
        let names = names.map(|(domain, original_dst)| TargetNames {
            domain,
            original_dst,
            policies_waived: target.policies_waived,
        });
        if let Some(target) = names.and_then(|names| self.targets.find(&names)) {
            self.unpark(target);
        }
    }
}
