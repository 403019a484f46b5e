//! How long changes have the one connection that writes.
//!
//! The pool itself says when it is taken and given back, so no change can be forgotten: from its first statement until
//! it is durable, or rolled back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use sqlx::{Any, pool::PoolOptions};

use crate::metrics::Histogram;

/// Measures the pool that it was put on; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Stopwatch(Arc<Mutex<Taken>>);

#[derive(Debug)]
struct Taken {
    /// Since when somebody has the connection.
    since: Option<Instant>,
    took: Histogram,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Taken {
            since: None,
            took: Histogram::short(),
        })))
    }

    /// Puts it on a pool of one connection.
    pub(super) fn on(&self, pool: PoolOptions<Any>) -> PoolOptions<Any> {
        let (taken, released) = (self.clone(), self.clone());
        pool.before_acquire(move |_, _| {
            taken.taken();
            Box::pin(async { Ok(true) })
        })
        .after_release(move |_, _| {
            released.released();
            Box::pin(async { Ok(true) })
        })
    }

    /// Somebody has the connection.
    fn taken(&self) {
        self.inner().since = Some(Instant::now());
    }

    fn released(&self) {
        let mut inner = self.inner();
        // The very first change opens its connection, and is not said to take it.
        if let Some(since) = inner.since.take() {
            inner.took.observe(since.elapsed());
        }
    }

    /// What was measured.
    pub(super) fn took(&self) -> Histogram {
        self.inner().took.clone()
    }

    /// A panic while it was held has left whole numbers behind.
    fn inner(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
