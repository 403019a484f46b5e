//! What an attempt has come to: the spool is told first, then the scheduler.

use std::time::Duration;

use relay_proto::queue::{After, Order};
use relay_proto::queued::{Attempt, Cause, Outcome, Queued, Source, UnixMillis};
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::Queue;
use super::errands::What;
use super::reasons;
use super::steps::local;
use super::world::{Stored, World};

impl<W: World> Queue<W> {
    /// Acts upon what became of each recipient of a job in flight.
    pub(super) async fn conclude(&self, order: Order, queued: Queued, attempts: Vec<Attempt>) {
        let attempts = complete(&order, attempts);
        let is_final = |attempt: &Attempt| !matches!(attempt.outcome, Outcome::Deferred(_));
        let (done, deferred): (Vec<_>, Vec<_>) = attempts.into_iter().partition(is_final);
        if !done.is_empty() && !self.settled(&queued, &done).await {
            // Where it cannot be written down that they are done, they are not tried again meanwhile.
            let what = What::Settle(order, Box::new(queued), done, deferred);
            self.postpone(what);
            return;
        }
        self.after_settling(order, queued, deferred).await;
    }

    /// The recipients that remain, once the others are done.
    pub(super) async fn after_settling(
        &self,
        order: Order,
        queued: Queued,
        deferred: Vec<Attempt>,
    ) {
        let Some(first) = deferred.first() else {
            self.done(&order);
            return;
        };
        let remaining: Vec<usize> = deferred.iter().map(|it| it.recipient).collect();
        let after = {
            let mut state = self.state();
            if let Outcome::Deferred(cause) = &first.outcome {
                state.reasons.remember(order.key, cause);
            }
            state.totals.deferred += deferred.len() as u64;
            let after = state.scheduler.defer(order.key, &remaining, self.now());
            self.step(&mut state);
            after
        };
        self.say(&queued, &order, &deferred, &after);
        let order = Order {
            recipients: remaining,
            ..order
        };
        match after {
            After::Due { warn: false, .. } | After::Held | After::Gone => {}
            After::Due { warn: true, .. } => self.warn(&order, &queued, &deferred).await,
            After::Expired => self.time_is_up(order, queued, deferred).await,
            After::Removed => self.discard(order).await,
        }
        self.0.returned.notify_waiters();
    }

    /// Tells the spool again.
    pub(super) async fn settle_again(
        &self,
        order: Order,
        queued: Queued,
        done: Vec<Attempt>,
        rest: Vec<Attempt>,
    ) {
        if self.settled(&queued, &done).await {
            self.after_settling(order, queued, rest).await;
        } else {
            self.postpone(What::Settle(order, Box::new(queued), done, rest));
        }
    }

    /// The life of what is still deferred has ended.
    pub(super) async fn time_is_up(&self, order: Order, queued: Queued, deferred: Vec<Attempt>) {
        if self.settled(&queued, &deferred).await {
            self.done(&order);
        } else {
            let what = What::Settle(order, Box::new(queued), deferred, Vec::new());
            self.postpone(what);
        }
    }

    /// Tells the sender that the message is late. If that cannot be done now, it is not done.
    pub(super) async fn warn(&self, order: &Order, queued: &Queued, deferred: &[Attempt]) {
        let lifetime_ms = self.0.options.settings.schedule.lifetime_ms();
        let until = UnixMillis(order.arrived.0.saturating_add(lifetime_ms));
        match self.0.world.warn(queued, deferred, until).await {
            Ok(stored) => {
                self.state().totals.warned += 1;
                self.add_all(&stored);
            }
            Err(error) => error!(queue.id = %order.id, %error, "cannot warn the sender"),
        }
    }

    /// Ends a job because a person has said so.
    pub(super) async fn discard(&self, order: Order) {
        let discarded = self.0.world.discard(order.id, &order.recipients).await;
        match discarded {
            Ok(()) => self.done(&order),
            Err(error) => {
                error!(queue.id = %order.id, %error, "cannot remove a message from the spool");
                self.postpone(What::Discard(order));
            }
        }
    }

    /// Whether the spool has it that these recipients are done, and their notifications.
    async fn settled(&self, queued: &Queued, attempts: &[Attempt]) -> bool {
        match self.0.world.settle(queued, attempts).await {
            Ok(stored) => {
                self.count(queued, attempts);
                self.add_all(&stored);
                true
            }
            Err(error) => {
                error!(queue.id = %queued.id, %error, "the spool cannot be told what is done; trying again");
                false
            }
        }
    }

    fn add_all(&self, stored: &[Stored]) {
        for Stored { queued, octets } in stored {
            self.add(queued, *octets);
        }
    }

    fn done(&self, order: &Order) {
        let mut state = self.state();
        state.finish(order.key);
        self.step(&mut state);
        drop(state);
        self.0.returned.notify_waiters();
    }

    pub(super) fn postpone(&self, what: What) {
        let mut state = self.state();
        let at = Instant::now() + UNSETTLED_PAUSE;
        state.postponed.push_back((at, what));
        self.step(&mut state);
        drop(state);
        self.0.returned.notify_waiters();
    }

    /// One line for each recipient that is done, and a number.
    fn count(&self, queued: &Queued, attempts: &[Attempt]) {
        let customer = customer(queued);
        for attempt in attempts {
            let remote = attempt.remote.as_ref();
            let host = remote.map(|remote| remote.address.to_string());
            let (id, recipient) = (queued.id, attempt.recipient);
            let totals = |change: fn(&mut super::stats::Totals)| change(&mut self.state().totals);
            match &attempt.outcome {
                Outcome::Delivered { reply, .. } => {
                    totals(|it| it.delivered += 1);
                    info!(queue.id = %id, recipient, customer.addr = customer, mx.host = host,
                        reply.code = %reply.code(), "delivered");
                }
                Outcome::Failed(cause) => {
                    totals(|it| it.failed += 1);
                    info!(queue.id = %id, recipient, customer.addr = customer, mx.host = host,
                        error = self.0.world.loggable(reasons::text(cause)), "failed for good");
                }
                Outcome::Deferred(cause) => {
                    totals(|it| it.expired += 1);
                    info!(queue.id = %id, recipient, customer.addr = customer, mx.host = host,
                        error = self.0.world.loggable(reasons::text(cause)), "its time is up");
                }
            }
        }
    }

    fn say(&self, queued: &Queued, order: &Order, deferred: &[Attempt], after: &After) {
        let (at, cause) = match (after, deferred.first().map(|it| &it.outcome)) {
            (After::Due { at, .. }, Some(Outcome::Deferred(cause))) => (at.0, cause),
            _ => return,
        };
        info!(queue.id = %queued.id, attempt = order.attempt, recipients = deferred.len(), due_ms = at,
            error = self.0.world.loggable(reasons::text(cause)), "deferred");
        debug!(queue.id = %queued.id, ?deferred, "deferred");
    }
}

/// An outcome for each recipient of the job, and for no other.
fn complete(order: &Order, mut attempts: Vec<Attempt>) -> Vec<Attempt> {
    attempts.retain(|attempt| order.recipients.contains(&attempt.recipient));
    attempts.sort_by_key(|attempt| attempt.recipient);
    attempts.dedup_by_key(|attempt| attempt.recipient);
    for recipient in &order.recipients {
        if !attempts
            .iter()
            .any(|attempt| attempt.recipient == *recipient)
        {
            attempts.push(silent(*recipient));
        }
    }
    attempts
}

fn silent(recipient: usize) -> Attempt {
    let cause = local("4.3.0", "the attempt ended without an answer".into());
    deferred(recipient, &cause)
}

/// A recipient that was not attempted.
pub(super) fn deferred(recipient: usize, cause: &Cause) -> Attempt {
    Attempt {
        recipient,
        outcome: Outcome::Deferred(cause.clone()),
        remote: None,
    }
}

fn customer(queued: &Queued) -> Option<String> {
    match &queued.source {
        Source::Customer { address, .. } => Some(address.to_string()),
        Source::Relay => None,
    }
}

/// A disk that is full or has failed is not mended within seconds.
const UNSETTLED_PAUSE: Duration = Duration::from_secs(30);
