//! Cut-through: the customer hears its destination's own answers, and the destination sees nothing
//! that was not scanned.
//!
//! EHLO offers what the destination offers (`promise`), which is asked for it unless that is known. MAIL is
//! answered here. The first RCPT reaches out to the destination, and from then on each
//! reply is the destination's. DATA is answered here again, because the message must be
//! scanned whole before the destination sees its first octet; [`delivery`] then decides at the dot. 250
//! is said only after the destination has said it. What a recipient's domain demands of the destination's TLS is
//! seen to by `secured`, before MAIL.
//!
//! A session keeps its destination connection over several transactions.
//!
//! With `cutthrough+spool` what the destination defers, or does not answer, goes into the relay's queue (`away`,
//! [`delivery`]); what it refuses is refused as ever.
//!
//! # Diagnostics
//! One `info` per message outcome. A destination that cannot be reached is `info` too: the customer
//! chose it, and its own log has the reason.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Hello, Question};
use tracing::{debug, info};

use crate::Relay;
use crate::admission::Admitted;
use crate::egress::{Claim, Way};
use crate::id::SessionId;
use crate::inbound::hearing::Hearing;
use crate::inbound::session::Facts;
use crate::listen::Drain;
use crate::message::Intake;
use crate::metrics::Counter;
use crate::origin::OriginalDst;
use crate::outbound::requirement::Requirement;
use crate::outbound::{Unreachable, Upstream};
use crate::queueing::Queueing;
use crate::stream::Protection;
use crate::unheard::ContentHash;
use crate::vouch::Patience;

mod authentication;
mod away;
mod begin;
mod delivery;
mod lent;
mod promise;
mod recipient;
mod secured;

pub(super) use authentication::refused as auth_refused;

use super::doubts::Doubts;
use super::inspection::Asked;
use super::limited::Limited;
use super::outcome::{elapsed_ms, shutting_down};
use away::Away;
use secured::Demands;

/// One customer's session.
pub(crate) struct Cutthrough {
    relay: Arc<Relay>,
    admitted: Admitted,
    destination: OriginalDst,
    id: SessionId,
    drain: Drain,
    /// The scanners see its messages.
    scanned: bool,
    messages: u32,
    upstream: Option<Upstream>,
    /// What that leaves from.
    way: Option<Way>,
    /// The open transaction's place in the count of that.
    claim: Option<Claim>,
    transaction: Option<Transaction>,
    /// What the destination said when it wanted its client to authenticate.
    demand: Option<Reply>,
    /// Messages whose 250 it may not have heard.
    doubts: Doubts,
    /// The destination speaks no TLS that we do.
    old_tls: bool,
    /// Where messages go that the destination does not take now; `None` = back to the customer.
    fallback: Option<Queueing>,
    /// The destination does not answer.
    away: Option<Away>,
    /// The customer speaks TLS.
    customer_tls: bool,
    limited: Limited,
}

/// What the customer has said since MAIL.
#[derive(Debug)]
struct Transaction {
    id: String,
    mail: Mail,
    upstream: Begun,
    /// How the destination's leg was protected when it was told MAIL.
    destinations_leg: Protection,
    /// What its recipients' domains demand of the destination; all of it holds.
    demands: Demands,
    /// Those that the destination took, or the queue will.
    recipients: Vec<Recipient>,
    /// Places of those among them that the destination did not take; in ascending order.
    waiting: Vec<usize>,
    /// What scanners said that need no content.
    asked: Asked,
    /// The content, from DATA on.
    intake: Option<Intake>,
    hash: ContentHash,
    patience: Patience,
    started: Instant,
}

/// How far the destination has heard of a transaction.
#[derive(Debug)]
enum Begun {
    /// Not at all.
    No,
    /// It took MAIL.
    Yes,
    /// It refused MAIL, or lacks what the message needs; every recipient gets this.
    Refused(Reply),
    /// It does not take the message now; the queue takes every recipient.
    Away,
}

impl Cutthrough {
    /// Nothing has been said yet.
    pub(crate) fn new(
        relay: Arc<Relay>,
        admitted: Admitted,
        destination: OriginalDst,
        id: SessionId,
        drain: Drain,
    ) -> Self {
        Self {
            limited: Limited::new(&relay, &admitted),
            relay,
            admitted,
            destination,
            id,
            drain,
            scanned: true,
            messages: 0,
            upstream: None,
            way: None,
            claim: None,
            transaction: None,
            demand: None,
            doubts: Doubts::default(),
            old_tls: false,
            fallback: None,
            away: None,
            customer_tls: false,
        }
    }

    /// The same, but what the destination does not take now goes into the queue.
    pub(crate) fn with_fallback(self, queueing: Queueing) -> Self {
        Self {
            fallback: Some(queueing),
            ..self
        }
    }

    /// The same, but no scanner sees its messages.
    pub(crate) fn unscanned(self) -> Self {
        Self {
            scanned: false,
            ..self
        }
    }

    /// Answers the session's open question.
    pub(crate) async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        self.customer_tls = facts.tls;
        if !self.scanned {
            return self.decide(question, facts).await;
        }
        match self.limited.before(&self.relay, None, &question) {
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
            Question::Hello(hello) => self.hello(hello).await,
            Question::Auth(_) => {
                let pointer = (&self.relay.config).into();
                Answer::Reply(authentication::refused(self.demand.as_ref(), pointer))
            }
            Question::Mail(mail) => self.mail(mail),
            Question::Recipient(recipient) => self.recipient(recipient, facts.ehlo).await,
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

    /// Forgets the transaction. The destination is told when it matters: with RSET before the next
    /// MAIL, or with QUIT.
    pub(crate) async fn aborted(&mut self, abort: Abort) {
        self.claim = None;
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        let elapsed_ms = elapsed_ms(transaction.started);
        match (abort, transaction.intake.is_some()) {
            (Abort::Framing(_) | Abort::TooLarge | Abort::LineTooLong | Abort::Loop, _)
            | (_, true) => {
                info!(queue.id = %transaction.id, verdict = "incomplete", ?abort, elapsed_ms, "message outcome");
            }
            (
                Abort::Reset | Abort::Quit | Abort::HangUp | Abort::Timeout | Abort::Violation,
                false,
            ) => {
                debug!(queue.id = %transaction.id, ?abort, elapsed_ms, "transaction given up");
            }
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
        // First, because it may already be trying again.
        self.doubts.remember(&self.relay).await;
        if let Some(upstream) = self.upstream.take() {
            upstream.quit().await;
        }
    }

    /// What is offered follows from the destination. A guess would not do: whoever is offered too little
    /// converts its message and breaks its signature.
    async fn hello(&mut self, hello: Hello) -> Answer {
        if self.drain.has_begun() {
            return shutting_down(&self.relay);
        }
        let extensions = match &self.upstream {
            Some(upstream) => Some(*upstream.extensions()),
            None => {
                let capabilities = self.relay.outbound.capabilities();
                capabilities.of(self.destination)
            }
        };
        let extensions = match extensions {
            Some(extensions) => extensions,
            None => match self.reach(Some(hello.name), &Requirement::default()).await {
                Ok(upstream) => *self.upstream.insert(upstream).extensions(),
                Err(unreachable) => return self.offer_without_destination(&unreachable),
            },
        };
        Answer::Offer(self.offer(&extensions))
    }

    fn mail(&mut self, mail: Mail) -> Answer {
        if self.drain.has_begun() {
            return shutting_down(&self.relay);
        }
        self.messages += 1;
        self.transaction = Some(Transaction {
            id: self.id.message(self.messages),
            mail,
            upstream: Begun::No,
            destinations_leg: Protection::default(),
            demands: Demands::default(),
            recipients: Vec::new(),
            waiting: Vec::new(),
            asked: Asked::default(),
            intake: None,
            hash: ContentHash::default(),
            patience: Patience::default(),
            started: Instant::now(),
        });
        Answer::Reply(Reply::new(
            250,
            "2.1.0",
            "sender noted, your destination decides at RCPT",
        ))
    }
}

/// 421 for a session to be closed with, also for a 5xx greeting: only the sender knows the destination's other MXs, and
/// a 5xx from us would end its attempts there (RFC 5321 section 5.1).
pub(super) fn unreachable(
    relay: &Relay,
    destination: OriginalDst,
    transaction: Option<&str>,
    error: &Unreachable,
) -> Reply {
    relay.metrics().count(Counter::Unreachable);
    info!(queue.id = transaction, %error, "destination unreachable");
    if let Unreachable::NoWay(no_way) = error {
        return no_way.reply();
    }
    let text = format!("cannot reach {destination}: {error}; try again or try your next MX");
    Reply::new(421, "4.4.1", &text)
}

impl Transaction {
    /// Recipients that the destination took, with their places.
    fn taken(&self) -> impl Iterator<Item = (usize, &Recipient)> {
        let all = self.recipients.iter().enumerate();
        all.filter(|(place, _)| self.waiting.binary_search(place).is_err())
    }
}

impl fmt::Debug for Cutthrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutthrough")
            .field("id", &self.id)
            .field("admitted", &self.admitted)
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}
