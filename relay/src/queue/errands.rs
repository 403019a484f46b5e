//! What must be done about jobs without a connection: notifications, ends, removals; and again, what the spool could not
//! be told.

use relay_proto::queue::Order;
use relay_proto::queued::{Attempt, Cause, Outcome, Queued};
use tokio::time::Instant;
use tracing::error;

use super::Queue;
use super::ending::deferred;
use super::state::{Birth, State};
use super::world::{Unreadable, World};

/// All but a warning have their job in flight.
pub(super) enum What {
    /// Its recipients can never be reached.
    Fail(Order, Cause),
    /// Its life has ended before it could be attempted.
    TimeIsUp(Order, Cause),
    /// Its sender is to be warned.
    Warn(Order, Cause),
    /// A person has removed it.
    Discard(Order),
    /// The spool could not be told that the first attempts are final; the others are to be deferred then.
    Settle(Order, Box<Queued>, Vec<Attempt>, Vec<Attempt>),
}

impl<W: World> Queue<W> {
    /// Sends out errands that are due, so many at once.
    pub(super) fn run_errands(&self, state: &mut State<W>) {
        if !state.running {
            return;
        }
        let now = Instant::now();
        while let Some((_, what)) = state.postponed.pop_front_if(|(at, _)| *at <= now) {
            state.errands.push_back(what);
        }
        while state.running_errands < ERRANDS_AT_ONCE
            && let Some(what) = state.errands.pop_front()
        {
            self.send(state, what);
        }
    }

    fn send(&self, state: &mut State<W>, what: What) {
        state.running_errands += 1;
        state.births.push(Birth::Errand(what));
    }

    pub(super) fn begin_errand(&self, what: What) {
        let trip = Trip(self.clone());
        let job = match &what {
            What::Warn(..) => None,
            What::Fail(order, _)
            | What::TimeIsUp(order, _)
            | What::Discard(order)
            | What::Settle(order, ..) => Some(order.clone()),
        };
        tokio::spawn(async move {
            let queue = trip.0.clone();
            let running = tokio::spawn(async move { Box::pin(queue.run_errand(what)).await });
            if let (Err(panicked), Some(order)) = (running.await, job) {
                error!(queue.id = %order.id, error = %panicked, "an errand has ended in a panic, which is a bug of ours");
                let mut state = trip.0.state();
                let now = trip.0.now();
                let _after = state
                    .scheduler
                    .put_back(order.key, &order.recipients, PANIC_MS, now);
            }
        });
    }

    async fn run_errand(&self, what: What) {
        match what {
            What::Fail(order, cause) => {
                if let Some((queued, attempts)) = self.envelope(&order, &cause).await {
                    let fail = |attempt: Attempt| Attempt {
                        outcome: Outcome::Failed(cause.clone()),
                        ..attempt
                    };
                    let attempts = attempts.into_iter().map(fail).collect();
                    self.conclude(order, queued, attempts).await;
                }
            }
            What::TimeIsUp(order, cause) => {
                if let Some((queued, attempts)) = self.envelope(&order, &cause).await {
                    self.time_is_up(order, queued, attempts).await;
                }
            }
            What::Warn(order, cause) => {
                if let Ok(queued) = self.0.world.envelope(order.id).await {
                    let attempts = attempts(&order, &cause);
                    self.warn(&order, &queued, &attempts).await;
                }
            }
            What::Discard(order) => self.discard(order).await,
            What::Settle(order, queued, done, rest) => {
                self.settle_again(order, *queued, done, rest).await;
            }
        }
    }

    /// The message, and an attempt for each of the job's recipients that says that it was not attempted.
    async fn envelope(&self, order: &Order, cause: &Cause) -> Option<(Queued, Vec<Attempt>)> {
        match self.0.world.envelope(order.id).await {
            Ok(queued) => Some((queued, attempts(order, cause))),
            Err(unreadable) => {
                let mut state = self.state();
                match unreadable {
                    Unreadable::Gone => state.finish(order.key),
                    Unreadable::NotNow(text) => {
                        error!(queue.id = %order.id, error = text, "cannot read a queued message");
                        let now = self.now();
                        let (key, recipients) = (order.key, &order.recipients);
                        let _after = state.scheduler.put_back(key, recipients, PANIC_MS, now);
                    }
                }
                None
            }
        }
    }

    /// Before the end: what could not be settled is tried once more by the next run, which does not know that it was
    /// attempted; the rest is in the spool as it was.
    pub(super) fn abandon_errands(&self, state: &mut State<W>) {
        let postponed = std::mem::take(&mut state.postponed);
        let waiting = std::mem::take(&mut state.errands);
        for what in waiting
            .into_iter()
            .chain(postponed.into_iter().map(|(_, what)| what))
        {
            match what {
                What::Warn(..) => {}
                What::Fail(order, _)
                | What::TimeIsUp(order, _)
                | What::Discard(order)
                | What::Settle(order, ..) => {
                    let (key, now) = (order.key, self.now());
                    let after = state
                        .scheduler
                        .put_back(key, &order.recipients, PANIC_MS, now);
                    if after == relay_proto::queue::After::Removed {
                        state.finish(key);
                    }
                }
            }
        }
    }
}

fn attempts(order: &Order, cause: &Cause) -> Vec<Attempt> {
    let recipients = order.recipients.iter();
    recipients
        .map(|recipient| deferred(*recipient, cause))
        .collect()
}

/// An errand under way.
struct Trip<W: World>(Queue<W>);

impl<W: World> Drop for Trip<W> {
    fn drop(&mut self) {
        self.0.state().running_errands -= 1;
        // Nothing is begun in a drop: the runtime may be shutting down.
        self.0.0.bell.notify_one();
        self.0.0.returned.notify_waiters();
    }
}

/// As many as make good groups in the spool.
const ERRANDS_AT_ONCE: usize = 64;
const PANIC_MS: u64 = 60_000;
