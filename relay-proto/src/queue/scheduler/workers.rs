//! Workers: what each gets, and when it must make room.
//!
//! While other lanes wait for a connection, a worker ends after so many jobs, and does not linger, so that a busy lane
//! keeps nobody out.

use core::cmp::Reverse;

use super::super::jobs::State;
use super::super::pace::Fault;
use super::{Pause, Scheduler, Take, Worker};
use crate::queued::UnixMillis;

impl Scheduler {
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

    /// Names of a worker's way and site.
    #[must_use]
    pub fn lane_names(&self, worker: &Worker) -> Option<(&str, &str)> {
        let lane = self.lanes.get(worker.lane as usize)?.as_ref()?;
        Some((self.ways.key(lane.way)?, self.sites.key(lane.site)?))
    }

    /// Number of a worker's lane, as in [`Action::Wake`].
    #[must_use]
    pub fn lane_number(worker: &Worker) -> u32 {
        worker.lane
    }
}

/// Jobs that a worker may have while others wait for a connection.
const TURN: u32 = 20;
