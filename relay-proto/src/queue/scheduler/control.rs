//! What people do to jobs, and what they see of them.

use super::super::filter::View;
use super::super::jobs::{AGES, HOLD, JobKey, REMOVE, State};
use super::super::names::NONE;
use super::super::target::Target;
use super::{Order, Pause, Scheduler};

impl Scheduler {
    /// Nothing of this is begun until [`Scheduler::resume`]; what is in flight comes to its end. Whether that is new.
    pub fn pause(&mut self, what: Pause) -> bool {
        let is_new = self.paused.insert(what.clone());
        if is_new {
            self.apply(&what, true);
        }
        is_new
    }

    /// Whether it was paused.
    pub fn resume(&mut self, what: &Pause) -> bool {
        let was = self.paused.remove(what);
        if was {
            self.apply(what, false);
        }
        was
    }

    /// What is paused.
    pub fn pauses(&self) -> impl Iterator<Item = &Pause> {
        self.paused.iter()
    }

    fn apply(&mut self, what: &Pause, paused: bool) {
        match what {
            Pause::Everything => {}
            Pause::Domain(name) => {
                let number = self.domains.find(name.as_str()).unwrap_or(NONE);
                if let Some(domain) = self.domains.beside_mut(number) {
                    domain.paused = paused;
                }
                if !paused {
                    for target in 0..self.targets.numbers() {
                        if self
                            .targets
                            .key(target)
                            .is_some_and(|it| it.domain == number)
                        {
                            self.unpark(target);
                        }
                    }
                }
            }
            Pause::Site(name) => {
                let number = self.sites.find(name.as_str()).unwrap_or(NONE);
                if let Some(site) = self.sites.beside_mut(number) {
                    site.paused = paused;
                }
            }
        }
        if !paused {
            for lane in (0..).take(self.lanes.len()) {
                self.consider(lane);
            }
        }
    }

    /// Keeps a job from being tried until it is released. One in flight comes to its end first. Whether that is new.
    pub fn hold(&mut self, key: JobKey) -> bool {
        let Some(slot) = self.jobs.slot(key) else {
            return false;
        };
        let Some(job) = self.jobs.at_mut(slot) else {
            return false;
        };
        match job.state {
            State::Held => false,
            State::InFlight(_) => {
                let is_new = !job.has(HOLD);
                job.flags |= HOLD;
                is_new
            }
            State::Nowhere | State::Scheduled(_) | State::Due | State::Parked | State::Ready(_) => {
                self.detach(slot);
                self.set(slot, State::Held);
                true
            }
        }
    }

    /// The same by a verdict on its message: it grows too old all the same.
    pub fn hold_until_old(&mut self, key: JobKey) -> bool {
        let held = self.hold(key);
        if let Some(job) = self.jobs.slot(key).and_then(|slot| self.jobs.at_mut(slot)) {
            job.flags |= AGES;
        }
        held
    }

    /// Whether a verdict holds a job, or did until a person released it.
    #[must_use]
    pub fn is_held_until_old(&self, key: JobKey) -> bool {
        let slot = self.jobs.slot(key);
        slot.and_then(|slot| self.jobs.at(slot))
            .is_some_and(|job| job.has(AGES))
    }

    /// A job that was held is due now. Whether it was.
    pub fn release(&mut self, key: JobKey) -> bool {
        let Some(slot) = self.jobs.slot(key) else {
            return false;
        };
        let Some(job) = self.jobs.at_mut(slot) else {
            return false;
        };
        if job.has(HOLD) {
            job.flags &= !HOLD;
            return true;
        }
        let held = job.state == State::Held;
        if held {
            self.make_due(slot);
        }
        held
    }

    /// A job is due now, whatever its schedule or its site's back-off says. Whether it was waiting for either.
    pub fn flush(&mut self, key: JobKey) -> bool {
        let Some(slot) = self.jobs.slot(key) else {
            return false;
        };
        match self.jobs.at(slot).map(|job| job.state) {
            Some(State::Scheduled(_)) => {
                // Its lane may be dead: whoever flushes wants to know now.
                self.probe_lanes_of(slot);
                self.make_due(slot);
                true
            }
            Some(State::Ready(lane)) => self.probe_now(lane),
            Some(
                State::Nowhere | State::Due | State::Parked | State::InFlight(_) | State::Held,
            )
            | None => false,
        }
    }

    /// A job is due now, and its route is looked for anew. Whether it is not in flight or held.
    pub fn requeue(&mut self, key: JobKey) -> bool {
        let Some(slot) = self.jobs.slot(key) else {
            return false;
        };
        match self.jobs.at(slot).map(|job| job.state) {
            Some(State::Scheduled(_) | State::Due | State::Parked | State::Ready(_)) => {
                self.probe_lanes_of(slot);
                self.make_due(slot);
                true
            }
            Some(State::Nowhere | State::InFlight(_) | State::Held) | None => false,
        }
    }

    fn probe_lanes_of(&mut self, slot: u32) {
        let site = self.jobs.at(slot).map_or(NONE, |job| job.site);
        let lanes = self.sites.beside(site).map(|site| site.lanes.clone());
        for number in lanes.unwrap_or_default() {
            self.probe_now(number);
        }
    }

    fn probe_now(&mut self, number: u32) -> bool {
        let now_ms = self.now_ms;
        let Some(lane) = self.lane_mut(number) else {
            return false;
        };
        let waits = lane.pace.probe_at_ms().is_some_and(|at| at > now_ms);
        if waits {
            lane.pace.probe_now(now_ms);
            self.consider(number);
        }
        waits
    }

    /// Takes a job in hand so that it can be removed from the spool, then [`Scheduler::finish`]ed. `None` if it is in
    /// flight: then it is removed when it comes back, unless it is delivered.
    pub fn remove(&mut self, key: JobKey) -> Option<Order> {
        let slot = self.jobs.slot(key)?;
        let job = self.jobs.at_mut(slot)?;
        if matches!(job.state, State::InFlight(_)) {
            job.flags |= REMOVE;
            return None;
        }
        self.detach(slot);
        self.set(slot, State::InFlight(NONE));
        self.order(slot)
    }

    /// Up to `most` slots of the table from `from` on, whether or not they are taken: shows each job to `see`. Where to
    /// go on; `None` = that was the end.
    pub fn scan<'a>(
        &'a self,
        from: u32,
        most: u32,
        mut see: impl FnMut(JobKey, View<'a>),
    ) -> Option<u32> {
        let end = from.saturating_add(most).min(self.jobs.slots());
        for slot in from..end {
            if let (Some(key), Some(view)) = (self.jobs.key(slot), self.view(slot)) {
                see(key, view);
            }
        }
        (end < self.jobs.slots()).then_some(end)
    }

    /// Whether a job is being attempted.
    #[must_use]
    pub fn is_in_flight(&self, key: JobKey) -> bool {
        self.in_flight(key).is_some()
    }

    /// What a job's route is looked for.
    #[must_use]
    pub fn target_of(&self, key: JobKey) -> Option<Target> {
        let slot = self.jobs.slot(key)?;
        self.target(self.order(slot)?.target)
    }

    /// One job, for people.
    #[must_use]
    pub fn show(&self, key: JobKey) -> Option<View<'_>> {
        self.view(self.jobs.slot(key)?)
    }

    fn view(&self, slot: u32) -> Option<View<'_>> {
        let job = self.jobs.at(slot)?;
        let target = self.targets.key(job.target)?;
        let lane = match job.state {
            State::Ready(lane) | State::InFlight(lane) => self.lanes.get(lane as usize),
            State::Nowhere | State::Scheduled(_) | State::Due | State::Parked | State::Held => None,
        };
        let way = lane.and_then(Option::as_ref).map(|lane| lane.way);
        Some(View {
            id: job.id,
            arrived_ms: job.arrived_ms,
            octets: job.octets,
            customer: self.customers.key(job.customer).copied(),
            sender: self.domains.key(job.sender)?,
            domain: self.domains.key(target.domain)?,
            original_dst: self.original_dsts.key(target.original_dst).copied(),
            egress: job.egress,
            recipients: job.recipients.as_slice(),
            state: job.state.shown()?,
            due_ms: u64::from(job.due_s) * 1000,
            site: self.sites.key(job.site).map(AsRef::as_ref),
            way: way.and_then(|way| self.ways.key(way)).map(AsRef::as_ref),
        })
    }
}
