//! One customer's part: asked before something happens, told afterwards.

use std::sync::atomic::Ordering;

use contract::LimitsName;
use relay_proto::Time;
use relay_proto::behaviour::identity::Identity;
use relay_proto::behaviour::texts::SENDERS_MAX;
use relay_proto::behaviour::{Customer, CustomerKey, Distinct, Exceeded, Limits, Measure, answers};
use relay_proto::reply::Reply;
use tracing::{debug, info};

use super::locks::Lock;
use super::{Behaviour, Reached};
use crate::metrics::Counter;

/// One customer's part.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(super) behaviour: Behaviour,
    pub(super) key: CustomerKey,
    pub(super) limits: Limits,
    /// Those that its flag names, if nobody has configured them.
    pub(super) missing: Option<LimitsName>,
}

impl Watched {
    /// A connection wants to be served; it is counted if it may.
    pub(crate) fn connects(&self) -> Result<(), Reached> {
        if let Some(name) = &self.missing {
            self.behaviour.tell_of_missing(name);
        }
        self.take(Measure::Connections, 1)
    }

    /// A message is announced, with its octets if the client knows them.
    pub(crate) fn announces(&self, octets: Option<u64>) -> Result<(), Reached> {
        self.ask(|customer, limits, now| {
            customer.room(Measure::Messages, 1, limits, now)?;
            customer.room(Measure::Octets, octets.unwrap_or(0), limits, now)?;
            customer.room_for_another(Distinct::Senders, limits, now)
        })
    }

    /// A recipient is named.
    pub(crate) fn names_recipient(&self) -> Result<(), Reached> {
        self.ask(|customer, limits, now| {
            customer.room(Measure::Recipients, 1, limits, now)?;
            customer.room_for_another(Distinct::Recipients, limits, now)
        })
    }

    /// The recipient was taken.
    pub(crate) fn wrote_to(&self, recipient: &str) {
        self.tell(|customer, limits, now| {
            customer.used(Measure::Recipients, 1, limits, now);
            customer.saw(Distinct::Recipients, recipient, now);
        });
    }

    /// The content is about to come; the message is counted if it may.
    pub(crate) fn sends(&self, sender: &str) -> Result<(), Reached> {
        self.take(Measure::Messages, 1)?;
        self.tell(|customer, _, now| customer.saw(Distinct::Senders, sender, now));
        Ok(())
    }

    /// The content was not asked for after all.
    pub(crate) fn sends_not(&self) {
        self.tell(|customer, limits, now| customer.message_never_came(limits, now));
    }

    /// The content has come whole; it is counted if it may go on, for the customer and for the sites that it is of.
    pub(crate) fn sent(
        &self,
        octets: u64,
        recipients: u64,
        sites: &[Identity],
    ) -> Result<(), Reached> {
        let each = [
            (Measure::Messages, 1),
            (Measure::Recipients, recipients),
            (Measure::Octets, octets),
        ];
        self.ask(|customer, limits, now| customer.room(Measure::Octets, octets, limits, now))?;
        let of_sites = &self.behaviour.config.identity_limits;
        for site in sites {
            let full = self.look(|customer, now| {
                each.iter().find_map(|&(measure, units)| {
                    let room = customer.site_room(site, measure, units, of_sites, now);
                    room.err()
                })
            });
            if let Some(exceeded) = full.filter(|_| self.behaviour.config.enforce) {
                let is_first = self.tell(|customer, _, now| is_first(customer, now));
                return Err(self.reached(Some(site), exceeded, is_first));
            }
        }
        self.tell(|customer, limits, now| {
            customer.used(Measure::Octets, octets, limits, now);
            for site in sites {
                for (measure, units) in each {
                    customer.site_used(site, measure, units, of_sites, now);
                }
            }
        });
        Ok(())
    }

    /// A server has answered about a recipient.
    pub(crate) fn answered(&self, reply: &Reply) {
        if let Some(answer) = answers::judge(reply) {
            self.tell(|customer, _, now| customer.answered(answer, now));
        }
    }

    /// A server has refused a whole message, whose recipients it had taken before.
    pub(crate) fn refused(&self, reply: &Reply) {
        if answers::judge(reply) == Some(answers::Answered::ByPolicy) {
            self.tell(|customer, _, now| customer.answered(answers::Answered::ByPolicy, now));
        }
    }

    /// A message was found to be spam.
    pub(crate) fn sent_spam(&self) {
        self.tell(|customer, _, now| customer.sent_spam(now));
    }

    /// Why its mail is suspicious whatever stands in it, for the sender to read.
    pub(crate) fn suspicions(&self) -> Vec<String> {
        let suspicion = &self.behaviour.config.suspicion;
        let counts = self.look(|customer, now| Some(customer.counts(now)));
        let counts = counts.unwrap_or_default();
        let answers = counts.answers();
        if !self.behaviour.config.enforce || answers < suspicion.answers_min {
            return Vec::new();
        }
        let of = |part: u64, what: &str| {
            let key = self.key;
            format!("{part} of {answers} recipients that {key} wrote to in the last hour {what}")
        };
        let unknown = of(counts.unknown, "do not exist");
        let refused = of(counts.by_policy, "were refused by their servers' policy");
        let found = [
            (counts.unknown_share() >= suspicion.unknown_share, unknown),
            (counts.refused_share() >= suspicion.refused_share, refused),
        ];
        let found = found.into_iter().filter(|(is_so, _)| *is_so);
        found.map(|(_, reason)| reason).collect()
    }

    /// A text like this goes to so many; why that is suspicious, if it is.
    pub(crate) fn sends_text(&self, simhash: u64, recipients: u64) -> Option<String> {
        let now = self.behaviour.shared.clock.now();
        let spread = (self.behaviour.lock().texts).sent(simhash, self.key, recipients, now);
        let suspicion = &self.behaviour.config.suspicion;
        let reaches = |count: u64, limit: Option<std::num::NonZeroU64>| {
            self.behaviour.config.enforce && limit.is_some_and(|limit| count >= limit.get())
        };
        if reaches(spread.customers, suspicion.same_text_customers) {
            let or_more = match spread.customers >= SENDERS_MAX as u64 {
                true => " or more",
                false => "",
            };
            let customers = spread.customers;
            let text =
                format!("the same text from {customers}{or_more} customers in the last hour");
            return Some(text);
        }
        reaches(spread.recipients, suspicion.same_text_recipients).then(|| {
            let (recipients, key) = (spread.recipients, self.key);
            format!("the same text from {key} to {recipients} recipients in the last hour")
        })
    }

    /// The lock of one of these sites, if there is one.
    pub(crate) fn locked(&self, sites: &[Identity]) -> Option<Lock> {
        self.behaviour.shared.locks.find(self.key, sites)
    }

    /// What a locked site hears.
    pub(crate) fn refusal(&self, lock: &Lock, help_url: &str) -> Reply {
        self.behaviour.shared.metrics.count(Counter::IdentityLocked);
        let Lock {
            identity, reason, ..
        } = lock;
        let text = format!(
            "identity {identity} on {} is locked: {reason}; see {help_url}",
            self.key
        );
        Reply::new(550, "5.7.1", &text)
    }

    fn take(&self, measure: Measure, units: u64) -> Result<(), Reached> {
        let now = self.behaviour.shared.clock.now();
        let limits = &self.limits;
        let mut known = self.behaviour.lock();
        let customer = known.customers.heard(self.key);
        let room = customer.room(measure, units, limits, now);
        if let Err(exceeded) = room
            && self.behaviour.config.enforce
        {
            let is_first = is_first(customer, now);
            drop(known);
            return Err(self.reached(None, exceeded, is_first));
        }
        customer.used(measure, units, limits, now);
        drop(known);
        self.behaviour.shared.changed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn ask(
        &self,
        question: impl FnOnce(&Customer, &Limits, Time) -> Result<(), Exceeded>,
    ) -> Result<(), Reached> {
        let limits = &self.limits;
        let full = self.look(|customer, now| question(customer, limits, now).err());
        match full.filter(|_| self.behaviour.config.enforce) {
            None => Ok(()),
            Some(exceeded) => {
                let is_first = self.tell(|customer, _, now| is_first(customer, now));
                Err(self.reached(None, exceeded, is_first))
            }
        }
    }

    /// Of somebody who is not known there is nothing to see.
    fn look<T>(&self, question: impl FnOnce(&Customer, Time) -> Option<T>) -> Option<T> {
        let now = self.behaviour.shared.clock.now();
        let known = self.behaviour.lock();
        let customer = known.customers.known(self.key)?;
        question(customer, now)
    }

    fn tell<T>(&self, told: impl FnOnce(&mut Customer, &Limits, Time) -> T) -> T {
        let now = self.behaviour.shared.clock.now();
        let limits = &self.limits;
        let mut known = self.behaviour.lock();
        let answer = told(known.customers.heard(self.key), limits, now);
        drop(known);
        self.behaviour.shared.changed.store(true, Ordering::Relaxed);
        answer
    }

    fn reached(&self, site: Option<&Identity>, exceeded: Exceeded, is_first: bool) -> Reached {
        self.behaviour.shared.metrics.count(Counter::Limited);
        let reached = Reached {
            key: self.key,
            site: site.cloned(),
            exceeded,
            over: self.behaviour.config.over,
            is_first,
        };
        let (limit, wait_s) = (exceeded.name, exceeded.wait.as_secs());
        // Who does not heed one is told again and again.
        if is_first {
            self.behaviour.shared.urgent.notify_one();
            info!(%limit, who = reached.who(), wait_s, "a limit is reached");
        } else {
            debug!(%limit, who = reached.who(), wait_s, "a limit is reached");
        }
        reached
    }
}

/// Notes that a limit was reached; whether there was none in the hour before.
fn is_first(customer: &mut Customer, now: Time) -> bool {
    let is_first = customer.counts(now).limited == 0;
    customer.was_limited(now);
    is_first
}
