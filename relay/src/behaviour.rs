//! What customers do, watched: their limits, what servers say about their recipients, texts that many send, and the
//! sites inside of shared hosts.
//!
//! [`Behaviour`] is what all sessions share; [`Behaviour::of`] is one customer's part, which is asked before something
//! happens and told afterwards (`watched`). What it may do is what everybody may, or what its flag names
//! ([`Behaviour::under_flag`]). What is decided is in `relay_proto::behaviour`, here are the clock, the lock around it, and
//! the files: `kept` is what was used up, [`locks`] are sites that a person has locked. `site` finds the name of a message's
//! site, `text` says what its content is like, [`door`] is what people ask.
//!
//! # Diagnostics
//! Logged: a limit that was reached (`info`, the first one of a customer in an hour; `debug` each), files that are damaged or cannot be written; names of limits that this relay's configuration does not have (`warn`, each once
//! until the next reload).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::LimitsName;
use relay_proto::behaviour::texts::Texts;
use relay_proto::behaviour::{CustomerKey, Customers, Limits};
use tokio::sync::{Notify, watch};
use tracing::warn;

use crate::config::{BehaviourConfig, Config};
use crate::metrics::{Counter, Metrics};
use crate::snapshot::Newest;

pub mod door;
mod figures;
mod kept;
pub mod locks;
mod reached;
mod scanner;
pub mod shapes;
mod site;
mod text;
mod watched;

use kept::WallClock;
use locks::Locks;
pub(crate) use reached::Reached;
pub(crate) use site::Sites;
pub(crate) use text::simhash;
pub(crate) use watched::Watched;

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
    /// Something has changed that a crash shall not forgive.
    urgent: Notify,
    locks: Locks,
    metrics: Arc<Metrics>,
    /// That of the relay which new sessions are given.
    newest: Mutex<Arc<BehaviourConfig>>,
    /// Who is flagged, and how.
    flagged: watch::Receiver<Newest>,
    /// Names of limits that a flag has and the configuration has not, as far as they were told.
    missing: Mutex<BTreeSet<LimitsName>>,
}

struct Known {
    customers: Customers,
    texts: Texts,
}

impl Behaviour {
    /// What the state directory holds from before. Blocks on the disk.
    pub(crate) fn open(
        config: &Config,
        metrics: Arc<Metrics>,
        flagged: watch::Receiver<Newest>,
    ) -> Self {
        let (config, directory) = (&config.behaviour, &config.state_dir);
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
                urgent: Notify::new(),
                locks: Locks::open(directory),
                metrics,
                newest: Mutex::new(config),
                flagged,
                missing: Mutex::default(),
            }),
        }
    }

    /// The same customers under another configuration.
    pub(crate) fn under(&self, config: &BehaviourConfig) -> Self {
        self.lock().customers.bound(config.customers);
        let newest = &self.shared.newest;
        *newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        self.missing().clear();
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

    /// One customer's part, for what no limit is about.
    pub(crate) fn of(&self, customer: IpAddr) -> Watched {
        self.under_flag(customer, None)
    }

    /// One customer's part; its flag names these limits.
    pub(crate) fn under_flag(&self, customer: IpAddr, named: Option<&LimitsName>) -> Watched {
        let limits = named.and_then(|name| self.config.named_limits.get(name));
        Watched {
            behaviour: self.clone(),
            key: CustomerKey::of(customer, self.config.ipv6_prefix),
            limits: *limits.unwrap_or(&self.config.limits),
            missing: named.filter(|_| limits.is_none()).cloned(),
        }
    }

    /// The limits that hold for a customer by its flag of this moment, and their name if they have one.
    fn limits_of(&self, customer: IpAddr) -> (Limits, Option<LimitsName>) {
        let flagged = self.shared.flagged.borrow();
        let policy = flagged.as_ref().and_then(|it| it.customer(customer));
        let name = policy.and_then(|policy| policy.limits.as_ref());
        let own = name.and_then(|name| Some((*self.config.named_limits.get(name)?, name.clone())));
        own.map_or((self.config.limits, None), |(limits, name)| {
            (limits, Some(name))
        })
    }

    /// A customer came whose flag names limits that nobody has configured here.
    fn tell_of_missing(&self, name: &LimitsName) {
        self.shared.metrics.count(Counter::LimitsMissing);
        let mut missing = self.missing();
        if missing.len() < MISSING_MAX && missing.insert(name.clone()) {
            warn!(%name, "a flag names limits that [behaviour.named_limits] does not have: its customers have those of everybody");
        }
    }

    fn missing(&self) -> MutexGuard<'_, BTreeSet<LimitsName>> {
        let missing = &self.shared.missing;
        missing.lock().unwrap_or_else(PoisonError::into_inner)
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

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("file", &self.shared.file)
            .finish_non_exhaustive()
    }
}

/// More names are counted, and not logged.
const MISSING_MAX: usize = 100;
