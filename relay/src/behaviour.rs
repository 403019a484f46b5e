//! What customers do, watched: their limits, what servers say about their recipients, texts that many send, and the
//! sites inside of shared hosts.
//!
//! [`Behaviour`] is what all sessions share; [`Behaviour::of`] is one customer's part, which is asked before something
//! happens and told afterwards. What is decided is in `relay_proto::behaviour`, here are the clock, the lock around it, and
//! the files: `kept` is what was used up, [`locks`] are sites that a person has locked. `site` finds the name of a message's
//! site, `text` says what its content is like, [`door`] is what people ask.
//!
//! # Diagnostics
//! Logged: a limit that was reached (`info`, the first one of a customer in an hour; `debug` each), files that are damaged or cannot be written.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relay_proto::Time;
use relay_proto::behaviour::identity::Identity;
use relay_proto::behaviour::texts::{SENDERS_MAX, Texts};
use relay_proto::behaviour::{
    Customer, CustomerKey, Customers, Distinct, Exceeded, Limits, Measure, answers,
};
use relay_proto::reply::Reply;
use tracing::{debug, info};

use crate::config::BehaviourConfig;
use crate::metrics::{Counter, Metrics};

pub mod door;
mod figures;
mod kept;
pub mod locks;
mod reached;
mod scanner;
pub mod shapes;
mod site;
mod text;

use kept::WallClock;
use locks::{Lock, Locks};
pub(crate) use reached::Reached;
pub(crate) use site::Sites;
pub(crate) use text::simhash;

/// What is known of all customers. Cheap to clone.
#[derive(Clone)]
pub struct Behaviour {
    config: Arc<BehaviourConfig>,
    shared: Arc<Shared>,
}

struct Shared {
    file: PathBuf,
    clock: WallClock,
    known: Mutex<Known>,
    changed: AtomicBool,
    locks: Locks,
    metrics: Arc<Metrics>,
    /// That of the relay which new sessions are given.
    newest: Mutex<Arc<BehaviourConfig>>,
}

struct Known {
    customers: Customers,
    texts: Texts,
}

/// One customer's part.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    behaviour: Behaviour,
    key: CustomerKey,
}

impl Behaviour {
    /// What `directory` holds from before. Blocks on the disk.
    pub(crate) fn open(config: &BehaviourConfig, directory: &Path, metrics: Arc<Metrics>) -> Self {
        let clock = WallClock::start();
        let file = directory.join(kept::FILE);
        let known = Known {
            customers: kept::read(&file, config.customers, clock.now()),
            texts: Texts::new(config.suspicion.texts),
        };
        let config = Arc::new(config.clone());
        Self {
            config: Arc::clone(&config),
            shared: Arc::new(Shared {
                file,
                clock,
                known: Mutex::new(known),
                changed: AtomicBool::new(false),
                locks: Locks::open(directory),
                metrics,
                newest: Mutex::new(config),
            }),
        }
    }

    /// The same customers under another configuration.
    pub(crate) fn under(&self, config: &BehaviourConfig) -> Self {
        self.lock().customers.bound(config.customers);
        let newest = &self.shared.newest;
        *newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        self.newest()
    }

    /// The same customers under the configuration that new sessions are given.
    pub(crate) fn newest(&self) -> Self {
        let newest = &self.shared.newest;
        let newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            config: Arc::clone(&newest),
            shared: Arc::clone(&self.shared),
        }
    }

    /// One customer's part.
    pub(crate) fn of(&self, customer: IpAddr) -> Watched {
        Watched {
            behaviour: self.clone(),
            key: CustomerKey::of(customer, self.config.ipv6_prefix),
        }
    }

    /// The sites that a message may come from.
    pub(crate) fn config(&self) -> &BehaviourConfig {
        &self.config
    }

    /// Sites that are locked.
    pub fn locks(&self) -> &Locks {
        &self.shared.locks
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        let known = &self.shared.known;
        known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// A connection wants to be served; it is counted if it may.
    pub(crate) fn connects(&self) -> Result<(), Reached> {
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
        let limits = &self.behaviour.config.limits;
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
        let limits = &self.behaviour.config.limits;
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
        let limits = &self.behaviour.config.limits;
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

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("file", &self.shared.file)
            .finish_non_exhaustive()
    }
}
