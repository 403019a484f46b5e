//! One transaction with one server: the envelope, the content, and what became of each recipient. `several` makes more than
//! one of it where the server's limits need that.
//!
//! Nothing is converted: a message that needs what the server lacks fails with the code that the RFC has for it. A kept
//! session whose server has closed it meanwhile is replaced once, before anything of this message was answered.
//!
//! After the dot there is no second attempt here. A server that goes away then may have the message; the queue tries
//! again, as RFC 5321 section 4.5.4.1 wants: a duplicate is possible, a loss never.

use std::io;

use relay_proto::client::LostCause;
use relay_proto::envelope::{BodyType, Mail, Recipient, TlsTag};
use relay_proto::queue::Fault;
use relay_proto::queued::{Attempt, Cause, Outcome, Queued};
use relay_proto::reply::Reply;
use tracing::{debug, info};

use super::Connection;
use crate::egress::Egresses;
use crate::message::Message;
use crate::outbound::{Answers, Lost, Outbound, Upstream};
use crate::queue::world::Attempted;

/// What is to be transacted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transaction<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) egresses: &'a Egresses,
    pub(super) queued: &'a Queued,
    /// Places of the recipients, in the order in which they are said.
    pub(super) recipients: &'a [usize],
    pub(super) content: &'a Message,
}

/// How the content went.
enum Ended {
    /// The server's last word.
    Reply(Reply),
    /// It has gone.
    Lost(Lost),
    /// The content cannot be read back; without its dot the server has nothing.
    Unreadable(io::Error),
}

impl Transaction<'_> {
    /// Runs it, by a new connection if this one takes no more.
    pub(super) async fn once(&self, connection: &mut Connection) -> Attempted {
        if !connection.upstream.has_room_for(self.said()) {
            debug!(queue.id = %self.queued.id, "session has carried what its server takes, opening another");
            if let Err(error) = connection.renew(self.outbound, self.queued).await {
                let outcome = Outcome::Deferred(error.cause);
                return self.all(connection, outcome, false, Some(error.fault));
            }
        }
        if let Some(failed) = self.unsuited(connection).await {
            return failed;
        }
        let Some(claim) = self.egresses.claim(&connection.leg.way).await else {
            let cause = local("4.4.5", "all addresses have sent what they may send today");
            return self.all(connection, Outcome::Deferred(cause), true, None);
        };
        let mail = self.mail(connection);
        let mut answers = self.envelope(connection, &mail).await;
        if connection.used && answers.may_have_idled_out() {
            debug!(queue.id = %self.queued.id, "kept session was gone, opening another");
            if let Err(error) = connection.open_again(self.outbound, self.queued).await {
                let outcome = Outcome::Deferred(error.cause);
                return self.all(connection, outcome, false, Some(error.fault));
            }
            if let Some(failed) = self.unsuited(connection).await {
                return failed;
            }
            let mail = self.mail(connection);
            answers = self.envelope(connection, &mail).await;
        }
        connection.used = true;
        let mut ended = None;
        if answers.ready {
            claim.sent();
            ended = Some(self.send(&mut connection.upstream).await);
        }
        self.conclude(connection, answers, ended)
    }

    /// All recipients' end, if the server lacks what the message needs.
    async fn unsuited(&self, connection: &Connection) -> Option<Attempted> {
        let offered = connection.upstream.extensions();
        let queued = self.queued;
        let utf8 = queued.mail.smtputf8 || !queued.mail.reverse_path.is_ascii();
        let utf8 = utf8
            || self
                .said()
                .any(|recipient| !recipient.forward_path.is_ascii());
        let limit = offered.size.flatten();
        let insists = queued.mail.insists_on_tls();
        if insists && !connection.keeps_require_tls() {
            return Some(self.without_require_tls(connection));
        }
        let cause = if utf8 && !offered.smtputf8 {
            // RFC 6531 section 3.6.
            local("5.6.7", "the server does not take internationalised mail")
        } else if limit.is_some_and(|limit| self.octets() > limit) {
            // RFC 1870 section 6.2.
            local("5.3.4", "the message is larger than the server takes")
        } else if queued.mail.body == Some(BodyType::EightBitMime)
            && !offered.eight_bit_mime
            && self.has_eight_bits().await
        {
            // RFC 6152 section 3: the other choice would break the signature.
            local(
                "5.6.3",
                "the message has octets of eight bits, which the server does not take, and is not converted",
            )
        } else {
            return None;
        };
        Some(self.all(connection, Outcome::Failed(cause), true, None))
    }

    /// Nothing goes on, although it did when the server was chosen. The next attempt asks all of the domain's servers, and
    /// ends it if none keeps it.
    fn without_require_tls(&self, connection: &Connection) -> Attempted {
        let text = "the server does not show any more what REQUIRETLS needs";
        let outcome = Outcome::Deferred(local("4.7.5", text));
        self.all(connection, outcome, true, None)
    }

    /// Many say 8BITMIME of whatever they send. What cannot be read is found out when it is sent.
    async fn has_eight_bits(&self) -> bool {
        let mut reader = self.content.reader();
        while let Ok(Some(block)) = reader.next().await {
            if !block.is_ascii() {
                return true;
            }
        }
        false
    }

    fn said(&self) -> impl Iterator<Item = &Recipient> {
        let places = self.recipients.iter();
        places.filter_map(|&place| self.queued.recipients.get(place))
    }

    fn octets(&self) -> u64 {
        self.content.octets() + self.queued.trace.len() as u64
    }

    fn mail(&self, connection: &Connection) -> Mail {
        let mail = &self.queued.mail;
        let required = mail.tls == TlsTag::Required && connection.keeps_require_tls();
        Mail {
            size: Some(self.octets()),
            tls: if required {
                TlsTag::Required
            } else {
                TlsTag::None
            },
            ..mail.clone()
        }
    }

    async fn envelope(&self, connection: &mut Connection, mail: &Mail) -> Answers {
        let recipients: Vec<&Recipient> = self.said().collect();
        connection.upstream.envelope(mail, &recipients).await
    }

    async fn send(&self, upstream: &mut Upstream) -> Ended {
        let sending = async {
            upstream.content(self.queued.trace.as_bytes()).await?;
            let mut reader = self.content.reader();
            loop {
                match reader.next().await {
                    Ok(Some(block)) => upstream.content(&block).await?,
                    Ok(None) => return upstream.end_of_data().await.map(Ended::Reply),
                    Err(error) => return Ok(Ended::Unreadable(error)),
                }
            }
        };
        sending.await.unwrap_or_else(Ended::Lost)
    }

    /// What became of each recipient.
    fn conclude(
        &self,
        connection: &Connection,
        answers: Answers,
        ended: Option<Ended>,
    ) -> Attempted {
        let several = self.recipients.len() > 1;
        let dsn = connection.upstream.extensions().dsn;
        let mut lost = answers.lost;
        let mut reusable = true;
        // What those hear whom the server took.
        let last = match ended {
            Some(Ended::Reply(reply)) if reply.code().is_positive() => {
                Outcome::Delivered { reply, dsn }
            }
            Some(Ended::Reply(reply)) => refused(reply),
            Some(Ended::Lost(gone)) => {
                info!(queue.id = %self.queued.id, error = %gone, "server lost; if it has the message, it gets it twice");
                let outcome = of_lost(&gone);
                lost = Some(gone);
                outcome
            }
            Some(Ended::Unreadable(error)) => {
                reusable = false;
                Outcome::Deferred(local("4.3.0", &format!("cannot be read back: {error}")))
            }
            None => match (&answers.data, &lost) {
                (Some(reply), _) => refused(reply.clone()),
                (None, Some(gone)) => of_lost(gone),
                (None, None) => Outcome::Deferred(local("4.4.2", "the server said nothing")),
            },
        };
        let mail_refused = answers.mail.filter(|reply| !reply.code().is_positive());
        let strained = mail_refused
            .as_ref()
            .is_some_and(|it| it.code().is_transient());
        let mut replies = answers.recipients.into_iter();
        let attempts = self.recipients.iter().map(|&recipient| {
            let outcome = match (&mail_refused, replies.next()) {
                (Some(reply), _) => refused(reply.clone()),
                // RFC 5321 section 4.5.3.1.10: once it meant that there are too many.
                (None, Some(reply)) if reply.code() == 552 && several => {
                    Outcome::Deferred(Cause::Reply(reply))
                }
                (None, Some(reply)) if !reply.code().is_positive() => refused(reply),
                (None, Some(_) | None) => last.clone(),
            };
            Attempt {
                recipient,
                outcome,
                remote: Some(connection.remote.clone()),
            }
        });
        Attempted {
            attempts: attempts.collect(),
            reusable: reusable && lost.is_none(),
            fault: (lost.is_some() || strained).then_some(Fault::Strained),
        }
    }

    /// The same outcome for everybody.
    fn all(
        &self,
        connection: &Connection,
        outcome: Outcome,
        reusable: bool,
        fault: Option<Fault>,
    ) -> Attempted {
        let attempts = self.recipients.iter().map(|&recipient| Attempt {
            recipient,
            outcome: outcome.clone(),
            remote: Some(connection.remote.clone()),
        });
        Attempted {
            attempts: attempts.collect(),
            reusable,
            fault,
        }
    }
}

/// The outcome of a refusal.
fn refused(reply: Reply) -> Outcome {
    if reply.code().is_permanent() {
        Outcome::Failed(Cause::Reply(reply))
    } else {
        Outcome::Deferred(Cause::Reply(reply))
    }
}

fn of_lost(lost: &Lost) -> Outcome {
    match &lost.cause {
        LostCause::Refused(reply) => refused(reply.clone()),
        LostCause::Content(error) => Outcome::Failed(local(
            "5.6.0",
            &format!("the content has {error}, which nobody may send"),
        )),
        LostCause::HungUp
        | LostCause::TimedOut
        | LostCause::Malformed(_)
        | LostCause::Framing(_)
        | LostCause::LineTooLong
        | LostCause::Unsolicited
        | LostCause::Injected
        | LostCause::TlsFailed
        | LostCause::OutOfTurn => Outcome::Deferred(local("4.4.2", &lost.to_string())),
    }
}

fn local(status: &'static str, text: &str) -> Cause {
    Cause::Local {
        status,
        text: text.to_owned(),
    }
}
