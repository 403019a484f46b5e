//! The lock around [`State`], which begins tasks when it is let go.

use std::ops::{Deref, DerefMut};
use std::sync::{MutexGuard, PoisonError};

use super::state::{Birth, State};
use super::{Queue, World, work};

pub(super) struct Locked<'a, W: World> {
    queue: &'a Queue<W>,
    /// There until it is dropped.
    guard: Option<MutexGuard<'a, State<W>>>,
}

impl<W: World> Queue<W> {
    /// A scheduler stays whole between two calls, whoever panics between them.
    pub(super) fn state(&self) -> Locked<'_, W> {
        let guard = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked {
            queue: self,
            guard: Some(guard),
        }
    }
}

impl<W: World> Deref for Locked<'_, W> {
    type Target = State<W>;

    fn deref(&self) -> &State<W> {
        self.guard
            .as_ref()
            .expect("the lock is held until it is dropped")
    }
}

impl<W: World> DerefMut for Locked<'_, W> {
    fn deref_mut(&mut self) -> &mut State<W> {
        self.guard
            .as_mut()
            .expect("the lock is held until it is dropped")
    }
}

impl<W: World> Drop for Locked<'_, W> {
    fn drop(&mut self) {
        let births = std::mem::take(&mut self.births);
        self.guard = None;
        for birth in births {
            match birth {
                Birth::Worker(worker) => work::begin(self.queue, worker),
                Birth::LookUp(target) => self.queue.begin_look_up(target),
                Birth::Errand(what) => self.queue.begin_errand(what),
            }
        }
    }
}
