//! How messages come in, and how time goes by.

use core::net::{IpAddr, Ipv6Addr};

use super::super::arrival::Arrival;
use super::super::jobs::{Chain, Job, JobKey, Recipients, State, WARNED};
use super::super::names::NONE;
use super::super::wheel::Wheel;
use super::{First, Owner, Pause, Scheduler, TargetNames, seconds};
use crate::queued::{QueueId, UnixMillis};

impl Scheduler {
    /// Takes in a message, a job for each of its domains. One that is here already is passed over. How many jobs it has.
    pub fn insert(&mut self, arrival: &Arrival, first: First, now: UnixMillis) -> usize {
        self.clock(now);
        if self.jobs.first(arrival.id).is_some() {
            return 0;
        }
        let domains = arrival.domains.iter();
        let taken = domains.filter(|(domain, recipients)| {
            !recipients.is_empty()
                && self
                    .insert_job(arrival, domain, recipients, first)
                    .is_some()
        });
        taken.count()
    }

    fn insert_job(
        &mut self,
        arrival: &Arrival,
        domain: &str,
        recipients: &[u32],
        first: First,
    ) -> Option<u32> {
        let arrived_ms = arrival.arrived.0;
        let mut job = Job::new(arrival.id, arrived_ms, Recipients::new(recipients));
        job.octets = u32::try_from(arrival.octets).unwrap_or(u32::MAX);
        job.egress = arrival.egress;
        let age_ms = self.now_ms.saturating_sub(arrived_ms);
        let late = self
            .settings
            .warn_after_ms
            .is_some_and(|after| age_ms >= after);
        // Whether its sender was warned is not on disk: it had its chance.
        job.flags = if late { WARNED } else { 0 };
        let slot = self.jobs.insert(job)?;
        let customer = arrival
            .customer
            .map_or(NONE, |address| self.hold_customer(address));
        let sender = self.hold_domain(&arrival.sender);
        let target = self.hold_target(domain, arrival);
        if let Some(job) = self.jobs.at_mut(slot) {
            (job.customer, job.sender, job.target) = (customer, sender, target);
        }
        let arrivals = self.arrivals.entry(arrived_ms / super::MINUTE_MS);
        *arrivals.or_default() += 1;
        self.await_age(slot);
        let due_ms = match first {
            First::Now => self.now_ms,
            First::TriedUntil(until) => self.next_after_restart(arrival, age_ms, until),
        };
        self.schedule(slot, due_ms);
        Some(slot)
    }

    /// When a message is due that was here before a restart.
    fn next_after_restart(&self, arrival: &Arrival, age_ms: u64, until: UnixMillis) -> u64 {
        let schedule = &self.settings.schedule;
        let latest_ms = schedule.latest_ms(arrival.id, age_ms);
        let missed = arrival.arrived.0.saturating_add(latest_ms) > until.0;
        // The first attempt may have been under way.
        if missed || latest_ms == 0 || age_ms >= schedule.lifetime_ms() {
            return self.now_ms;
        }
        let next_ms = schedule.due_ms(arrival.id, schedule.attempts(arrival.id, age_ms));
        let next_ms = next_ms.min(schedule.lifetime_ms());
        arrival.arrived.0.saturating_add(next_ms)
    }

    /// All jobs of a message.
    #[must_use]
    pub fn jobs_of(&self, id: QueueId) -> Vec<JobKey> {
        let first = self.jobs.first(id);
        let slots = first.into_iter().flat_map(|slot| self.jobs.siblings(slot));
        slots.filter_map(|slot| self.jobs.key(slot)).collect()
    }

    fn hold_customer(&mut self, address: IpAddr) -> u32 {
        let address = address.to_canonical();
        let (customer, is_new) = self.customers.hold(&address, |it| *it);
        if is_new {
            let share = match address {
                IpAddr::V4(_) => address,
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            };
            let (share, _) = self.shares.hold(&share, |it| *it);
            if let Some(owner) = self.customers.beside_mut(customer) {
                *owner = Owner { share };
            }
        }
        customer
    }

    fn hold_domain(&mut self, domain: &str) -> u32 {
        let (number, is_new) = self.domains.hold(domain, |it| it.into());
        if is_new && !self.paused.is_empty() {
            let paused = self.paused.contains(&Pause::Domain(domain.to_owned()));
            if let Some(domain) = self.domains.beside_mut(number) {
                domain.paused = paused;
            }
        }
        number
    }

    fn hold_target(&mut self, domain: &str, arrival: &Arrival) -> u32 {
        let original_dst = arrival.original_dst;
        let names = TargetNames {
            domain: self.hold_domain(domain),
            original_dst: original_dst.map_or(NONE, |it| self.original_dsts.hold(&it, |it| *it).0),
            policies_waived: arrival.policies_waived,
        };
        let (target, is_new) = self.targets.hold(&names, |it| *it);
        if is_new {
            self.generation = self.generation.wrapping_add(1);
            if let Some(state) = self.targets.beside_mut(target) {
                state.generation = self.generation;
            }
        } else {
            // The target has them once, for all of its jobs.
            self.domains.release(names.domain);
            self.original_dsts.release(names.original_dst);
        }
        target
    }

    /// It is `now`.
    pub(super) fn clock(&mut self, now: UnixMillis) {
        if now.0.saturating_add(SET_BACK_MS) < self.now_ms {
            self.set_back(now.0);
        }
        self.now_ms = self.now_ms.max(now.0);
        self.turn_the_wheel();
        while let Some(core::cmp::Reverse((_, lane))) = self
            .probes
            .peek()
            .copied()
            .filter(|it| it.0.0 <= self.now_ms)
        {
            self.probes.pop();
            self.consider(lane);
        }
    }

    /// The clock was set back by more than a correction: a due time that is further away than any pause comes from when it
    /// was wrong.
    fn set_back(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.wheel = Wheel::new(seconds(now_ms));
        let latest_ms = now_ms.saturating_add(self.settings.schedule.longest_ms());
        for slot in 0..self.jobs.slots() {
            let Some(job) = self.jobs.at(slot) else {
                continue;
            };
            if let State::Scheduled(_) = job.state {
                let due_ms = (u64::from(job.due_s) * 1000).min(latest_ms);
                // The slots of the old wheel are gone, and with them what is linked.
                self.set(slot, State::Nowhere);
                self.schedule(slot, due_ms);
            }
        }
        self.probes.clear();
        for (number, lane) in (0_u32..).zip(&mut self.lanes) {
            if let Some(lane) = lane.as_mut().filter(|lane| lane.pace.is_dead()) {
                lane.pace.probe_now(now_ms);
                self.probes.push(core::cmp::Reverse((now_ms, number)));
            }
        }
    }

    /// When to poll again, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<UnixMillis> {
        let wheel = self.wheel.next().map(|tick| u64::from(tick) * 1000);
        let probe = self.probes.peek().map(|it| it.0.0);
        let age = self.ages.next_ms();
        let next = [wheel, probe, age].into_iter().flatten().min();
        next.map(UnixMillis)
    }

    pub(super) fn pop_due(&mut self) -> Option<u32> {
        let slot = self.jobs.pop_front(&mut self.due, Chain::Place)?;
        self.set(slot, State::Nowhere);
        Some(slot)
    }
}

/// Clocks are corrected by less.
const SET_BACK_MS: u64 = 60_000;
