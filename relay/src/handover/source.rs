//! What can be handed over: a spool, and the queue that attempts what is in it, if one runs.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use relay_proto::queued::{QueueId, UnixMillis};

use crate::clock::unix_now;
use crate::delivery::Delivery;
use crate::queue::{InHand, Left, Pausing, Queue, Taking, as_left};
use crate::spool::Spool;

/// A spool whose messages can be given away.
pub(crate) struct Source {
    pub(super) spool: Spool,
    /// Its directory.
    pub(super) dir: PathBuf,
    attempts: Attempts,
    /// Messages that are kept from being attempted.
    in_hand: Mutex<HashMap<QueueId, InHand<Delivery>>>,
}

/// Who attempts what is in the spool.
enum Attempts {
    /// A queue.
    Running(Queue<Delivery>),
    /// Nobody; this is what the last one has left.
    Nobody(Left),
}

/// What came of taking a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    /// Nobody attempts it.
    Taken,
    /// It is being attempted now.
    Busy,
    /// It is done.
    Gone,
}

impl Source {
    /// Of a relay that runs.
    pub(crate) fn running(spool: Spool, dir: &Path, queue: Queue<Delivery>) -> Self {
        Self {
            spool,
            dir: dir.into(),
            attempts: Attempts::Running(queue),
            in_hand: Mutex::default(),
        }
    }

    /// Of a relay that does not. Blocks on the disk.
    pub(crate) fn stopped(spool: Spool, dir: &Path, state_dir: &Path) -> io::Result<Self> {
        let left = as_left(state_dir)?;
        Ok(Self {
            spool,
            dir: dir.into(),
            attempts: Attempts::Nobody(left),
            in_hand: Mutex::default(),
        })
    }

    /// Until when attempts were made.
    pub(super) fn tried_until(&self) -> UnixMillis {
        match &self.attempts {
            Attempts::Running(_) => unix_now(),
            Attempts::Nobody(left) => left.alive_until,
        }
    }

    /// Nothing is begun as long as that lives.
    pub(super) fn pause(&self) -> Option<Pausing<Delivery>> {
        match &self.attempts {
            Attempts::Running(queue) => Some(queue.pause_for_a_while()),
            Attempts::Nobody(_) => None,
        }
    }

    /// Keeps a message from being attempted until [`Source::release`] or [`Source::handed_over`].
    pub(super) fn take(&self, id: QueueId) -> Took {
        if !self.spool.has(id) {
            return Took::Gone;
        }
        let Attempts::Running(queue) = &self.attempts else {
            return Took::Taken;
        };
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if in_hand.contains_key(&id) {
            return Took::Taken;
        }
        match queue.take_in_hand(id) {
            Taking::InHand(taken) => {
                in_hand.insert(id, taken);
                Took::Taken
            }
            // It has no job, and stays on the disk: the queue cannot read it.
            Taking::Gone => Took::Gone,
            Taking::Busy => Took::Busy,
        }
    }

    /// The message stays here.
    pub(super) fn release(&self, id: QueueId) {
        drop(self.remove(id));
    }

    /// The message is somebody else's, and the spool was told.
    pub(super) fn handed_over(&self, id: QueueId) {
        if let Some(taken) = self.remove(id) {
            taken.handed_over();
        }
    }

    /// Whether a person holds it.
    pub(super) async fn holds(&self, id: QueueId) -> bool {
        match &self.attempts {
            Attempts::Running(queue) => queue.holds(id).await,
            Attempts::Nobody(left) => left.held.contains(&id),
        }
    }

    /// Whether a person has released it, which a verdict holds.
    pub(super) async fn has_released(&self, id: QueueId) -> bool {
        match &self.attempts {
            Attempts::Running(queue) => queue.has_released(id).await,
            Attempts::Nobody(left) => left.released.contains(&id),
        }
    }

    /// Waits a moment for what is being attempted.
    pub(super) async fn something_returned(&self) {
        if let Attempts::Running(queue) = &self.attempts {
            queue.something_returned().await;
        }
    }

    fn remove(&self, id: QueueId) -> Option<InHand<Delivery>> {
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        in_hand.remove(&id)
    }
}
