//! What the queue does for a hand-over: it lets go of messages, and takes in those of other relays.
//!
//! [`Queue::take_in_hand`] keeps a message from being attempted, as if it were; nobody else has it until it is given back
//! or was handed over. Dropping an [`InHand`] gives it back.
//!
//! # Diagnostics
//! Returned: what people said cannot be written down.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use relay_proto::queue::{After, Arrival, First, JobState, Order, Pause};
use relay_proto::queued::{QueueId, Queued, UnixMillis};
use tokio::sync::MutexGuard;
use tokio::time::{Duration, timeout};

use super::errands::What;
use super::said::{self, Said};
use super::{Queue, World};

/// What came of taking a message in hand.
pub(crate) enum Taking<W: World> {
    /// It is.
    InHand(InHand<W>),
    /// It is being attempted.
    Busy,
    /// It is not in the queue.
    Gone,
}

/// A message that is not attempted.
pub(crate) struct InHand<W: World> {
    queue: Queue<W>,
    jobs: Vec<Order>,
}

/// A message that another relay has attempted so far.
#[derive(Debug)]
pub(crate) struct Adopted<'a> {
    pub(crate) queued: &'a Queued,
    /// Octets of its content.
    pub(crate) octets: u64,
    /// Recipients that are not done.
    pub(crate) pending: &'a [usize],
    /// A person holds it.
    pub(crate) held: bool,
    /// Until when the other relay was alive.
    pub(crate) tried_until: UnixMillis,
}

/// As long as this lives, nothing is begun.
pub(crate) struct Pausing<W: World>(Option<Queue<W>>);

impl<W: World> Queue<W> {
    /// Keeps a message from being attempted, unless it is.
    pub(crate) fn take_in_hand(&self, id: QueueId) -> Taking<W> {
        let mut state = self.state();
        let keys = state.scheduler.jobs_of(id);
        if keys.is_empty() {
            return Taking::Gone;
        }
        if keys.iter().any(|key| state.scheduler.is_in_flight(*key)) {
            return Taking::Busy;
        }
        let mut jobs = Vec::with_capacity(keys.len());
        for key in keys {
            let is_held = state
                .scheduler
                .show(key)
                .is_some_and(|view| view.state == JobState::Held);
            jobs.extend(state.scheduler.remove(key));
            if is_held {
                // It is again when it comes back.
                state.scheduler.hold(key);
            }
        }
        Taking::InHand(InHand {
            queue: self.clone(),
            jobs,
        })
    }

    /// Begins nothing until what this returns is dropped. What is in flight comes to its end.
    pub(crate) fn pause_for_a_while(&self) -> Pausing<W> {
        let is_new = self.state().scheduler.pause(Pause::Everything);
        // Who has paused it may want it to stay so.
        Pausing(is_new.then(|| self.clone()))
    }

    /// Waits until something has come back, but not for long.
    pub(crate) async fn something_returned(&self) {
        let returned = self.0.returned.notified();
        let _in_time = timeout(A_MOMENT, returned).await.is_ok();
    }

    /// Whether a person holds this message, as it is on disk.
    pub(crate) async fn holds(&self, id: QueueId) -> bool {
        self.0.said.lock().await.holds(id)
    }

    /// Whether a person has released this message, which a verdict holds, as it is on disk.
    pub(crate) async fn has_released(&self, id: QueueId) -> bool {
        self.0.said.lock().await.has_released(id)
    }

    /// Writes down that these messages are held, before they are in the queue. Until what it returns is dropped, nobody
    /// takes that back because they are not.
    pub(crate) async fn hold_ahead(&self, ids: &[QueueId]) -> io::Result<HeldAhead<'_>> {
        let mut said = self.0.said.lock().await;
        let change = |_: &mut BTreeSet<Pause>, held: &mut BTreeSet<QueueId>| held.extend(ids);
        said.change(change).await?;
        Ok(HeldAhead(said))
    }

    /// Takes in a message of another relay that is durable here now. It is tried when its schedule says, which counts
    /// from its arrival there.
    pub(crate) fn adopt(&self, adopted: &Adopted<'_>) {
        let arrival = Arrival::of(adopted.queued, adopted.octets, Some(adopted.pending));
        let first = First::TriedUntil(adopted.tried_until);
        let mut state = self.state();
        state.scheduler.insert(&arrival, first, self.now());
        Self::hold_for_verdict(&mut state, adopted.queued);
        if adopted.held {
            for key in state.scheduler.jobs_of(adopted.queued.id) {
                state.scheduler.hold(key);
            }
        }
        self.step(&mut state);
    }
}

/// What people said cannot be changed by others.
pub(crate) struct HeldAhead<'a>(
    #[expect(dead_code, reason = "the lock is what is meant")] MutexGuard<'a, Said>,
);

impl<W: World> InHand<W> {
    /// It is another relay's now.
    pub(crate) fn handed_over(mut self) {
        let mut state = self.queue.state();
        for job in std::mem::take(&mut self.jobs) {
            state.finish(job.key);
        }
    }
}

impl<W: World> Drop for InHand<W> {
    fn drop(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let mut state = self.queue.state();
        let now = self.queue.now();
        for job in std::mem::take(&mut self.jobs) {
            if state.scheduler.put_back(job.key, &job.recipients, 0, now) == After::Removed {
                // A person has deleted it meanwhile.
                state.errands.push_back(What::Discard(job));
            }
        }
        drop(state);
        // Nothing is begun in a drop: the runtime may be shutting down.
        self.queue.0.bell.notify_one();
    }
}

impl<W: World> Drop for Pausing<W> {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        // A person may have said the same meanwhile.
        let is_said = match queue.0.said.try_lock() {
            Ok(said) => said.pauses().any(|pause| pause == Pause::Everything),
            Err(_busy) => false,
        };
        if !is_said {
            queue.state().scheduler.resume(&Pause::Everything);
            queue.0.bell.notify_one();
        }
    }
}

/// What an earlier run has left of a queue that does not run.
#[derive(Debug)]
pub(crate) struct Left {
    /// Messages that a person holds.
    pub(crate) held: BTreeSet<QueueId>,
    /// Messages that a verdict holds, and a person has released.
    pub(crate) released: BTreeSet<QueueId>,
    /// Until when it was alive.
    pub(crate) alive_until: UnixMillis,
}

/// What an earlier run has left of a queue that does not run.
pub(crate) fn as_left(state_dir: &Path) -> io::Result<Left> {
    let said = Said::read(state_dir)?;
    Ok(Left {
        held: said.held(),
        released: said.released(),
        alive_until: said::alive_until(state_dir),
    })
}

const A_MOMENT: Duration = Duration::from_secs(1);
