//! Cut-through: the customer hears its destination's own answers, and the destination sees nothing
//! that was not scanned.
//!
//! EHLO offers what the destination offers (`promise`), which is asked for it unless that is known. MAIL is
//! answered here. The first RCPT reaches out to the destination, and from then on each
//! reply is the destination's. DATA is answered here again, because the message must be
//! scanned whole before the destination sees its first octet; [`delivery`] then decides at the dot. 250
//! is said only after the destination has said it.
//!
//! A session keeps its destination connection over several transactions.
//!
//! # Diagnostics
//! One `info` per message outcome. A destination that cannot be reached is `info` too: the customer
//! chose it, and its own log has the reason.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use relay_proto::client::LostCause;
use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Hello, Question};
use tracing::{debug, info};

use crate::Relay;
use crate::admission::Admitted;
use crate::egress::{Claim, Leg, NoWay, Way};
use crate::id::SessionId;
use crate::inbound::session::Facts;
use crate::listen::Drain;
use crate::message::Intake;
use crate::metrics::Counter;
use crate::outbound::{Held, Lost, Unreachable, Upstream};
use crate::stream::Protection;
use crate::unheard::ContentHash;

mod authentication;
mod delivery;
mod doubt;
mod lent;
mod promise;

pub(super) use authentication::refused as auth_refused;

use doubt::InDoubt;

/// One customer's session.
pub(crate) struct Cutthrough {
    relay: Arc<Relay>,
    admitted: Admitted,
    id: SessionId,
    drain: Drain,
    /// The scanners see its messages.
    scanned: bool,
    messages: u32,
    upstream: Option<Upstream>,
    /// What that leaves from.
    way: Option<Way>,
    transaction: Option<Transaction>,
    /// What the destination said when it wanted its client to authenticate.
    demand: Option<Reply>,
    /// Messages whose 250 it may not have heard.
    in_doubt: Vec<InDoubt>,
    /// The destination speaks no TLS that we do.
    old_tls: bool,
}

/// What the customer has said since MAIL.
#[derive(Debug)]
struct Transaction {
    id: String,
    mail: Mail,
    upstream: Begun,
    /// How the destination's leg was protected when it was told MAIL.
    destinations_leg: Protection,
    /// Its place in the count of the way that it leaves by.
    claim: Option<Claim>,
    /// Those that the destination took.
    recipients: Vec<Recipient>,
    /// The content, from DATA on.
    intake: Option<Intake>,
    hash: ContentHash,
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
}

impl Cutthrough {
    /// Nothing has been said yet.
    pub(crate) fn new(relay: Arc<Relay>, admitted: Admitted, id: SessionId, drain: Drain) -> Self {
        Self {
            relay,
            admitted,
            id,
            drain,
            scanned: true,
            messages: 0,
            upstream: None,
            way: None,
            transaction: None,
            demand: None,
            in_doubt: Vec::new(),
            old_tls: false,
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
        match question {
            Question::Hello(hello) => self.hello(hello).await,
            Question::Auth(_) => {
                let help_url = &self.relay.config.identity.help_url;
                Answer::Reply(authentication::refused(self.demand.as_ref(), help_url))
            }
            Question::Mail(mail) => self.mail(mail),
            Question::Recipient(recipient) => self.recipient(recipient, facts.ehlo).await,
            Question::Data => self.data(),
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
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        let elapsed_ms = elapsed_ms(&transaction);
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

    /// The customer has gone.
    pub(crate) async fn end(mut self) {
        // First, because it may already be trying again.
        self.remember_doubts().await;
        if let Some(upstream) = self.upstream.take() {
            upstream.quit().await;
        }
    }

    /// What is offered follows from the destination. A guess would not do: whoever is offered too little
    /// converts its message and breaks its signature.
    async fn hello(&mut self, hello: Hello) -> Answer {
        if self.drain.has_begun() {
            return self.shutting_down();
        }
        let extensions = match &self.upstream {
            Some(upstream) => Some(*upstream.extensions()),
            None => {
                let capabilities = self.relay.outbound.capabilities();
                capabilities.of(self.admitted.original_dst)
            }
        };
        let extensions = match extensions {
            Some(extensions) => extensions,
            None => match self.reach(Some(hello.name)).await {
                Ok(upstream) => *self.upstream.insert(upstream).extensions(),
                Err(unreachable) => return self.unreachable(&unreachable),
            },
        };
        Answer::Offer(self.offer(&extensions))
    }

    fn mail(&mut self, mail: Mail) -> Answer {
        if self.drain.has_begun() {
            return self.shutting_down();
        }
        self.messages += 1;
        self.transaction = Some(Transaction {
            id: self.id.message(self.messages),
            mail,
            upstream: Begun::No,
            destinations_leg: Protection::default(),
            claim: None,
            recipients: Vec::new(),
            intake: None,
            hash: ContentHash::default(),
            started: Instant::now(),
        });
        Answer::Reply(Reply::new(
            250,
            "2.1.0",
            "sender noted, your destination decides at RCPT",
        ))
    }

    fn shutting_down(&self) -> Answer {
        let hostname = &self.relay.config.identity.hostname;
        let text = format!("{hostname} is shutting down, try again");
        Answer::ReplyAndClose(Reply::new(421, "4.3.2", &text))
    }

    async fn recipient(&mut self, recipient: Recipient, ehlo: Option<EhloName>) -> Answer {
        if let Some(Transaction {
            mail,
            upstream: Begun::No,
            ..
        }) = &self.transaction
        {
            let mail = mail.clone();
            let (begun, claim) = match self.begin(&mail, ehlo).await {
                Ok(begun) => begun,
                Err(unreachable) => return self.unreachable(&unreachable),
            };
            if let Some(transaction) = &mut self.transaction {
                transaction.upstream = begun;
                transaction.claim = Some(claim);
                let upstream = self.upstream.as_ref().map(Upstream::protection);
                transaction.destinations_leg = upstream.unwrap_or_default();
            }
        }
        let (Some(transaction), Some(upstream)) = (&mut self.transaction, &mut self.upstream)
        else {
            return Answer::ReplyAndClose(lost_reply(None));
        };
        if let Begun::Refused(reply) = &transaction.upstream {
            let reply = reply.clone();
            return Answer::Reply(self.passed_on(reply));
        }
        if let Some(reply) = promise::broken_for(&recipient, upstream.extensions()) {
            let capabilities = self.relay.outbound.capabilities();
            capabilities.forget(self.admitted.original_dst);
            return Answer::Reply(reply);
        }
        match upstream.recipient(&recipient).await {
            Ok(reply) => {
                if reply.code().is_positive() {
                    transaction.recipients.push(recipient);
                } else {
                    debug!(queue.id = %transaction.id, reply.code = reply.code().value(), "recipient refused");
                }
                Answer::Reply(self.passed_on(reply))
            }
            Err(lost) => {
                info!(queue.id = %transaction.id, error = %lost, "destination lost");
                self.upstream = None;
                Answer::ReplyAndClose(lost_reply(Some(&lost)))
            }
        }
    }

    /// The destination's own reply, with a pointer if it demands what this relay does not pass on.
    fn passed_on(&mut self, reply: Reply) -> Reply {
        if !authentication::demands_authentication(&reply) {
            return reply;
        }
        let reply = authentication::pointed(&reply, &self.relay.config.identity.help_url);
        self.demand.insert(reply).clone()
    }

    /// Says MAIL to the destination, connecting first if need be.
    async fn begin(
        &mut self,
        mail: &Mail,
        ehlo: Option<EhloName>,
    ) -> Result<(Begun, Claim), Unreachable> {
        if let Some(mut upstream) = self.upstream.take() {
            match self.claim().await {
                // A destination may close a connection that was idle between two messages. Nothing of
                // this message is there yet, so a new connection loses nothing.
                Some(claim) => match self.begin_on(&mut upstream, mail).await {
                    Ok(begun) => {
                        self.upstream = Some(upstream);
                        return Ok((begun, claim));
                    }
                    Err(lost) => {
                        debug!(error = %lost, "kept connection was gone, connecting again")
                    }
                },
                // Its way has sent what it may send today; another one may not.
                None => upstream.quit().await,
            }
        }
        for _ in 0..WAYS_MAX {
            let mut upstream = self.reach(ehlo.clone()).await?;
            let Some(claim) = self.claim().await else {
                // The last place was taken while the connection was made.
                upstream.quit().await;
                continue;
            };
            let begun = self
                .begin_on(&mut upstream, mail)
                .await
                .map_err(Unreachable::Session)?;
            self.upstream = Some(upstream);
            return Ok((begun, claim));
        }
        Err(NoWay::WarmingUp.into())
    }

    async fn claim(&self) -> Option<Claim> {
        self.relay.egresses.claim(self.way.as_ref()?).await
    }

    /// MAIL, if the destination can take what it announces.
    async fn begin_on(&self, upstream: &mut Upstream, mail: &Mail) -> Result<Begun, Lost> {
        if let Some(reply) = promise::broken(mail, upstream.extensions()) {
            let capabilities = self.relay.outbound.capabilities();
            capabilities.forget(self.admitted.original_dst);
            return Ok(Begun::Refused(reply));
        }
        let reply = upstream.mail(mail).await?;
        Ok(if reply.code().is_positive() {
            Begun::Yes
        } else {
            Begun::Refused(reply)
        })
    }

    /// A session with the destination, for a customer that calls itself `ehlo`, by the first way that works.
    async fn reach(&mut self, ehlo: Option<EhloName>) -> Result<Upstream, Unreachable> {
        let mut legs = self.admitted.legs(&self.relay.egresses, ehlo);
        loop {
            let leg = legs.best()?;
            let reached = self.relay.outbound.reach(&leg).await;
            self.way = Some(leg.way.clone());
            match reached {
                Err(Unreachable::Connect(error)) if legs.may_go_on(leg, &error) => {}
                reached => return reached,
            }
        }
    }

    /// The same by the way that the message is counted for.
    async fn reach_again(&self, ehlo: Option<EhloName>) -> Result<Upstream, Unreachable> {
        let Some(way) = self.way.clone() else {
            return Err(NoWay::Down.into());
        };
        let leg = Leg {
            way,
            ehlo,
            destination: self.admitted.original_dst,
        };
        self.relay.outbound.reach(&leg).await
    }

    /// A destination that somebody else may speak TLS with, and the way to it.
    pub(super) async fn hold(&self, ehlo: Option<EhloName>) -> Result<(Held, Way), Unreachable> {
        let mut legs = self.admitted.legs(&self.relay.egresses, ehlo);
        loop {
            let leg = legs.best()?;
            match self.relay.outbound.hold(&leg).await {
                Ok(held) => return Ok((held, leg.way)),
                Err(Unreachable::Connect(error)) if legs.may_go_on(leg, &error) => {}
                Err(unreachable) => return Err(unreachable),
            }
        }
    }

    /// 421 and close, also for a 5xx greeting: only the sender knows the destination's other MXs, and a
    /// 5xx from us would end its attempts there (RFC 5321 section 5.1).
    pub(super) fn unreachable(&mut self, unreachable: &Unreachable) -> Answer {
        let id = self.transaction.take().map(|transaction| transaction.id);
        self.relay.metrics().count(Counter::Unreachable);
        self.old_tls |= matches!(unreachable, Unreachable::OldTls(_));
        info!(queue.id = id, error = %unreachable, "destination unreachable");
        if let Unreachable::NoWay(no_way) = unreachable {
            return Answer::ReplyAndClose(no_way.reply());
        }
        let text = format!(
            "cannot reach {}: {unreachable}; try again or try your next MX",
            self.admitted.original_dst
        );
        Answer::ReplyAndClose(Reply::new(421, "4.4.1", &text))
    }

    fn data(&mut self) -> Answer {
        let Some(transaction) = &mut self.transaction else {
            return Answer::Reply(lost_reply(None));
        };
        if transaction.recipients.is_empty() {
            return Answer::Reply(Reply::new(554, "5.5.1", "no valid recipients"));
        }
        transaction.intake = Some(Intake::new(&self.relay.config.message));
        Answer::Proceed
    }
}

/// What the customer hears when the destination went away before the content: its own last words if
/// it had any that fit, else ours.
fn lost_reply(lost: Option<&Lost>) -> Reply {
    match lost {
        Some(Lost {
            cause: LostCause::Refused(reply),
            ..
        }) if reply.code().is_transient() || reply.code().is_permanent() => reply.clone(),
        Some(lost) => {
            let text = format!("lost your destination: {lost}; try again");
            Reply::new(421, "4.4.2", &text)
        }
        None => Reply::new(421, "4.4.2", "lost your destination; try again"),
    }
}

/// So often a way may turn out to be used up while it is taken.
const WAYS_MAX: usize = 3;

fn elapsed_ms(transaction: &Transaction) -> u64 {
    u64::try_from(transaction.started.elapsed().as_millis()).unwrap_or(u64::MAX)
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
