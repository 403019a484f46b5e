//! From the customer's dot to the final reply: scan, decide, deliver, and pass on the answer.

use std::time::Duration;

use relay_proto::reply::Reply;
use relay_proto::server::Answer;
use relay_proto::verdict::{Judgement, Verdict};
use tokio::time::{Instant, timeout, timeout_at};

use super::recipient::lost_reply;
use super::{Cutthrough, Facts, Transaction};
use crate::egress::Way;
use crate::message::{Intake, Message};
use crate::metrics::Counter;
use crate::treatment::departure::Departure;
use crate::treatment::doubts::{InDoubt, already_taken};
use crate::treatment::inspection::{Asked, Inspection};
use crate::treatment::outcome::{Described, Outcome, late, spill_failed};

mod fallback;
mod handover;

/// What is known about a delivery while it runs, also if it is cut off.
#[derive(Debug, Default)]
struct Progress {
    octets: u64,
    asked: Asked,
    /// The message, once it is whole.
    message: Option<InDoubt>,
}

/// A message that may pass, and by when.
#[derive(Debug)]
struct Passed {
    content: Message,
    /// Our trace fields, which go above it.
    trace: String,
    /// When the customer's dot came.
    received: Instant,
}

impl Cutthrough {
    /// The message has been received whole: its final reply.
    pub(super) async fn message(&mut self, facts: Facts) -> Answer {
        let received = Instant::now();
        let Some(mut transaction) = self.transaction.take() else {
            return Answer::Reply(Reply::new(451, "4.3.0", "no message is being received"));
        };
        let mut progress = Progress {
            asked: std::mem::take(&mut transaction.asked),
            ..Progress::default()
        };
        let outcome = self
            .deliver(&mut transaction, &facts, received, &mut progress)
            .await;
        if outcome.counter == Counter::RefusedByDestination {
            self.limited.watched().refused(&outcome.reply);
        }
        if let Some(message) = progress.message
            && outcome.reply.code().is_positive()
        {
            self.doubts.add(message);
        }
        let described = self.described(&transaction, progress.octets, &progress.asked);
        outcome.conclude(&self.relay, &described, &facts)
    }

    async fn deliver(
        &mut self,
        transaction: &mut Transaction,
        facts: &Facts,
        received: Instant,
        progress: &mut Progress,
    ) -> Outcome {
        let Some(intake) = transaction.intake.take() else {
            return lost("nothing was received");
        };
        let deadline = received + DATA_DEADLINE;
        let content = match timeout_at(deadline, intake.finish()).await {
            Ok(Ok(content)) => content,
            Ok(Err(error)) => {
                self.withdraw().await;
                return spill_failed(&transaction.id, &error);
            }
            Err(_elapsed) => {
                self.withdraw().await;
                return late();
            }
        };
        progress.octets = content.octets();
        let message = self.identify(transaction, &content).await;
        progress.message = Some(message);
        if self.relay.unheard.take(message.fingerprint).await {
            self.withdraw().await;
            return already_taken(&transaction.id);
        }
        let inspection = self.inspection(transaction, facts);
        if self.scanned {
            if let Some(outcome) = (self.limited)
                .content(&inspection, &content, &mut progress.asked)
                .await
            {
                self.withdraw().await;
                return outcome;
            }
            let scan = inspection.scan(&content, &mut progress.asked);
            let Ok(judgement) = timeout_at(deadline, scan).await else {
                self.withdraw().await;
                return late();
            };
            let judgement = without_queue(judgement);
            if let Some(outcome) = inspection.refusal(&judgement) {
                let copy = inspection.keep_copy(&judgement, &progress.asked, &content);
                copy.await;
                self.withdraw().await;
                return outcome;
            }
        }
        let destination = self.destination.socket_addr();
        let departure = match &self.way {
            // What is not scanned goes to the operator's own server.
            Some(way) if self.scanned => inspection.departure(way, destination, &content).await,
            Some(_) | None => Departure::AsChosen,
        };
        let passed = Passed {
            trace: inspection.fields(&content).await,
            content,
            received,
        };
        match departure {
            Departure::AsChosen => self.deliver_or_keep(transaction, facts, &passed).await,
            Departure::FromCustomer => {
                let outcome = match self.move_to_customer(transaction, facts, received).await {
                    Ok(()) => self.deliver_or_keep(transaction, facts, &passed).await,
                    Err(stop) => self.keep_or_return(transaction, facts, &passed, stop).await,
                };
                // The next message is judged for itself.
                if let Some(upstream) = self.upstream.take() {
                    upstream.quit().await;
                }
                outcome
            }
            Departure::Refused(outcome) => {
                self.withdraw().await;
                outcome
            }
        }
    }

    /// Whether the content may come.
    pub(super) async fn data(&mut self, facts: Facts) -> Answer {
        let Some(mut transaction) = self.transaction.take() else {
            return Answer::Reply(lost_reply(None));
        };
        if transaction.recipients.is_empty() {
            return Answer::Reply(Reply::new(554, "5.5.1", "no valid recipients"));
        }
        let mut asked = Asked::default();
        if self.scanned {
            let inspection = self.inspection(&transaction, &facts);
            if let Some(outcome) = inspection.before_data(&mut asked).await {
                self.withdraw().await;
                let described = self.described(&transaction, 0, &asked);
                return outcome.conclude(&self.relay, &described, &facts);
            }
        }
        transaction.asked = asked;
        transaction.intake = Some(Intake::new(&self.relay.config.message));
        self.transaction = Some(transaction);
        Answer::Proceed
    }

    async fn identify(&self, transaction: &mut Transaction, content: &Message) -> InDoubt {
        let hash = std::mem::take(&mut transaction.hash);
        let reverse_path = &transaction.mail.reverse_path;
        let recipients = &transaction.recipients;
        InDoubt::new(
            self.admitted.customer,
            reverse_path,
            recipients,
            hash,
            content,
        )
        .await
    }

    fn inspection<'a>(&'a self, transaction: &'a Transaction, facts: &'a Facts) -> Inspection<'a> {
        Inspection {
            relay: &self.relay,
            admitted: &self.admitted,
            original_dst: Some(self.destination),
            user: None,
            facts,
            id: &transaction.id,
            mail: &transaction.mail,
            recipients: &transaction.recipients,
            from_customer: self.way.as_ref().is_some_and(Way::is_customers),
            patience: &transaction.patience,
        }
    }

    fn described<'a>(
        &'a self,
        transaction: &'a Transaction,
        octets: u64,
        asked: &'a Asked,
    ) -> Described<'a> {
        Described {
            id: &transaction.id,
            admitted: &self.admitted,
            octets,
            recipients: &transaction.recipients,
            asked,
            started: transaction.started,
            outbound: transaction.destinations_leg,
            way: self.way.as_ref(),
        }
    }

    /// Takes the transaction back from a destination that has seen none of the content; the connection
    /// is kept for the next one.
    async fn withdraw(&mut self) {
        let Some(upstream) = &mut self.upstream else {
            return;
        };
        // The customer waits for its reply, and this one changes nothing for it.
        if !matches!(timeout(RSET_DEADLINE, upstream.reset()).await, Ok(Ok(()))) {
            self.upstream = None;
        }
    }
}

/// Where the customer waits for its destination, nothing can wait for a person.
fn without_queue(judgement: Judgement) -> Judgement {
    let verdict = match judgement.verdict {
        Verdict::Hold { reason } => Verdict::Reject { reason, keep: true },
        verdict @ (Verdict::Accept { .. } | Verdict::Defer { .. } | Verdict::Reject { .. }) => {
            verdict
        }
    };
    Judgement {
        verdict,
        ..judgement
    }
}

fn refused_by_destination(reply: Reply) -> Outcome {
    Outcome {
        verdict: "refused-by-destination",
        counter: Counter::RefusedByDestination,
        reply,
    }
}

/// The destination went away before it had the whole message.
fn lost(why: &str) -> Outcome {
    Outcome {
        verdict: "lost",
        counter: Counter::Lost,
        reply: Reply::new(
            451,
            "4.4.2",
            &format!("lost your destination: {why}; try again"),
        ),
    }
}

/// Asked a second time, the destination refused for good what it had taken. The customer has heard that it was taken, and
/// hears the refusal when it tries again.
fn changed_its_mind(why: &str) -> Outcome {
    Outcome {
        verdict: "changed-by-destination",
        counter: Counter::ChangedByDestination,
        reply: Reply::new(
            451,
            "4.4.2",
            &format!("your destination has changed its mind: {why}; try again"),
        ),
    }
}

/// The destination went away after the dot, and may have the message all the same; RFC 5321 section 6.1
/// and RFC 1047 leave no better answer than to try again.
fn lost_after_dot(why: &str) -> Outcome {
    let text = format!(
        "lost your destination after the whole message: {why}; it may arrive twice if you try again"
    );
    Outcome {
        verdict: "lost-after-dot",
        counter: Counter::LostAfterDot,
        reply: Reply::new(451, "4.4.2", &text),
    }
}

/// How long after the customer's dot the destination may be told DATA. The sender waits ten minutes for
/// the reply to its dot (RFC 5321 section 4.5.3.2.6), some wait five; a message that arrives after that
/// arrives twice.
const DATA_DEADLINE: Duration = Duration::from_secs(270);
/// How long after the customer's dot the destination may be sent ours. A large message on a slow line
/// needs more than what [`DATA_DEADLINE`] leaves, and would otherwise never arrive. A sender that has not
/// waited for it finds its retry answered from [`crate::unheard`].
const DOT_DEADLINE: Duration = Duration::from_secs(540);
/// How long after the customer's dot the destination may take for its last word where the queue would take the message:
/// less than any sender waits by the RFC.
const ANSWER_DEADLINE: Duration = Duration::from_secs(570);
const RSET_DEADLINE: Duration = Duration::from_secs(10);
