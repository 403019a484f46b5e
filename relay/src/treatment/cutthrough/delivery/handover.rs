//! A message that may pass goes to the destination: DATA, trace fields, content, dot, its last word.
//!
//! A destination that has gone before the dot is asked a second time, once, on a new connection: many close
//! a connection that was idle while the customer sent and the scanners looked. Before the dot a destination
//! has no message, and must forget what it has of one when the connection ends (RFC 5321 section 4.1.1.10), so
//! a second attempt makes no second copy, whatever had been sent of the content. It must answer as it did
//! the first time: the customer has heard those answers and believes in them.
//!
//! Where there is a queue, what it only defers when it is asked again goes there, as any deferral does. What it
//! refuses then does not: the customer hears 451 and, at its next attempt, the refusal itself, which the queue might
//! have nobody to tell of.
//!
//! After the dot there is no second attempt: the destination may have the message.

use std::{fmt, io};

use relay_proto::client::LostCause;
use relay_proto::reply::Reply;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use super::{
    ANSWER_DEADLINE, DATA_DEADLINE, DOT_DEADLINE, Facts, Outcome, Passed, changed_its_mind, late,
    lost, lost_after_dot, refused_by_destination, spill_failed,
};
use crate::egress::Way;
use crate::metrics::Counter;
use crate::outbound::{Lost, Upstream};
use crate::treatment::cutthrough::{Begun, Cutthrough, Transaction};

/// How one attempt ended before the destination had our dot.
#[derive(Debug)]
enum Stop {
    /// The destination refused in its own words.
    Refused(Reply),
    /// It has gone.
    Lost(Lost),
    /// The message cannot be read back.
    Message(io::Error),
    /// There was no time left.
    Late,
}

/// Why the envelope could not be said a second time.
#[derive(Debug)]
enum Changed {
    /// It does not take the message now, or not by this connection.
    Deferred(String),
    /// It refuses for good what it took before.
    Refused(Reply),
}

impl Cutthrough {
    /// Hands `passed` over, with a second attempt if the destination has gone before the dot.
    pub(super) async fn hand_over(
        &mut self,
        transaction: &mut Transaction,
        facts: &Facts,
        passed: &Passed,
    ) -> Outcome {
        let data_deadline = passed.received + DATA_DEADLINE;
        let stop = match self.attempt(passed).await {
            Ok(()) => return self.last_word(passed).await,
            Err(stop) => stop,
        };
        let lost_first = match stop {
            Stop::Lost(lost) if may_have_idled_out(&lost) => lost,
            Stop::Lost(_) | Stop::Refused(_) | Stop::Message(_) | Stop::Late => {
                return self.give_up(transaction, stop);
            }
        };
        debug!(queue.id = %transaction.id, error = %lost_first, "destination gone, asking again");
        self.relay.metrics().count(Counter::Replayed);
        match timeout_at(data_deadline, self.replay(transaction, facts)).await {
            Ok(Ok(())) => {}
            Ok(Err(changed)) => {
                info!(queue.id = %transaction.id, first = %lost_first, why = %changed, "destination answers differently now");
                self.withdraw().await;
                return changed.outcome();
            }
            Err(_elapsed) => {
                self.upstream = None;
                return late();
            }
        }
        match self.attempt(passed).await {
            Ok(()) => self.last_word(passed).await,
            Err(stop) => self.give_up(transaction, stop),
        }
    }

    /// Has the destination hear the envelope again, from its customer's own address. It must answer as before.
    pub(super) async fn move_to_customer(
        &mut self,
        transaction: &mut Transaction,
        facts: &Facts,
        received: Instant,
    ) -> Result<(), Outcome> {
        if let Some(upstream) = self.upstream.take() {
            upstream.quit().await;
        }
        // What was claimed of the other way is not used.
        self.claim = None;
        self.way = Some(Way::of_customer(self.admitted.customer));
        if matches!(transaction.upstream, Begun::Away) {
            // It has heard nothing yet, and will from there.
            return Ok(());
        }
        let replay = self.replay(transaction, facts);
        match timeout_at(received + DATA_DEADLINE, replay).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(changed)) => {
                info!(queue.id = %transaction.id, why = %changed, "destination answers the customer's address differently");
                self.withdraw().await;
                Err(changed.outcome())
            }
            Err(_elapsed) => {
                self.upstream = None;
                Err(late())
            }
        }
    }

    /// DATA and all that comes before the dot. The connection is gone if that did not work out.
    async fn attempt(&mut self, passed: &Passed) -> Result<(), Stop> {
        let Some(upstream) = &mut self.upstream else {
            return Err(Stop::Lost(gone()));
        };
        let attempt = async {
            let data = timeout_at(passed.received + DATA_DEADLINE, upstream.data());
            match data.await {
                Ok(Ok(None)) => {}
                // A refusal of DATA ends the transaction, not the connection.
                Ok(Ok(Some(reply))) => return Err(Stop::Refused(reply)),
                Ok(Err(lost)) => return Err(Stop::Lost(lost)),
                Err(_elapsed) => return Err(Stop::Late),
            }
            let content = timeout_at(passed.received + DOT_DEADLINE, send(upstream, passed));
            content.await.unwrap_or(Err(Stop::Late))
        };
        let result = attempt.await;
        if !matches!(result, Ok(()) | Err(Stop::Refused(_))) {
            // Without its dot, what the destination has so far is no message.
            self.upstream = None;
        }
        result
    }

    /// The dot, and what the destination says to it. From here on it may have the message.
    async fn last_word(&mut self, passed: &Passed) -> Outcome {
        if let Some(claim) = self.claim.take() {
            claim.sent();
        }
        let Some(upstream) = &mut self.upstream else {
            return lost_after_dot("the connection is gone");
        };
        let answer = upstream.end_of_data();
        // With a queue there is a better answer than none in time.
        let answer = if self.fallback.is_some() {
            let answer = timeout_at(passed.received + ANSWER_DEADLINE, answer).await;
            answer.unwrap_or_else(|_elapsed| Err(silent()))
        } else {
            answer.await
        };
        match answer {
            Ok(reply) if reply.code().is_positive() => Outcome {
                verdict: "delivered",
                counter: Counter::Delivered,
                reply,
            },
            Ok(reply) => refused_by_destination(reply),
            Err(lost) => {
                self.upstream = None;
                match lost.cause {
                    LostCause::Refused(reply) if !reply.code().is_positive() => {
                        refused_by_destination(reply)
                    }
                    cause => lost_after_dot(&cause.to_string()),
                }
            }
        }
    }

    /// Says the whole envelope again, on a new connection. Every answer must be of the class that the
    /// customer has heard, and the connection as safe as the first one was.
    async fn replay(
        &mut self,
        transaction: &mut Transaction,
        facts: &Facts,
    ) -> Result<(), Changed> {
        let demand = transaction.demands.first();
        let reached = self
            .reach_again(facts.ehlo.clone(), &demand.requirement)
            .await;
        let mut upstream = reached.map_err(|error| Changed::Deferred(error.to_string()))?;
        if let Err(unsatisfied) = transaction.demands.hold(&upstream) {
            upstream.quit().await;
            return Err(Changed::Deferred(unsatisfied.to_string()));
        }
        if transaction.destinations_leg.is_tls() && !upstream.protection().is_tls() {
            upstream.quit().await;
            let why = "it offered TLS before and does not now";
            return Err(Changed::Deferred(why.into()));
        }
        let again = async {
            let begun = self.begin_on(&mut upstream, &transaction.mail, &demand);
            match begun.await? {
                Begun::Yes | Begun::No => {}
                // Where there is a queue, it would be no better off: it lacks what the message needs, or refuses it.
                Begun::Refused(reply) if self.fallback.is_some() => {
                    return Ok(Some(Changed::Refused(reply)));
                }
                Begun::Refused(reply) => return Ok(Some(reply.into())),
                Begun::Away => return Ok(Some(deferred().into())),
            }
            for (_, recipient) in transaction.taken() {
                let reply = upstream.recipient(recipient).await?;
                if !reply.code().is_positive() {
                    return Ok(Some(reply.into()));
                }
            }
            Ok(None)
        };
        match again.await {
            Ok(None) => {
                transaction.destinations_leg = upstream.protection();
                self.upstream = Some(upstream);
                Ok(())
            }
            Ok(Some(changed)) => {
                self.upstream = Some(upstream);
                Err(changed)
            }
            Err(Lost {
                cause: LostCause::Refused(reply),
                ..
            }) if !reply.code().is_positive() => Err(reply.into()),
            Err(lost) => Err(Changed::Deferred(lost.to_string())),
        }
    }

    /// The outcome of an attempt that was the last one.
    fn give_up(&self, transaction: &Transaction, stop: Stop) -> Outcome {
        match stop {
            Stop::Refused(reply) => refused_by_destination(reply),
            Stop::Lost(Lost {
                cause: LostCause::Refused(reply),
                ..
            }) if !reply.code().is_positive() => refused_by_destination(reply),
            Stop::Lost(Lost { cause, .. }) => lost(&cause.to_string()),
            Stop::Message(error) => spill_failed(&transaction.id, &error),
            Stop::Late => late(),
        }
    }
}

impl Changed {
    /// 451 for the customer. Only a deferral is the queue's, where there is one.
    fn outcome(&self) -> Outcome {
        match self {
            Self::Deferred(_) => lost(&self.to_string()),
            Self::Refused(_) => changed_its_mind(&self.to_string()),
        }
    }
}

impl From<Reply> for Changed {
    fn from(reply: Reply) -> Self {
        if reply.code().is_permanent() {
            Self::Refused(reply)
        } else {
            Self::Deferred(format!("asked again, it says: {reply}"))
        }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deferred(why) => f.write_str(why),
            Self::Refused(reply) => write!(f, "asked again, it says: {reply}"),
        }
    }
}

/// Trace fields and content.
async fn send(upstream: &mut Upstream, passed: &Passed) -> Result<(), Stop> {
    let trace = upstream.content(passed.trace.as_bytes());
    trace.await.map_err(Stop::Lost)?;
    let mut reader = passed.content.reader();
    while let Some(block) = reader.next().await.map_err(Stop::Message)? {
        upstream.content(&block).await.map_err(Stop::Lost)?;
    }
    upstream.overhear().await.map_err(Stop::Lost)
}

/// Whether the destination may simply have ended a connection that was idle for too long. One that is
/// silent, or breaks the protocol, will do so again.
fn may_have_idled_out(lost: &Lost) -> bool {
    match &lost.cause {
        LostCause::HungUp => true,
        LostCause::Refused(reply) => reply.code() == 421,
        LostCause::TimedOut
        | LostCause::Malformed(_)
        | LostCause::Framing(_)
        | LostCause::LineTooLong
        | LostCause::Unsolicited
        | LostCause::Injected
        | LostCause::TlsFailed
        | LostCause::Content(_)
        | LostCause::OutOfTurn => false,
    }
}

/// What was said to the customer instead of the destination's own 4xx.
fn deferred() -> Reply {
    Reply::new(451, "4.4.2", "your destination does not take it now")
}

fn silent() -> Lost {
    Lost {
        stage: relay_proto::client::Stage::Message,
        cause: LostCause::TimedOut,
    }
}

fn gone() -> Lost {
    Lost {
        stage: relay_proto::client::Stage::Data,
        cause: LostCause::HungUp,
    }
}
