//! The two threads of a spool: one that commits what waits, and one that does what can wait.
//!
//! Whoever wants something written leaves it here and waits. The first of these threads is the leader for all of them:
//! while it syncs, others arrive, and are the next group. What was said to be done goes with a group; without one it
//! is written after a moment by itself.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use relay_proto::queued::QueueId;
use tokio::sync::{oneshot, watch};
use tracing::error;

use super::engine::{Engine, Outcome, Tended, Wish, lock};
use super::large::LargeFile;

/// Something to be written, and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) wish: Wish,
    /// Files that become part of the spool with it.
    pub(super) files: Vec<LargeFile>,
    /// Messages that are nobody's if nobody waits any more.
    pub(super) ids: Vec<QueueId>,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Groups {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    stopped: Condvar,
    /// Told each time that the leader looks at what waits.
    turned: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: Vec<Request>,
    /// No more of what can wait is done.
    stopping: bool,
    /// Nothing more arrives.
    closed: bool,
}

/// The running threads. They end with it, after everything that was said is written.
#[derive(Debug)]
pub(super) struct Threads {
    groups: Arc<Groups>,
    leader: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Groups {
    /// Leaves something to be written.
    pub(super) fn submit(&self, request: Request) {
        lock(&self.waiting).requests.push(request);
        self.arrived.notify_one();
    }

    /// Something was said to be done.
    pub(super) fn wake(&self) {
        // Under the lock, so that the leader cannot just be about to fall asleep without having seen it.
        let waiting = lock(&self.waiting);
        self.arrived.notify_one();
        drop(waiting);
    }

    /// Returns when the leader has looked at what waits once more: not while a disk does not answer it, and never if it
    /// has ended.
    pub(super) async fn turn(&self) {
        let mut turned = self.turned.subscribe();
        self.wake();
        // It cannot be closed, because it is a part of this.
        drop(turned.changed().await);
    }

    /// The next group; `None` when there is none for ever. `before` is how many were in the last one.
    fn next(&self, engine: &Engine, before: usize, linger: Duration) -> Option<Vec<Request>> {
        let mut waiting = lock(&self.waiting);
        let mut patience = None;
        self.turned.send_replace(());
        while waiting.requests.is_empty() {
            self.turned.send_replace(());
            if waiting.closed {
                return engine.catalogue().has_unwritten().then(Vec::new);
            }
            if !engine.catalogue().has_unwritten() {
                waiting = self
                    .arrived
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let until = *patience.get_or_insert_with(|| Instant::now() + DONE_WAITS);
            let Some(left) = remaining(until) else {
                return Some(Vec::new());
            };
            (waiting, _) = self
                .arrived
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // Those of the last group are about to come back; whoever is alone is not kept waiting for others.
        let until = Instant::now() + linger;
        while (2..before).contains(&waiting.requests.len())
            && !waiting.closed
            && let Some(left) = remaining(until)
        {
            (waiting, _) = self
                .arrived
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut waiting.requests))
    }

    fn lead(&self, engine: &Engine, linger: Duration) {
        let mut before = 0;
        while let Some(requests) = self.next(engine, before, linger) {
            before = requests.len();
            let (wishes, waiters): (Vec<_>, Vec<_>) = requests
                .into_iter()
                .map(|it| (it.wish, (it.files, it.ids, it.answer)))
                .unzip();
            let outcomes = engine.commit(match wishes.is_empty() {
                // Nobody waits for what is done, and still it must be known whether it could be written.
                true => vec![Wish::Carry(Vec::new())],
                false => wishes,
            });
            let failed = outcomes.iter().any(Result::is_err);
            for (outcome, (files, ids, answer)) in outcomes.into_iter().zip(waiters) {
                for file in files {
                    file.settle(&outcome);
                }
                let taken = outcome.is_ok();
                if answer.send(outcome).is_err() && taken {
                    // Its sender was told nothing, and will send it again.
                    let mut catalogue = engine.catalogue();
                    for id in ids {
                        catalogue.finish(id, None);
                    }
                }
            }
            if failed {
                // A disk that fails is not asked again at once, nor are the last words said for ever.
                if lock(&self.waiting).closed {
                    return;
                }
                thread::sleep(AFTER_FAILURE);
            }
        }
    }

    fn keep(&self, engine: &Engine) {
        let commit = |wishes: Vec<Wish>| self.commit(wishes);
        let mut hindered: Option<Instant> = None;
        loop {
            if hindered.is_some_and(|since| since.elapsed() > TRY_AGAIN) {
                engine.try_again();
                hindered = None;
            }
            let pause = match engine.tend(&commit) {
                Ok(Tended::Something) => Duration::ZERO,
                Ok(Tended::Moved) => BETWEEN_MOVES,
                Ok(Tended::Nothing) => IDLE,
                Err(error) => {
                    if hindered.is_none() {
                        error!(%error, "the spool cannot be kept in order for now");
                    }
                    hindered.get_or_insert_with(Instant::now);
                    IDLE
                }
            };
            let waiting = lock(&self.waiting);
            let waited = self
                .stopped
                .wait_timeout_while(waiting, pause, |waiting| !waiting.stopping);
            if waited.unwrap_or_else(PoisonError::into_inner).0.stopping {
                return;
            }
        }
    }

    /// Has it written, and waits.
    fn commit(&self, wishes: Vec<Wish>) -> Vec<Outcome> {
        let answers: Vec<_> = wishes
            .into_iter()
            .map(|wish| {
                let (answer, outcome) = oneshot::channel();
                self.submit(Request {
                    wish,
                    files: Vec::new(),
                    ids: Vec::new(),
                    answer,
                });
                outcome
            })
            .collect();
        answers
            .into_iter()
            .map(|outcome| {
                let gone = |_gone| Err(super::StoreError::Full);
                outcome.blocking_recv().unwrap_or_else(gone)
            })
            .collect()
    }
}

impl Threads {
    /// Starts them.
    pub(super) fn start(
        groups: &Arc<Groups>,
        engine: &Arc<Engine>,
        linger: Duration,
    ) -> std::io::Result<Self> {
        let mut threads = Self {
            groups: Arc::clone(groups),
            leader: None,
            keeper: None,
        };
        let (its_groups, its_engine) = (Arc::clone(groups), Arc::clone(engine));
        let leader = thread::Builder::new().name("spool-commit".into());
        threads.leader = Some(leader.spawn(move || its_groups.lead(&its_engine, linger))?);
        let (its_groups, its_engine) = (Arc::clone(groups), Arc::clone(engine));
        let keeper = thread::Builder::new().name("spool-keep".into());
        threads.keeper = Some(keeper.spawn(move || its_groups.keep(&its_engine))?);
        Ok(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The keeper may wait for the leader, so it goes first.
        lock(&self.groups.waiting).stopping = true;
        self.groups.stopped.notify_all();
        for (thread, last) in [(self.keeper.take(), false), (self.leader.take(), true)] {
            if last {
                lock(&self.groups.waiting).closed = true;
                self.groups.arrived.notify_all();
            }
            if thread.is_some_and(|thread| thread.join().is_err()) {
                error!("a thread of the spool has ended by a bug of ours");
            }
        }
    }
}

fn remaining(until: Instant) -> Option<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// How long what is done may wait for a group to be written with.
const DONE_WAITS: Duration = Duration::from_millis(50);
const AFTER_FAILURE: Duration = Duration::from_millis(50);
/// With at most a mebibyte each, moves leave most of any disk to others.
const BETWEEN_MOVES: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_millis(100);
const TRY_AGAIN: Duration = Duration::from_secs(10);
