//! The queue's driver: takes what the pure [`Scheduler`](relay_proto::queue::Scheduler) says to do next to the rest of
//! the relay, which is a [`World`].
//!
//! [`Queue::recover`] takes in what the spool has found at the start, [`Queue::add`] what it has stored since;
//! [`Queue::run`] delivers until it is told to stop, and then until what is in flight has come back. One task per open
//! connection takes the jobs of its lane, one after the other, keeps the connection a few seconds for the next, and
//! takes leave.
//!
//! A message leaves the queue when its recipients are done in the spool, not before. An attempt that panics is an
//! attempt that was deferred.
//!
//! # Diagnostics
//! Returned: what people said cannot be read at the start. Logged: one `info` per domain of a message that is done or
//! deferred; `warn` when a site is taken for dead; `error` for what a person must act upon, and for what is a bug of ours.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay_proto::queue::{Arrival, First, Settings};
use relay_proto::queued::{Cause, Queued, UnixMillis};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::error;

pub mod admin;
mod ending;
mod errands;
mod handover;
mod locked;
mod reasons;
mod routes;
mod said;
mod state;
mod stats;
mod steps;
mod work;
pub mod world;

pub(crate) use handover::{Adopted, InHand, Left, Pausing, Taking, as_left};
use said::Said;
use state::State;
pub use stats::{Stats, Totals, exposition};
pub use world::World;

/// The queue of one relay. Cheap to clone.
pub struct Queue<W: World>(Arc<Inner<W>>);

struct Inner<W: World> {
    world: Arc<W>,
    state: Mutex<State<W>>,
    /// Something may be due earlier than the run sleeps, or there are errands.
    bell: Notify,
    /// A worker has left, or a job has come back.
    returned: Notify,
    clock: Box<dyn Fn() -> UnixMillis + Send + Sync>,
    options: Options,
    /// What people said, as it is on disk.
    said: tokio::sync::Mutex<Said>,
    alive_until: UnixMillis,
}

/// What the driver is told once.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the scheduler is told.
    pub settings: Settings,
    /// How long a worker keeps its connection for the next message.
    pub linger: Duration,
    /// Messages that one connection carries at most; some sites end a connection that carries more.
    pub messages_per_connection: u32,
    /// Where what people said is kept, and until when the queue was alive.
    pub state_dir: PathBuf,
}

impl<W: World> Clone for Queue<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: World> Queue<W> {
    /// An empty queue that knows what is paused and held. `clock` is the time of day. Blocks on the disk. An error names
    /// the file that cannot be read: without it, what a person holds would be sent.
    pub fn open(
        world: Arc<W>,
        options: Options,
        clock: impl Fn() -> UnixMillis + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let said = Said::read(&options.state_dir)?;
        let alive_until = said::alive_until(&options.state_dir);
        let mut state = State::new(options.settings, clock());
        for pause in said.pauses() {
            state.scheduler.pause(pause);
        }
        Ok(Self(Arc::new(Inner {
            world,
            state: Mutex::new(state),
            bell: Notify::new(),
            returned: Notify::new(),
            clock: Box::new(clock),
            options,
            said: tokio::sync::Mutex::new(said),
            alive_until,
        })))
    }

    /// Takes in a message that is durable now. All of its recipients are tried at once.
    pub fn add(&self, queued: &Queued, octets: u64) {
        let arrival = Arrival::of(queued, octets, None);
        let mut state = self.state();
        state.scheduler.insert(&arrival, First::Now, self.now());
        Self::hold_for_verdict(&mut state, queued);
        self.step(&mut state);
    }

    /// The same for the recipients in these places; the others are done.
    pub fn add_for(&self, queued: &Queued, octets: u64, pending: &[usize]) {
        let arrival = Arrival::of(queued, octets, Some(pending));
        let mut state = self.state();
        state.scheduler.insert(&arrival, First::Now, self.now());
        Self::hold_for_verdict(&mut state, queued);
        self.step(&mut state);
    }

    /// Keeps what a verdict holds from being tried until a person releases it, or until it is too old.
    fn hold_for_verdict(state: &mut State<W>, queued: &Queued) {
        let Some(reason) = &queued.held else { return };
        let cause = Cause::Local {
            status: "4.7.1",
            text: format!("held: {reason}"),
        };
        for key in state.scheduler.jobs_of(queued.id) {
            state.scheduler.hold_until_old(key);
            state.reasons.remember(key, &cause);
        }
    }

    /// Takes in a message that an earlier run has left, before [`Queue::run`]; `pending` are its recipients that are not
    /// done. It is tried when its schedule says, and soon if it should have been while nobody was there.
    pub fn recover(&self, queued: &Queued, octets: u64, pending: &[usize]) {
        let arrival = Arrival::of(queued, octets, Some(pending));
        let first = First::TriedUntil(self.0.alive_until);
        // Nobody says anything before the queue runs.
        let said = self.0.said.try_lock();
        let (is_held, is_released) = said.map_or((false, false), |said| {
            (said.holds(queued.id), said.has_released(queued.id))
        });
        let mut state = self.state();
        state.scheduler.insert(&arrival, first, self.now());
        if !is_released {
            Self::hold_for_verdict(&mut state, queued);
        }
        if is_held {
            for key in state.scheduler.jobs_of(queued.id) {
                state.scheduler.hold(key);
            }
        }
    }

    /// Delivers until `stop` holds true, then waits for what is in flight. What is left stays in the spool.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        self.state().running = true;
        let mut written = Instant::now();
        self.write_alive().await;
        loop {
            let deadline = {
                let mut state = self.state();
                self.step(&mut state);
                self.sleep_until(&mut state)
            };
            tokio::select! {
                // A sender that is gone says stop, too.
                _stopped = stop.wait_for(|stop| *stop) => break,
                () = self.0.bell.notified() => {}
                () = tokio::time::sleep_until(deadline.min(written + ALIVE_EVERY)) => {}
            }
            if written.elapsed() >= ALIVE_EVERY {
                written = Instant::now();
                self.write_alive().await;
            }
        }
        self.drain().await;
        self.write_alive().await;
    }

    /// Begins nothing more, and waits for what has begun.
    async fn drain(&self) {
        let mut returned = Box::pin(self.0.returned.notified());
        loop {
            returned.as_mut().enable();
            {
                let mut state = self.state();
                state.running = false;
                self.abandon_errands(&mut state);
                state.wake_all();
                if state.is_at_rest() {
                    return;
                }
            }
            returned.as_mut().await;
            returned.set(self.0.returned.notified());
        }
    }

    /// When there is something to do, if nothing happens before.
    fn sleep_until(&self, state: &mut State<W>) -> Instant {
        let now = self.now();
        let wait = state.scheduler.deadline().map_or(LONG, |at| {
            Duration::from_millis(at.0.saturating_sub(now.0)).min(LONG)
        });
        let errand = state.next_errand();
        let until = Instant::now() + wait;
        let until = errand.map_or(until, |errand| errand.min(until));
        state.sleeping_until = until;
        until
    }

    async fn write_alive(&self) {
        let (directory, now) = (self.0.options.state_dir.clone(), self.now());
        let written = tokio::task::spawn_blocking(move || said::write_alive(&directory, now));
        if let Ok(Err(error)) = written.await {
            error!(%error, "cannot write until when the queue was alive");
        }
    }

    fn now(&self) -> UnixMillis {
        (self.0.clock)()
    }
}

/// The run looks around so often in any case: a clock that is corrected rings no bell.
const LONG: Duration = Duration::from_secs(30);
const ALIVE_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
