//! What to do next, and who does it: lanes, workers, and which of them may have how many.
//!
//! A lane that wants a worker stands in a ring; the one in front has its turn when there is a connection to be had. While
//! others wait, a worker ends after so many jobs, so that a busy lane keeps nobody out.

use core::cmp::Reverse;

use super::super::jobs::{JobKey, LIFE, State, WARNED};
use super::super::lane::Lane;
use super::super::names::NONE;
use super::super::pace::Fault;
use super::{Action, Pause, Scheduler, Take, TargetKey, Worker};
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
            // What is held or paused by a person does not end; what is scheduled or in flight ends by its next attempt.
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
            State::Nowhere
            | State::Scheduled(_)
            | State::Due
            | State::InFlight(_)
            | State::Held => false,
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

    fn is_full(&self) -> bool {
        self.open >= self.settings.connections.max(1)
    }

    /// Whether the first of the listed lanes wants a worker that its site may have; those in front that do not are listed
    /// no more.
    fn somebody_waits(&mut self) -> bool {
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
    pub fn routed(&mut self, target: TargetKey) {
        let state = self.targets.beside(target.number);
        if state.is_some_and(|state| state.generation == target.generation) {
            self.unpark(target.number);
        }
    }

    /// The next job for a worker, whose last one is finished, deferred or put back.
    pub fn take(&mut self, worker: &mut Worker, now: UnixMillis) -> Take {
        self.clock(now);
        self.rest(worker);
        if self.must_leave(worker) {
            return Take::Leave;
        }
        loop {
            let Some(Some(lane)) = self.lanes.get_mut(worker.lane as usize) else {
                return Take::Leave;
            };
            let Some(slot) = lane.pop(&mut self.jobs) else {
                if lane.pace.is_dead() || self.others_wait(worker) {
                    return Take::Leave;
                }
                return self.be_idle(worker);
            };
            self.set(slot, State::Nowhere);
            if self.is_domain_paused(slot) {
                self.park_slot(slot);
                continue;
            }
            self.set(slot, State::InFlight(worker.lane));
            let Some(order) = self.order(slot) else {
                continue;
            };
            if let Some(lane) = self.lane_mut(worker.lane) {
                lane.busy += 1;
            }
            worker.busy = true;
            worker.served = worker.served.saturating_add(1);
            worker.since_ms = self.now_ms;
            return Take::Job(order);
        }
    }

    fn be_idle(&mut self, worker: &mut Worker) -> Take {
        worker.idle = true;
        if let Some(lane) = self.lane_mut(worker.lane) {
            lane.idle += 1;
            if lane.idle == 1 {
                self.idle_lanes.retain(|other| *other != worker.lane);
                self.idle_lanes.push_back(worker.lane);
            }
        }
        Take::Nothing
    }

    /// A worker has no job, and waits for none.
    fn rest(&mut self, worker: &mut Worker) {
        let (busy, idle) = (
            core::mem::take(&mut worker.busy),
            core::mem::take(&mut worker.idle),
        );
        self.making_room &= !idle;
        if let Some(lane) = self.lane_mut(worker.lane) {
            lane.busy = lane.busy.saturating_sub(u32::from(busy));
            lane.idle = lane.idle.saturating_sub(u32::from(idle));
        }
    }

    fn must_leave(&mut self, worker: &Worker) -> bool {
        if self.is_lane_paused(worker.lane) || self.paused.contains(&Pause::Everything) {
            return true;
        }
        let Some(Some(lane)) = self.lanes.get(worker.lane as usize) else {
            return true;
        };
        if lane.pace.is_dead() {
            // A probe is one job.
            return !worker.probe || worker.served > 0;
        }
        if lane.open > lane.pace.limit() {
            return true;
        }
        worker.served >= TURN && self.others_wait(worker)
    }

    /// Whether another lane waits for a connection that this worker has.
    fn others_wait(&mut self, worker: &Worker) -> bool {
        let lane = self
            .lanes
            .get(worker.lane as usize)
            .and_then(Option::as_ref);
        let site = lane.and_then(|lane| self.sites.beside(lane.site));
        site.is_some_and(|site| !site.waiting.is_empty())
            || (self.is_full() && self.somebody_waits())
    }

    /// The worker has a session with its site.
    pub fn connected(&mut self, worker: &mut Worker) {
        worker.probe = false;
        let lane = self.lane_mut(worker.lane);
        if lane.is_some_and(|lane| lane.pace.connected()) {
            self.consider(worker.lane);
        }
    }

    /// The worker's site was well during a transaction.
    pub fn succeeded(&mut self, worker: &Worker) {
        if let Some(Some(lane)) = self.lanes.get_mut(worker.lane as usize) {
            lane.pace.succeeded(&self.settings.pace);
        }
        self.consider(worker.lane);
    }

    /// What the worker was doing ended in a fault; whether the site is taken for dead because of it, and was not before.
    pub fn failed(&mut self, worker: &Worker, fault: Fault, now: UnixMillis) -> bool {
        self.clock(now);
        let Some(Some(lane)) = self.lanes.get_mut(worker.lane as usize) else {
            return false;
        };
        let (before, limits) = (lane.pace.is_dead(), &self.settings.pace);
        let dead = lane
            .pace
            .failed(fault, worker.since_ms, self.now_ms, limits);
        if let Some(probe_at_ms) = lane.pace.probe_at_ms() {
            self.probes.push(Reverse((probe_at_ms, worker.lane)));
        }
        dead && !before
    }

    /// The worker ends. It has no job any more.
    pub fn leave(&mut self, mut worker: Worker) {
        self.rest(&mut worker);
        let number = worker.lane;
        self.open = self.open.saturating_sub(1);
        let Some(lane) = self.lane_mut(number) else {
            return;
        };
        lane.open = lane.open.saturating_sub(1);
        let site = lane.site;
        if let Some(site) = self.sites.beside_mut(site) {
            site.open = site.open.saturating_sub(1);
        }
        // This one goes behind those that have waited.
        while let Some(next) = self
            .sites
            .beside_mut(site)
            .and_then(|it| it.waiting.pop_front())
        {
            if let Some(lane) = self.lane_mut(next) {
                lane.waits_for_site = false;
            }
            self.consider(next);
            if self.wants(next) {
                break;
            }
        }
        self.consider(number);
        self.retire(number);
    }

    /// Number of a worker's lane, as in [`Action::Wake`].
    #[must_use]
    pub fn lane_number(worker: &Worker) -> u32 {
        worker.lane
    }

    /// Lists a lane if it wants a worker, and wakes those that it has.
    pub(super) fn consider(&mut self, number: u32) {
        let wants = self.wants(number);
        let Some(Some(lane)) = self.lanes.get_mut(number as usize) else {
            return;
        };
        if lane.ready() > 0 && lane.idle > 0 && !lane.woken {
            lane.woken = true;
            self.wakes.push_back(number);
        }
        if wants && !lane.listed && !lane.waits_for_site {
            lane.listed = true;
            self.listed.push_back(number);
        }
    }

    fn wants(&self, number: u32) -> bool {
        let Some(Some(lane)) = self.lanes.get(number as usize) else {
            return false;
        };
        if lane.ready() == 0
            || self.is_lane_paused(number)
            || self.paused.contains(&Pause::Everything)
        {
            return false;
        }
        match lane.pace.probe_at_ms() {
            Some(probe_at_ms) => lane.open == 0 && probe_at_ms <= self.now_ms,
            None => {
                let free = lane.open.saturating_sub(lane.busy);
                lane.ready() > free && lane.open < lane.pace.limit()
            }
        }
    }

    pub(super) fn is_lane_paused(&self, number: u32) -> bool {
        let Some(Some(lane)) = self.lanes.get(number as usize) else {
            return false;
        };
        let site = self.sites.beside(lane.site);
        site.is_some_and(|site| site.paused)
    }

    pub(super) fn lane_mut(&mut self, number: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(number as usize)?.as_mut()
    }

    /// The lane of these names, made if there is none; `None` if there are too many.
    fn lane_of(&mut self, way: &str, site: &str) -> Option<u32> {
        let known = self.ways.find(way).zip(self.sites.find(site));
        if let Some(lane) = known.and_then(|names| self.lane_of.get(&names)) {
            return Some(*lane);
        }
        if self.lane_of.len() >= LANES_MAX {
            self.forget_remembered(LANES_MAX / 2);
        }
        if self.lane_of.len() >= LANES_MAX {
            return None;
        }
        let (way, _) = self.ways.hold(way, |it| it.into());
        let (site_number, is_new) = self.sites.hold(site, |it| it.into());
        if is_new && !self.paused.is_empty() {
            let paused = self.paused.contains(&Pause::Site(site.to_owned()));
            if let Some(site) = self.sites.beside_mut(site_number) {
                site.paused = paused;
            }
        }
        let lane = Lane::new(way, site_number, &self.settings.pace);
        let number = match self.free_lanes.pop() {
            Some(number) => number,
            None => {
                self.lanes.push(None);
                u32::try_from(self.lanes.len()).ok()?.checked_sub(1)?
            }
        };
        *self.lanes.get_mut(number as usize)? = Some(lane);
        self.lane_of.insert((way, site_number), number);
        if let Some(site) = self.sites.beside_mut(site_number) {
            site.lanes.push(number);
        }
        Some(number)
    }

    /// Forgets an empty lane, unless something was learnt about its site: that is remembered for an hour.
    pub(super) fn retire(&mut self, number: u32) {
        let (now_ms, limits) = (self.now_ms, self.settings.pace);
        let Some(lane) = self.lane_mut(number) else {
            return;
        };
        if lane.ready() > 0 || lane.open > 0 {
            return;
        }
        if lane.pace.is_fresh(&limits) {
            self.drop_lane(number);
            return;
        }
        lane.empty_since_ms = now_ms;
        self.remembered.push_back((now_ms, number));
        self.forget_remembered(REMEMBERED_MAX);
    }

    fn forget_remembered(&mut self, most: usize) {
        while let Some(&(since_ms, number)) = self.remembered.front() {
            if self.remembered.len() <= most && since_ms + REMEMBERED_MS > self.now_ms {
                return;
            }
            self.remembered.pop_front();
            let lane = self.lanes.get(number as usize).and_then(Option::as_ref);
            let still_empty = lane.is_some_and(|lane| {
                lane.empty_since_ms == since_ms && lane.ready() == 0 && lane.open == 0
            });
            if still_empty {
                self.drop_lane(number);
            }
        }
    }

    fn drop_lane(&mut self, number: u32) {
        let lane = self.lanes.get_mut(number as usize).and_then(Option::take);
        if let Some(lane) = lane {
            self.lane_of.remove(&(lane.way, lane.site));
            if let Some(site) = self.sites.beside_mut(lane.site) {
                site.lanes.retain(|other| *other != number);
            }
            self.ways.release(lane.way);
            self.sites.release(lane.site);
            self.free_lanes.push(number);
        }
    }
}

/// Jobs that a worker may have while others wait for a connection.
const TURN: u32 = 20;
/// Lanes that there may be at once; some kilobytes each.
const LANES_MAX: usize = 32_768;
/// Lanes without a job or a worker that are kept for what they have learnt.
const REMEMBERED_MAX: usize = 8192;
const REMEMBERED_MS: u64 = 3_600_000;
impl super::Scheduler {
    /// Names of a worker's way and site.
    #[must_use]
    pub fn lane_names(&self, worker: &super::Worker) -> Option<(&str, &str)> {
        let lane = self.lanes.get(worker.lane as usize)?.as_ref()?;
        Some((self.ways.key(lane.way)?, self.sites.key(lane.site)?))
    }
}
