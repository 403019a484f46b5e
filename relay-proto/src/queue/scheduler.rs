//! All jobs and lanes, and what to do next.

mod control;
mod ends;
mod inward;
mod lanes;
mod places;
mod work;
mod workers;

use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use super::ages::Ages;
use super::jobs::{JobKey, Jobs, List};
use super::lane::Lane;
use super::names::Names;
use super::pace::PaceLimits;
use super::retry::Schedule;
use super::target::Target;
use super::wheel::Wheel;
use crate::queued::{Egress, QueueId, UnixMillis};

/// What the queue is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When messages are tried.
    pub schedule: Schedule,
    /// At which age the sender is warned, in milliseconds; `None` = never.
    pub warn_after_ms: Option<u64>,
    /// How a lane's connections grow and shrink.
    pub pace: PaceLimits,
    /// Workers at once, of all lanes; at least 1.
    pub connections: u32,
    /// Workers at once of one site, of all its lanes; at least 1.
    pub connections_per_site: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            warn_after_ms: None,
            pace: PaceLimits::default(),
            connections: 500,
            connections_per_site: 50,
        }
    }
}

/// All jobs and lanes.
#[derive(Debug)]
pub struct Scheduler {
    settings: Settings,
    jobs: Jobs,
    wheel: Wheel,
    ages: Ages,
    /// Due, to be placed, in this order.
    due: List,
    domains: Names<Box<str>, Domain>,
    sites: Names<Box<str>, Site>,
    ways: Names<Box<str>, ()>,
    customers: Names<IpAddr, Owner>,
    shares: Names<IpAddr, ()>,
    original_dsts: Names<SocketAddr, ()>,
    targets: Names<TargetNames, TargetState>,
    lanes: Vec<Option<Lane>>,
    free_lanes: Vec<u32>,
    lane_of: HashMap<(u32, u32), u32>,
    /// Lanes that may want a worker.
    listed: VecDeque<u32>,
    /// Lanes that have jobs for their idle workers.
    wakes: VecDeque<u32>,
    /// Lanes that may have idle workers, and whether some were told to make room.
    idle_lanes: VecDeque<u32>,
    making_room: bool,
    /// Empty lanes that remember how their site was, by when they became empty.
    remembered: VecDeque<(u64, u32)>,
    /// When dead lanes are tried.
    probes: BinaryHeap<Reverse<(u64, u32)>>,
    /// Jobs whose senders are to be warned.
    warnings: VecDeque<JobKey>,
    open: u32,
    counts: [usize; 5],
    /// Jobs by the minute in which they arrived.
    arrivals: BTreeMap<u64, u32>,
    paused: BTreeSet<Pause>,
    now_ms: u64,
    generation: u32,
}

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pause {
    /// Everything: nothing is begun.
    Everything,
    /// A recipient domain, in lower case.
    Domain(String),
    /// A site.
    Site(String),
}

/// When a job that comes in is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// At once: it is new.
    Now,
    /// It was here before a restart: when its schedule says, but at once if that was missed. Attempts until this moment
    /// were made.
    TriedUntil(UnixMillis),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// A job is due. It is in flight until the caller says [`Scheduler::place`], [`Scheduler::park`],
    /// [`Scheduler::defer`] or [`Scheduler::finish`].
    Place(Order),
    /// Begin a worker.
    Begin(Worker),
    /// Idle workers of this lane may take a job.
    Wake(u32),
    /// The job's time is up and it was not attempted. It is in flight.
    Expire(Order),
    /// Warn the sender that this job is late. The job stays where it is.
    Warn(Order),
}

/// One job, for whoever attempts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The job.
    pub key: JobKey,
    /// Its message.
    pub id: QueueId,
    /// When that arrived.
    pub arrived: UnixMillis,
    /// What a route is looked for.
    pub target: TargetKey,
    /// The customer; `None` = the relay.
    pub customer: Option<IpAddr>,
    /// Where it shall leave from.
    pub egress: Egress,
    /// Recipients, as indices of [`Queued::recipients`](crate::queued::Queued::recipients).
    pub recipients: Vec<usize>,
    /// How often it was due before, by its age.
    pub attempt: u64,
}

/// Names a target as long as a job has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetKey {
    number: u32,
    generation: u32,
}

/// One connection's right to take jobs of a lane. Must be given back with [`Scheduler::leave`].
#[derive(Debug, PartialEq, Eq)]
pub struct Worker {
    lane: u32,
    probe: bool,
    idle: bool,
    busy: bool,
    served: u32,
    since_ms: u64,
}

/// Answer to a worker.
#[derive(Debug, PartialEq, Eq)]
pub enum Take {
    /// A job; it is in flight.
    Job(Order),
    /// None now. The worker may wait for [`Action::Wake`] as long as it likes to keep its connection.
    Nothing,
    /// None for this worker: end.
    Leave,
}

/// What becomes of a job that was deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is due again then.
    Due {
        /// When.
        at: UnixMillis,
        /// The sender is to be warned now.
        warn: bool,
    },
    /// Its time is up: it stays in flight, and must be ended with [`Scheduler::finish`].
    Expired,
    /// A person has removed it meanwhile: likewise.
    Removed,
    /// A person holds it now.
    Held,
    /// There is no such job.
    Gone,
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs by state, in the order of [`JobState::ALL`](super::JobState::ALL).
    pub by_state: [usize; 5],
    /// Workers.
    pub connections: u32,
    /// Lanes.
    pub lanes: usize,
    /// Lanes whose site is dead.
    pub dead: usize,
    /// When the oldest message arrived, to the minute.
    pub oldest: Option<UnixMillis>,
}
#[derive(Debug, Default)]
struct Domain {
    paused: bool,
}

#[derive(Debug, Default)]
struct Site {
    paused: bool,
    open: u32,
    /// All of its lanes.
    lanes: Vec<u32>,
    /// Lanes that wait for one of its connections to end.
    waiting: VecDeque<u32>,
}

#[derive(Debug, Default)]
struct Owner {
    /// Whom it shares its turns with: all of an IPv6 /64, inside of which hosts rotate.
    share: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TargetNames {
    domain: u32,
    original_dst: u32,
    policies_waived: bool,
}

#[derive(Debug, Default)]
struct TargetState {
    parked: List,
    generation: u32,
}

impl Scheduler {
    /// An empty queue.
    #[must_use]
    pub fn new(settings: Settings, now: UnixMillis) -> Self {
        Self {
            settings,
            jobs: Jobs::new(),
            wheel: Wheel::new(seconds(now.0)),
            ages: Ages::default(),
            due: List::default(),
            domains: Names::new(),
            sites: Names::new(),
            ways: Names::new(),
            customers: Names::new(),
            shares: Names::new(),
            original_dsts: Names::new(),
            targets: Names::new(),
            lanes: Vec::new(),
            free_lanes: Vec::new(),
            lane_of: HashMap::new(),
            listed: VecDeque::new(),
            wakes: VecDeque::new(),
            idle_lanes: VecDeque::new(),
            making_room: false,
            remembered: VecDeque::new(),
            probes: BinaryHeap::new(),
            warnings: VecDeque::new(),
            open: 0,
            counts: [0; 5],
            arrivals: BTreeMap::new(),
            paused: BTreeSet::new(),
            now_ms: now.0,
            generation: 0,
        }
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers for people.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let lanes = self.lanes.iter().flatten();
        let oldest = self.arrivals.first_key_value();
        Counts {
            by_state: self.counts,
            connections: self.open,
            lanes: self.lane_of.len(),
            dead: lanes.filter(|lane| lane.pace.is_dead()).count(),
            oldest: oldest.map(|(minute, _)| UnixMillis(minute * MINUTE_MS)),
        }
    }

    /// What a target is.
    #[must_use]
    pub fn target(&self, key: TargetKey) -> Option<Target> {
        let state = self.targets.beside(key.number)?;
        if state.generation != key.generation {
            return None;
        }
        let names = self.targets.key(key.number)?;
        Some(Target {
            domain: self.domains.key(names.domain)?.to_string(),
            original_dst: self.original_dsts.key(names.original_dst).copied(),
            policies_waived: names.policies_waived,
        })
    }

    fn order(&self, slot: u32) -> Option<Order> {
        let job = self.jobs.at(slot)?;
        let target = self.targets.beside(job.target)?;
        let age_ms = self.now_ms.saturating_sub(job.arrived_ms);
        Some(Order {
            key: self.jobs.key(slot)?,
            id: job.id,
            arrived: UnixMillis(job.arrived_ms),
            target: TargetKey {
                number: job.target,
                generation: target.generation,
            },
            customer: self.customers.key(job.customer).copied(),
            egress: job.egress,
            recipients: job
                .recipients
                .as_slice()
                .iter()
                .map(|it| *it as usize)
                .collect(),
            attempt: self.settings.schedule.attempts(job.id, age_ms),
        })
    }
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}

const MINUTE_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
