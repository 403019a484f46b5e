//! What the driver knows besides the scheduler, under one lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use relay_proto::queue::{JobKey, Scheduler, Settings, Target, Worker};
use relay_proto::queued::UnixMillis;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::World;
use super::errands::What;
use super::reasons::Reasons;
use super::routes::Routes;
use super::stats::Totals;

pub(super) struct State<W: World> {
    pub(super) scheduler: Scheduler,
    /// Between the beginning and the end of [`Queue::run`](super::Queue::run).
    pub(super) running: bool,
    pub(super) routes: Routes<W::Route>,
    /// Targets whose routes are to be looked up, and how many are being.
    pub(super) lookups: VecDeque<Target>,
    pub(super) looking_up: usize,
    /// What idle workers of a lane wait for.
    bells: HashMap<u32, Arc<Notify>>,
    pub(super) errands: VecDeque<What>,
    /// Errands that failed, in the order in which they are tried again.
    pub(super) postponed: VecDeque<(Instant, What)>,
    pub(super) running_errands: usize,
    pub(super) reasons: Reasons,
    pub(super) totals: Totals,
    pub(super) sleeping_until: Instant,
    /// Tasks to be begun once the lock is let go: a runtime that shuts down drops them on the spot, and they lock.
    pub(super) births: Vec<Birth>,
}

/// A task to be begun.
pub(super) enum Birth {
    Worker(Worker),
    LookUp(Target),
    Errand(What),
}

impl<W: World> State<W> {
    pub(super) fn new(settings: Settings, now: UnixMillis) -> Self {
        Self {
            scheduler: Scheduler::new(settings, now),
            running: false,
            routes: Routes::default(),
            lookups: VecDeque::new(),
            looking_up: 0,
            bells: HashMap::new(),
            errands: VecDeque::new(),
            postponed: VecDeque::new(),
            running_errands: 0,
            reasons: Reasons::default(),
            totals: Totals::default(),
            sleeping_until: Instant::now(),
            births: Vec::new(),
        }
    }

    /// The bell of a lane whose worker becomes idle.
    pub(super) fn bell(&mut self, lane: u32) -> Arc<Notify> {
        Arc::clone(self.bells.entry(lane).or_default())
    }

    pub(super) fn wake(&mut self, lane: u32) {
        if let Some(bell) = self.bells.get(&lane) {
            bell.notify_waiters();
        }
    }

    pub(super) fn wake_all(&mut self) {
        for bell in self.bells.values() {
            bell.notify_waiters();
        }
    }

    /// Forgets the bell of a lane if nobody listens to it.
    pub(super) fn hush(&mut self, lane: u32) {
        if self
            .bells
            .get(&lane)
            .is_some_and(|bell| Arc::strong_count(bell) == 1)
        {
            self.bells.remove(&lane);
        }
    }

    /// When the next errand is due that waits.
    pub(super) fn next_errand(&self) -> Option<Instant> {
        self.postponed.front().map(|(at, _)| *at)
    }

    /// Nobody works and nothing is in flight.
    pub(super) fn is_at_rest(&self) -> bool {
        let counts = self.scheduler.counts();
        let [.., in_flight, _held] = counts.by_state;
        in_flight == 0 && counts.connections == 0 && self.running_errands == 0
    }

    /// A job is done: what was remembered of it goes with it.
    pub(super) fn finish(&mut self, key: JobKey) {
        self.scheduler.finish(key);
        self.reasons.forget(key);
    }
}
