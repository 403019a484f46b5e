//! `cutthrough+spool`: what the destination does not take now goes into the relay's queue.
//!
//! Recipients that it deferred are waiting when the message comes, or all of them are, because it does not answer.
//! Then the message is made durable before the destination hears our dot: after its 250 a full disk would leave no
//! true answer. Where it took all recipients nothing is written, unless it defers at the end or goes away. What it
//! refuses is refused, also for those who waited: the sender hears one answer.
//!
//! A destination that has gone after our dot may have the message, and the queue delivers it again: a duplicate is
//! possible then, a loss never.

use relay_proto::queued::{QueueId, Queued};
use relay_proto::reply::Reply;
use tracing::info;

use super::{Facts, Outcome, Passed};
use crate::clock::unix_now;
use crate::message::Message;
use crate::metrics::Counter;
use crate::queueing::Queueing;
use crate::spool::{Kept, StoreError};
use crate::treatment::cutthrough::{Cutthrough, Transaction};
use crate::treatment::inspection::Inspection;
use crate::treatment::keeping;

/// A message that is in the spool.
struct Stored {
    kept: Kept,
    queued: Queued,
}

impl Cutthrough {
    /// Hands `passed` over, and puts into the queue what the destination does not take now, if there is one.
    pub(super) async fn deliver_or_keep(
        &mut self,
        transaction: &mut Transaction,
        facts: &Facts,
        passed: &Passed,
    ) -> Outcome {
        let Some(queueing) = self.fallback.clone() else {
            return self.hand_over(transaction, facts, passed).await;
        };
        if transaction.waiting.is_empty() {
            let outcome = self.hand_over(transaction, facts, passed).await;
            return self
                .keep_if_deferred(&queueing, transaction, facts, &passed.content, outcome)
                .await;
        }
        let stored = self
            .store(&queueing, transaction, facts, &passed.content)
            .await;
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                self.withdraw().await;
                return keeping::no_room(&transaction.id, &error);
            }
        };
        if transaction.taken().next().is_none() {
            self.withdraw().await;
            return self.begin_all(&queueing, transaction, stored, None);
        }
        let outcome = self.hand_over(transaction, facts, passed).await;
        if outcome.reply.code().is_positive() {
            let taken: Vec<usize> = transaction.taken().map(|(place, _)| place).collect();
            let id = stored.kept.id;
            queueing.spool().finish(id, &taken);
            queueing.begin(stored.kept, &stored.queued, &transaction.waiting);
            self.relay.metrics().count(Counter::Queued);
            info!(queue.id = %transaction.id, queued.id = %id, delivered = taken.len(), queued = transaction.waiting.len(), "partly queued");
            let (taken, waiting) = (taken.len(), transaction.waiting.len());
            let text = format!("delivered for {taken}, queued as {id} for {waiting}");
            Outcome {
                reply: Reply::new(250, "2.0.0", &text),
                ..outcome
            }
        } else if is_deferral(&outcome) {
            self.begin_all(&queueing, transaction, stored, Some(&outcome))
        } else {
            queueing.spool().finish_all(stored.kept.id);
            outcome
        }
    }

    /// [`Self::keep_if_deferred`] for `outcome`, before which nothing was handed over, if there is a queue.
    pub(super) async fn keep_or_return(
        &self,
        transaction: &Transaction,
        facts: &Facts,
        passed: &Passed,
        outcome: Outcome,
    ) -> Outcome {
        let Some(queueing) = &self.fallback else {
            return outcome;
        };
        self.keep_if_deferred(queueing, transaction, facts, &passed.content, outcome)
            .await
    }

    /// The queue instead of `outcome`, if that only asks the sender to try again.
    async fn keep_if_deferred(
        &self,
        queueing: &Queueing,
        transaction: &Transaction,
        facts: &Facts,
        content: &Message,
        outcome: Outcome,
    ) -> Outcome {
        if !is_deferral(&outcome) {
            return outcome;
        }
        match self.store(queueing, transaction, facts, content).await {
            Ok(stored) => self.begin_all(queueing, transaction, stored, Some(&outcome)),
            // Then it is the sender that tries again; the destination's own words are the better answer.
            Err(error) => {
                let no_room = keeping::no_room(&transaction.id, &error);
                self.relay.metrics().count(no_room.counter);
                outcome
            }
        }
    }

    fn begin_all(
        &self,
        queueing: &Queueing,
        transaction: &Transaction,
        stored: Stored,
        instead_of: Option<&Outcome>,
    ) -> Outcome {
        let all: Vec<usize> = (0..transaction.recipients.len()).collect();
        queueing.begin(stored.kept, &stored.queued, &all);
        let may_arrive_twice =
            instead_of.is_some_and(|outcome| outcome.counter == Counter::LostAfterDot);
        info!(
            queue.id = %transaction.id,
            queued.id = %stored.kept.id,
            // Servers like to name the mailbox.
            instead_of = instead_of.map(|it| self.relay.redactor.address(&it.reply.to_string())),
            may_arrive_twice,
            "queued"
        );
        keeping::queued(stored.kept.id)
    }

    async fn store(
        &self,
        queueing: &Queueing,
        transaction: &Transaction,
        facts: &Facts,
        content: &Message,
    ) -> Result<Stored, StoreError> {
        let id = queueing.spool().next_id(unix_now());
        let name = QueueId::to_string(&id);
        let inspection = Inspection {
            id: &name,
            ..self.inspection(transaction, facts)
        };
        let trace = inspection.fields(content).await;
        let (kept, queued) = inspection.keep(queueing, id, trace, content, None).await?;
        Ok(Stored { kept, queued })
    }
}

/// Whether the sender would have to try again because of its destination.
fn is_deferral(outcome: &Outcome) -> bool {
    let by_destination = [
        Counter::RefusedByDestination,
        Counter::Lost,
        Counter::LostAfterDot,
        Counter::Late,
    ];
    outcome.reply.code().is_transient() && by_destination.contains(&outcome.counter)
}
