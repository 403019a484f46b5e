//! A driver without a network: what workers do takes so long, and ends as the site says.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::queue::{
    Action, After, Arrival, Fault, First, JobKey, Order, Scheduler, Settings, Take, Worker,
};
use crate::queued::{Egress, QueueId, UnixMillis};

/// How a site is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Takes a message in so many milliseconds.
    Well(u64),
    /// Says 4xx to each recipient, and is well.
    Greylists,
    /// Says 421 in the middle of a session.
    Strained,
    /// Nobody answers for so many milliseconds.
    Dead(u64),
}

pub(super) struct Sim {
    pub(super) queue: Scheduler,
    pub(super) now_ms: u64,
    settings: Settings,
    moods: HashMap<String, Mood>,
    /// What workers and others are doing, by when it ends.
    doing: BTreeMap<(u64, u64), Doing>,
    sequence: u64,
    idle: Vec<(u64, Worker)>,
    in_flight: HashSet<JobKey>,
    /// Attempts: time, message, site.
    pub(super) attempts: Vec<(u64, QueueId, String)>,
    pub(super) delivered: Vec<(u64, QueueId)>,
    pub(super) expired: BTreeSet<QueueId>,
    pub(super) removed: BTreeSet<QueueId>,
    pub(super) warned: Vec<(u64, QueueId)>,
    /// When each message is due next.
    due: HashMap<QueueId, u64>,
    pub(super) most_open: HashMap<String, u32>,
    open: HashMap<String, u32>,
    made: usize,
    pub(super) is_early_allowed: bool,
}

struct Doing {
    worker: Worker,
    order: Order,
    mood: Mood,
    fresh: bool,
}

pub(super) const START_MS: u64 = 1_790_000_000_000;
/// How long workers keep their connections.
const LINGER_MS: u64 = 5000;

impl Sim {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            queue: Scheduler::new(settings, UnixMillis(START_MS)),
            now_ms: START_MS,
            settings,
            moods: HashMap::new(),
            doing: BTreeMap::new(),
            sequence: 0,
            idle: Vec::new(),
            in_flight: HashSet::new(),
            attempts: Vec::new(),
            delivered: Vec::new(),
            expired: BTreeSet::new(),
            removed: BTreeSet::new(),
            warned: Vec::new(),
            due: HashMap::new(),
            most_open: HashMap::new(),
            open: HashMap::new(),
            made: 0,
            is_early_allowed: false,
        }
    }

    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis(self.now_ms)
    }

    pub(super) fn mood(&mut self, domain: &str, mood: Mood) {
        self.moods.insert(domain.into(), mood);
    }

    /// A message arrives from a customer, for one recipient of `domain`, whose site has the same name.
    pub(super) fn arrive(&mut self, customer: &str, domain: &str, octets: u64) -> QueueId {
        self.made += 1;
        let id = QueueId::from_number((self.now_ms << 22) + self.made as u64).unwrap();
        let arrival = Arrival {
            id,
            arrived: self.now(),
            octets,
            customer: Some(customer.parse().unwrap()),
            original_dst: None,
            policies_waived: false,
            egress: Egress::Pool,
            sender: "customer.example".into(),
            domains: vec![(domain.into(), vec![0])],
        };
        assert_eq!(self.queue.insert(&arrival, First::Now, self.now()), 1);
        self.due.insert(id, self.now_ms);
        self.drain();
        id
    }

    /// Lets so much time go by, and does what there is to do meanwhile.
    pub(super) fn run(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        self.drain();
        loop {
            let done = self.doing.keys().next().map(|(at, _)| *at);
            let lingered = self.idle.iter().map(|(until, _)| *until).min();
            let deadline = self.queue.deadline().map(|at| at.0);
            let next = [done, lingered, deadline].into_iter().flatten().min();
            let Some(next_ms) = next.filter(|next| *next <= end_ms) else {
                break;
            };
            self.now_ms = self.now_ms.max(next_ms);
            while let Some(entry) = self.doing.first_entry() {
                if entry.key().0 > self.now_ms {
                    break;
                }
                let doing = entry.remove();
                self.ends(doing);
            }
            let (over, kept) = std::mem::take(&mut self.idle)
                .into_iter()
                .partition(|(until, _)| *until <= self.now_ms);
            self.idle = kept;
            for (_, worker) in over {
                self.leave(worker);
            }
            self.drain();
        }
        self.now_ms = end_ms;
        self.drain();
    }

    /// Does what the scheduler says until it has nothing more to say.
    pub(super) fn drain(&mut self) {
        while let Some(action) = self.queue.poll(self.now()) {
            match action {
                Action::Place(order) => {
                    let target = self.queue.target(order.target).unwrap();
                    self.queue.place(order.key, "pool", &target.domain);
                }
                Action::Begin(worker) => {
                    let open = self.queue.counts().connections;
                    assert!(open <= self.settings.connections, "{open} connections");
                    self.work(worker, true);
                }
                Action::Wake(lane) => {
                    let (woken, asleep) = std::mem::take(&mut self.idle)
                        .into_iter()
                        .partition(|(_, worker)| Scheduler::lane_number(worker) == lane);
                    self.idle = asleep;
                    for (_, worker) in woken {
                        self.work(worker, false);
                    }
                }
                Action::Expire(order) => {
                    assert!(self.in_flight.insert(order.key), "in flight twice");
                    self.expire(order.key, order.id);
                }
                Action::Warn(order) => self.warned.push((self.now_ms, order.id)),
            }
        }
        self.check();
    }

    fn work(&mut self, mut worker: Worker, fresh: bool) {
        match self.queue.take(&mut worker, self.now()) {
            Take::Job(order) => {
                assert!(self.in_flight.insert(order.key), "in flight twice");
                let target = self.queue.target(order.target).unwrap().domain;
                let due_ms = self.due[&order.id];
                assert!(
                    self.is_early_allowed || self.now_ms >= due_ms,
                    "{} tried {} ms early",
                    order.id,
                    due_ms - self.now_ms
                );
                let mood = self.moods.get(&target).copied().unwrap_or(Mood::Well(10));
                let takes_ms = match mood {
                    Mood::Well(ms) => ms,
                    Mood::Greylists | Mood::Strained => 5,
                    Mood::Dead(ms) => ms,
                };
                self.attempts.push((self.now_ms, order.id, target.clone()));
                if fresh {
                    let open = self.open.entry(target.clone()).or_default();
                    *open += 1;
                    let most = self.most_open.entry(target).or_default();
                    *most = (*most).max(*open);
                    assert!(*open <= self.settings.connections_per_site);
                    assert!(*open <= self.settings.pace.max);
                }
                self.sequence += 1;
                let doing = Doing {
                    worker,
                    order,
                    mood,
                    fresh,
                };
                let key = (self.now_ms + takes_ms.max(1), self.sequence);
                self.doing.insert(key, doing);
            }
            // It has no connection to keep.
            Take::Nothing if fresh => self.queue.leave(worker),
            Take::Nothing => self.idle.push((self.now_ms + LINGER_MS, worker)),
            Take::Leave if fresh => self.queue.leave(worker),
            Take::Leave => self.leave_open(worker),
        }
    }

    fn ends(&mut self, doing: Doing) {
        let Doing {
            mut worker,
            order,
            mood,
            fresh,
        } = doing;
        assert!(self.in_flight.remove(&order.key));
        let site = self.queue.target(order.target).unwrap().domain;
        if fresh && !matches!(mood, Mood::Dead(_)) {
            self.queue.connected(&mut worker);
        }
        match mood {
            Mood::Well(_) => {
                self.queue.succeeded(&worker);
                self.queue.finish(order.key);
                self.delivered.push((self.now_ms, order.id));
                self.work(worker, false);
            }
            Mood::Greylists => {
                self.queue.succeeded(&worker);
                self.defer(&order);
                self.work(worker, false);
            }
            Mood::Strained => {
                self.queue.failed(&worker, Fault::Strained, self.now());
                self.defer(&order);
                *self.open.get_mut(&site).unwrap() -= 1;
                self.queue.leave(worker);
            }
            Mood::Dead(_) => {
                self.queue.failed(&worker, Fault::Unreachable, self.now());
                self.defer(&order);
                *self.open.get_mut(&site).unwrap() -= 1;
                self.queue.leave(worker);
            }
        }
    }

    fn defer(&mut self, order: &Order) {
        match self.queue.defer(order.key, &order.recipients, self.now()) {
            After::Due { at, warn } => {
                assert!(at > self.now());
                self.due.insert(order.id, at.0);
                if warn {
                    self.warned.push((self.now_ms, order.id));
                }
            }
            After::Expired => {
                self.in_flight.insert(order.key);
                self.expire(order.key, order.id);
            }
            After::Removed => {
                self.queue.finish(order.key);
                assert!(self.removed.insert(order.id), "removed twice");
            }
            After::Held => {}
            After::Gone => panic!("{} is gone while it was in flight", order.id),
        }
    }

    fn expire(&mut self, key: JobKey, id: QueueId) {
        assert!(self.in_flight.remove(&key));
        self.queue.finish(key);
        assert!(self.expired.insert(id), "expired twice");
    }

    fn leave(&mut self, worker: Worker) {
        self.leave_open(worker);
    }

    fn leave_open(&mut self, worker: Worker) {
        let (_, site) = self.queue.lane_names(&worker).unwrap();
        *self.open.get_mut(site).unwrap() -= 1;
        self.queue.leave(worker);
    }

    /// No job is lost or counted twice.
    fn check(&self) {
        let counts = self.queue.counts();
        let by_state: usize = counts.by_state.iter().sum();
        assert_eq!(by_state, self.queue.len(), "{counts:?}");
        assert_eq!(counts.by_state[3], self.in_flight.len(), "{counts:?}");
        let gone = self.delivered.len() + self.expired.len() + self.removed.len();
        assert_eq!(self.queue.len() + gone, self.made, "{counts:?}");
        let open: u32 = self.open.values().sum();
        assert_eq!(counts.connections, open);
    }
}
