//! Queue: the customer hears 250 when its message is on the relay's disk, and the relay delivers it.
//!
//! EHLO offers what the relay itself takes, recipients are judged by our own limits alone (nothing is refused because
//! our resolver disagrees), and the destination is not asked before the queue does. The content is scanned before it is
//! stored: what must not pass is refused in-session, never bounced. A full or failing disk is 452.
//!
//! The name in the queue is given at MAIL, and is the message's name in the log, the trace fields and the reply.
//!
//! # Diagnostics
//! One `info` per message outcome.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queued::QueueId;
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Offer, Question};
use relay_proto::verdict::Verdict;
use tokio::time::{self, timeout_at};
use tracing::{debug, info};

use super::cutthrough::auth_refused;
use super::departure::Departure;
use super::doubts::{Doubts, InDoubt, already_taken};
use super::inspection::{Asked, Inspection};
use super::keeping;
use super::limited::Limited;
use super::outcome::{Described, Outcome, elapsed_ms, late, shutting_down, spill_failed};
use crate::Relay;
use crate::admission::Admitted;
use crate::clock::unix_now;
use crate::inbound::hearing::Hearing;
use crate::inbound::session::Facts;
use crate::listen::Drain;
use crate::message::{Intake, Message};
use crate::origin::OriginalDst;
use crate::queueing::Queueing;
use crate::stream::Protection;
use crate::unheard::ContentHash;
use crate::vouch::Patience;

mod by_mx;

/// One customer's session.
pub(crate) struct Queue {
    relay: Arc<Relay>,
    queueing: Queueing,
    admitted: Admitted,
    /// Where it was going; `None` = to us.
    original_dst: Option<OriginalDst>,
    /// Who it has shown that it is.
    user: Option<Arc<str>>,
    drain: Drain,
    transaction: Option<Transaction>,
    /// Messages whose 250 it may not have heard.
    doubts: Doubts,
    limited: Limited,
}

/// What the customer has said since MAIL.
#[derive(Debug)]
struct Transaction {
    id: QueueId,
    mail: Mail,
    recipients: Vec<Recipient>,
    /// What scanners said that need no content.
    asked: Asked,
    /// The content, from DATA on.
    intake: Option<Intake>,
    hash: ContentHash,
    patience: Patience,
    started: Instant,
}

/// What is known about a message on its way to the disk.
#[derive(Debug, Default)]
struct Progress {
    octets: u64,
    asked: Asked,
    message: Option<InDoubt>,
}

impl Queue {
    /// Nothing has been said yet.
    pub(crate) fn new(
        relay: Arc<Relay>,
        queueing: Queueing,
        admitted: Admitted,
        original_dst: Option<OriginalDst>,
        drain: Drain,
    ) -> Self {
        Self {
            limited: Limited::new(&relay, &admitted),
            relay,
            queueing,
            admitted,
            original_dst,
            user: None,
            drain,
            transaction: None,
            doubts: Doubts::default(),
        }
    }

    /// The customer has shown that it is this user.
    pub(crate) fn submits_as(&mut self, user: Arc<str>) {
        self.user = Some(user);
    }

    /// Answers the session's open question.
    pub(crate) async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        match self
            .limited
            .before(&self.relay, self.user.as_deref(), &question)
        {
            Ok(asked) => {
                let answer = self.decide(question, facts).await;
                self.limited.after(asked, &answer);
                answer
            }
            Err(answer) => answer,
        }
    }

    async fn decide(&mut self, question: Question, facts: Facts) -> Answer {
        match question {
            Question::Hello(_) if self.drain.has_begun() => shutting_down(&self.relay),
            Question::Hello(_) => Answer::Offer(self.offer()),
            Question::Auth(_) => {
                let pointer = (&self.relay.config).into();
                Answer::Reply(auth_refused(None, pointer))
            }
            Question::Mail(_) if self.drain.has_begun() => shutting_down(&self.relay),
            Question::Mail(mail) => self.mail(mail),
            Question::Recipient(recipient) => self.recipient(recipient),
            Question::Data => self.data(facts).await,
            Question::Message => self.message(facts).await,
        }
    }

    /// Content of the message.
    pub(crate) async fn body(&mut self, octets: Bytes) {
        if let Some(Transaction {
            intake: Some(intake),
            hash,
            ..
        }) = &mut self.transaction
        {
            hash.update(&octets);
            intake.append(&octets).await;
        }
    }

    /// Forgets the transaction.
    pub(crate) fn aborted(&mut self, abort: Abort) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        let elapsed_ms = elapsed_ms(transaction.started);
        if transaction.intake.is_some() {
            info!(queue.id = %transaction.id, verdict = "incomplete", ?abort, elapsed_ms, "message outcome");
        } else {
            debug!(queue.id = %transaction.id, ?abort, elapsed_ms, "transaction given up");
        }
    }

    /// Whether it matters that what was said so far is heard.
    pub(crate) fn awaits_hearing(&self) -> bool {
        self.doubts.exist()
    }

    /// Whether it was.
    pub(crate) fn heard(&mut self, hearing: Hearing) {
        self.doubts.heard(hearing);
    }

    /// The customer has gone.
    pub(crate) async fn end(mut self) {
        self.doubts.remember(&self.relay).await;
    }

    /// What is offered, wherever the message goes.
    pub(super) fn offer(&self) -> Offer {
        self.relay.offer_of_the_queue()
    }

    /// The last word of a relay that is to end, if this one is.
    pub(super) fn draining(&self) -> Option<Answer> {
        self.drain.has_begun().then(|| shutting_down(&self.relay))
    }

    fn mail(&mut self, mail: Mail) -> Answer {
        self.transaction = Some(Transaction {
            id: self.queueing.spool().next_id(unix_now()),
            mail,
            recipients: Vec::new(),
            asked: Asked::default(),
            intake: None,
            hash: ContentHash::default(),
            patience: Patience::default(),
            started: Instant::now(),
        });
        Answer::Reply(Reply::new(250, "2.1.0", "sender noted"))
    }

    /// How many there may be is the session's own limit.
    fn recipient(&mut self, mut recipient: Recipient) -> Answer {
        if self.original_dst.is_none()
            && let Err(reply) = self.name_postmaster(&mut recipient)
        {
            return Answer::Reply(reply);
        }
        let Some(transaction) = &mut self.transaction else {
            return out_of_turn();
        };
        transaction.recipients.push(recipient);
        Answer::Reply(Reply::new(250, "2.1.5", "recipient noted"))
    }

    async fn data(&mut self, facts: Facts) -> Answer {
        let Some(mut transaction) = self.transaction.take() else {
            return out_of_turn();
        };
        let mut asked = Asked::default();
        let id = transaction.id.to_string();
        let inspection = self.inspection(&transaction, &id, &facts);
        if let Some(outcome) = inspection.before_data(&mut asked).await {
            let described = described(&self.admitted, &transaction, &id, 0, &asked);
            return outcome.conclude(&self.relay, &described, &facts);
        }
        transaction.asked = asked;
        transaction.intake = Some(Intake::new(&self.relay.config.message));
        self.transaction = Some(transaction);
        Answer::Proceed
    }

    fn inspection<'a>(
        &'a self,
        transaction: &'a Transaction,
        id: &'a str,
        facts: &'a Facts,
    ) -> Inspection<'a> {
        Inspection {
            relay: &self.relay,
            admitted: &self.admitted,
            original_dst: self.original_dst,
            user: self.user.as_deref(),
            facts,
            id,
            mail: &transaction.mail,
            recipients: &transaction.recipients,
            from_customer: false,
            patience: &transaction.patience,
        }
    }

    async fn message(&mut self, facts: Facts) -> Answer {
        let Some(mut transaction) = self.transaction.take() else {
            return out_of_turn();
        };
        let Some(intake) = transaction.intake.take() else {
            return out_of_turn();
        };
        let id = transaction.id.to_string();
        let hash = std::mem::take(&mut transaction.hash);
        let mut progress = Progress {
            asked: std::mem::take(&mut transaction.asked),
            ..Progress::default()
        };
        let inspection = self.inspection(&transaction, &id, &facts);
        let outcome = self
            .take_in(inspection, transaction.id, intake, hash, &mut progress)
            .await;
        if let Some(message) = progress.message
            && outcome.reply.code().is_positive()
        {
            self.doubts.add(message);
        }
        let described = described(
            &self.admitted,
            &transaction,
            &id,
            progress.octets,
            &progress.asked,
        );
        outcome.conclude(&self.relay, &described, &facts)
    }

    /// Scans, stores and queues.
    async fn take_in(
        &self,
        inspection: Inspection<'_>,
        id: QueueId,
        intake: Intake,
        hash: ContentHash,
        progress: &mut Progress,
    ) -> Outcome {
        let deadline = time::Instant::now() + SCAN_DEADLINE;
        let content: Message = match timeout_at(deadline, intake.finish()).await {
            Ok(Ok(content)) => content,
            Ok(Err(error)) => return spill_failed(inspection.id, &error),
            Err(_elapsed) => return late(),
        };
        progress.octets = content.octets();
        let reverse_path = &inspection.mail.reverse_path;
        let (customer, recipients) = (self.admitted.customer, inspection.recipients);
        let message = InDoubt::new(customer, reverse_path, recipients, hash, &content).await;
        progress.message = Some(message);
        if self.relay.unheard.take(message.fingerprint).await {
            return already_taken(inspection.id);
        }
        if let Some(outcome) = (self.limited)
            .content(&inspection, &content, &mut progress.asked)
            .await
        {
            return outcome;
        }
        let scan = inspection.scan(&content, &mut progress.asked);
        let Ok(judgement) = timeout_at(deadline, scan).await else {
            return late();
        };
        if let Some(outcome) = inspection.refusal(&judgement) {
            let copy = inspection.keep_copy(&judgement, &progress.asked, &content);
            copy.await;
            return outcome;
        }
        let held = match judgement.verdict {
            Verdict::Hold { reason } => Some(reason),
            Verdict::Accept { .. } | Verdict::Defer { .. } | Verdict::Reject { .. } => None,
        };
        let mut inspection = inspection;
        // A deferral of the address or its count is the queue's matter; where it would leave from is known all the same.
        if let Some(destination) = self.heading(inspection.recipients).await
            && let Ok(leg) = self.leg_to(destination)
        {
            let departure = inspection.departure(&leg.way, destination.socket_addr(), &content);
            match departure.await {
                Departure::AsChosen => {}
                Departure::FromCustomer => inspection.from_customer = true,
                Departure::Refused(outcome) => return outcome,
            }
        }
        let trace = inspection.fields(&content).await;
        let kept = inspection.keep(&self.queueing, id, trace, &content, held);
        match kept.await {
            Ok((kept, queued)) => {
                let all: Vec<usize> = (0..queued.recipients.len()).collect();
                self.queueing.begin(kept, &queued, &all);
                match queued.held {
                    Some(_) => keeping::held(id),
                    None => keeping::queued(id),
                }
            }
            Err(error) => keeping::no_room(inspection.id, &error),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("admitted", &self.admitted)
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}

fn described<'a>(
    admitted: &'a Admitted,
    transaction: &'a Transaction,
    id: &'a str,
    octets: u64,
    asked: &'a Asked,
) -> Described<'a> {
    Described {
        id,
        admitted,
        octets,
        recipients: &transaction.recipients,
        asked,
        started: transaction.started,
        outbound: Protection::default(),
        way: None,
    }
}

fn out_of_turn() -> Answer {
    Answer::Reply(Reply::new(503, "5.5.1", "MAIL and RCPT first"))
}

/// How long after its dot a message may take to be looked at. Some senders wait for five minutes, and a message that is
/// stored after that is sent again.
const SCAN_DEADLINE: Duration = Duration::from_secs(270);
