//! Sessions that may be spliced: of treatment `opaque`, and of `filter` where the relay has learnt that it must.
//!
//! Such a session reaches out to its destination before EHLO is answered, and offers STARTTLS only if the destination
//! does. When the customer begins TLS, the destination is told STARTTLS and gets the ClientHello as it is. A session
//! that stays in clear text is cut-through, scanned, over the same connection. All other sessions of `filter` are
//! cut-through from the start, and are watched for what is worth learning.
//!
//! # Diagnostics
//! `info` when something was learnt, or would have been; and when a destination cannot be spliced to after all.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use contract::Treatment;
use contract::event::Happening;
use relay_proto::envelope::EhloName;
use relay_proto::peek::ClientHello;
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Hello, Offer, Question};
use tracing::{debug, error, info};

use super::cutthrough::unreachable;
use super::terminated::Terminated;
use crate::Relay;
use crate::admission::Admitted;
use crate::egress::Way;
use crate::id::SessionId;
use crate::inbound::hearing::Hearing;
use crate::inbound::session::{Course, Facts, TurnedAway};
use crate::learnt::Why;
use crate::listen::Drain;
use crate::listen::limits::Permit;
use crate::metrics::Counter;
use crate::origin::{CustomerAddr, OriginalDst};
use crate::outbound::{Held, Unreachable};
use crate::splice::Joint;

mod decide;

use decide::{Decision, Reason};

/// One customer's session.
pub(crate) struct Opaque {
    relay: Arc<Relay>,
    customer: CustomerAddr,
    destination: OriginalDst,
    treatment: Treatment,
    confirmed: bool,
    admitted: Admitted,
    terminated: Terminated,
    /// What the customer called itself in clear text.
    ehlo: Option<EhloName>,
    /// Why it may be spliced, as it was when EHLO was answered.
    may_splice: Option<Reason>,
    /// What is there for a splice.
    reserved: Option<Reserved>,
    /// What the destination offered in clear text, once the connection serves cut-through.
    spent: Option<Offer>,
    /// One thing is learnt from one session.
    has_taught: bool,
}

/// A destination that waits for STARTTLS, and a place among the spliced sessions.
#[derive(Debug)]
struct Reserved {
    held: Held,
    way: Way,
    place: Permit,
}

impl Opaque {
    /// Nothing has been said yet.
    pub(crate) fn new(
        relay: Arc<Relay>,
        admitted: Admitted,
        destination: OriginalDst,
        id: SessionId,
        drain: Drain,
    ) -> Self {
        Self {
            customer: admitted.customer,
            destination,
            treatment: admitted.treatment(),
            confirmed: admitted
                .policy
                .as_ref()
                .is_some_and(|policy| policy.confirmed),
            admitted: admitted.clone(),
            terminated: Terminated::new(Arc::clone(&relay), admitted, destination, id, drain),
            relay,
            ehlo: None,
            may_splice: None,
            reserved: None,
            spent: None,
            has_taught: false,
        }
    }

    /// Answers the session's open question.
    pub(crate) async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        let answer = match question {
            Question::Hello(hello) if !hello.tls => self.hello(hello, facts).await,
            // It says so in clear text: there is nothing to splice, and the content is scanned.
            Question::Mail(mail) => {
                self.spend().await;
                self.terminated.answer(Question::Mail(mail), facts).await
            }
            Question::Hello(_)
            | Question::Auth(_)
            | Question::Recipient(_)
            | Question::Data
            | Question::Message => self.terminated.answer(question, facts).await,
        };
        if self.terminated.has_met_old_tls() {
            self.learn(Why::OldTls, "old TLS of the destination").await;
        }
        answer
    }

    /// Content of the message.
    pub(crate) async fn body(&mut self, octets: Bytes) {
        self.terminated.body(octets).await;
    }

    /// The transaction has ended without its message.
    pub(crate) async fn aborted(&mut self, abort: Abort) {
        self.terminated.aborted(abort).await;
    }

    /// Whether it matters that what was said so far is heard.
    pub(crate) fn awaits_hearing(&self) -> bool {
        self.terminated.awaits_hearing()
    }

    /// Whether it was.
    pub(crate) fn heard(&mut self, hearing: Hearing) {
        self.terminated.heard(hearing);
    }

    /// The customer has begun TLS.
    pub(crate) async fn tls_begun(&mut self, hello: &ClientHello) -> Course {
        let is_ours = |name: &str| self.relay.config.is_own_name(name);
        let decision = decide::decide(self.may_splice, hello, is_ours);
        debug!(
            tls.server_name = hello.server_name,
            ?decision,
            "ClientHello"
        );
        match decision {
            Decision::Terminate => Course::Terminate,
            Decision::Splice(reason) => self.splice(hello, reason).await,
        }
    }

    /// The customer has seen our certificate, and left.
    pub(crate) async fn turned_away(&mut self, how: TurnedAway) {
        self.learn(Why::Verifies, &how.to_string()).await;
    }

    /// The customer has gone.
    pub(crate) async fn end(self) {
        if let Some(reserved) = self.reserved {
            reserved.held.quit().await;
        }
        self.terminated.end().await;
    }

    async fn hello(&mut self, hello: Hello, facts: Facts) -> Answer {
        let learnt = match self.treatment {
            Treatment::Filter => self.relay.learnt.why(self.customer, self.destination),
            Treatment::Opaque | Treatment::Walled => None,
        };
        self.may_splice = decide::may_splice(self.treatment, self.confirmed, learnt);
        if self.may_splice.is_none() {
            return self.terminated.answer(Question::Hello(hello), facts).await;
        }
        if let Some(answer) = self.terminated.last_word() {
            return answer;
        }
        if let Some(offer) = self.spent {
            return Answer::Offer(offer);
        }
        self.ehlo = Some(hello.name);
        if self.reserved.is_none()
            && let Err(answer) = self.reserve().await
        {
            return answer;
        }
        match &self.reserved {
            Some(reserved) => {
                let destination = reserved.held.extensions();
                Answer::Offer(Offer {
                    starttls: destination.starttls,
                    ..self.terminated.offer(destination)
                })
            }
            None => Answer::Reply(Reply::new(451, "4.3.0", "no destination was reserved")),
        }
    }

    /// Reaches out to the destination, and takes a place.
    async fn reserve(&mut self) -> Result<(), Answer> {
        let place = self.relay.spliced.enter(self.customer).map_err(|_full| {
            self.relay.metrics().count(Counter::RefusedSplicedFull);
            Answer::ReplyAndClose(full(&self.relay.config.identity.hostname))
        })?;
        match self.hold().await {
            Ok((held, way)) => {
                self.reserved = Some(Reserved { held, way, place });
                Ok(())
            }
            Err(error) => {
                let reply = unreachable(&self.relay, self.destination, None, &error);
                Err(Answer::ReplyAndClose(reply))
            }
        }
    }

    /// The destination, waiting for STARTTLS, by the first way that works.
    async fn hold(&self) -> Result<(Held, Way), Unreachable> {
        let (egresses, ehlo) = (&self.relay.egresses, self.ehlo.clone());
        let mut legs = self.admitted.legs(egresses, ehlo, self.destination);
        loop {
            let leg = legs.best()?;
            match self.relay.outbound.hold(&leg).await {
                Ok(held) => return Ok((held, leg.way)),
                Err(Unreachable::Connect(error)) if legs.may_go_on(leg, &error) => {}
                Err(unreachable) => return Err(unreachable),
            }
        }
    }

    /// Gives the connection, which is not to be spliced now, to cut-through; what was offered stands.
    async fn spend(&mut self) {
        let Some(Reserved {
            held,
            way,
            place: _,
        }) = self.reserved.take()
        else {
            return;
        };
        self.spent = Some(Offer {
            starttls: held.extensions().starttls,
            ..self.terminated.offer(held.extensions())
        });
        self.terminated.adopt(held, way).await;
    }

    async fn splice(&mut self, hello: &ClientHello, reason: Reason) -> Course {
        // It first said MAIL in clear text, and then STARTTLS after all.
        if self.reserved.is_none()
            && let Err(answer) = self.reserve().await
        {
            info!(?answer, "nothing to splice to; the sender tries again");
        }
        let Some(Reserved {
            held,
            way: _,
            place,
        }) = self.reserved.take()
        else {
            return Course::Close;
        };
        match held.give_away().await {
            Ok(destination) => Course::Splice(Joint {
                destination,
                server_name: hello.server_name.clone(),
                why: reason.name(),
                place,
            }),
            Err(error) => {
                self.relay.metrics().count(Counter::Unreachable);
                info!(%error, "destination does not start TLS; the sender tries again");
                Course::Close
            }
        }
    }

    /// Remembers that sessions with this destination have to be spliced, if policy and budget allow.
    async fn learn(&mut self, why: Why, sign: &str) {
        if std::mem::replace(&mut self.has_taught, true) {
            return;
        }
        if !decide::may_learn(self.treatment, self.confirmed) {
            self.relay.metrics().count(Counter::NotLearnt);
            let (confirmed, treatment) = (self.confirmed, self.treatment.name());
            info!(sign, confirmed, treatment, "nothing is learnt by policy");
            return;
        }
        let (relay, customer, destination) =
            (Arc::clone(&self.relay), self.customer, self.destination);
        // It waits for the disk.
        let learning =
            tokio::task::spawn_blocking(move || relay.learnt.learn(customer, destination, why));
        match learning.await {
            Ok(Ok(())) => {
                self.relay.metrics().count(Counter::Learnt);
                let happening = Happening::Learnt {
                    destination: destination.socket_addr(),
                    verifying: why == Why::Verifies,
                };
                let flag_id = self.admitted.flag_id();
                let reporter = self.relay.reporter();
                reporter.happened(customer.ip(), flag_id, happening);
                let why = why.name();
                info!(
                    sign,
                    why, "learnt: the next session with this destination is spliced"
                );
            }
            Ok(Err(refused)) => {
                self.relay.metrics().count(Counter::NotLearnt);
                info!(sign, %refused, "nothing is learnt");
            }
            Err(error) => error!(%error, "learning ended by a bug of ours"),
        }
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opaque")
            .field("terminated", &self.terminated)
            .field("may_splice", &self.may_splice)
            .finish_non_exhaustive()
    }
}

/// What a customer hears that has all the spliced sessions it may have.
pub(crate) fn full(hostname: &str) -> Reply {
    let text = format!("{hostname} has too many spliced connections from your address, try again");
    Reply::new(421, "4.7.0", &text)
}
