//! RCPT: the first reaches out to the destination, and each is its own to answer.

use relay_proto::client::LostCause;
use relay_proto::envelope::{EhloName, Recipient};
use relay_proto::reply::Reply;
use relay_proto::server::Answer;
use tracing::{debug, info};

use super::{Begun, Cutthrough, Transaction, authentication, promise, unreachable};
use crate::outbound::{Lost, Unreachable, Upstream};

impl Cutthrough {
    pub(super) async fn recipient(
        &mut self,
        recipient: Recipient,
        ehlo: Option<EhloName>,
    ) -> Answer {
        if self.is_away() {
            return Answer::Reply(self.noted(recipient));
        }
        let demand = match self.demanded_for(&recipient).await {
            Ok(demand) => demand,
            // The queue would meet the same.
            Err(reply) if reply.code().is_permanent() => return Answer::Reply(reply),
            Err(reply) => return Answer::Reply(self.noted_or(recipient, reply)),
        };
        if let Some(Transaction {
            mail,
            upstream: Begun::No,
            ..
        }) = &self.transaction
        {
            let mail = mail.clone();
            self.leave_if_used_up(&recipient).await;
            let begun = match self.begin_unless_away(&mail, ehlo, &demand).await {
                Ok(begun) => begun,
                Err(Unreachable::Insecure(why)) => {
                    let reply = self.insecure(&demand, why);
                    return Answer::Reply(self.noted_or(recipient, reply));
                }
                Err(unreachable) => return self.unreachable(&unreachable),
            };
            if let Some(transaction) = &mut self.transaction {
                transaction.upstream = begun;
                let upstream = self.upstream.as_ref().map(Upstream::protection);
                transaction.destinations_leg = upstream.unwrap_or_default();
            }
        }
        if self.is_away() {
            return Answer::Reply(self.noted(recipient));
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
            capabilities.forget(self.destination);
            return Answer::Reply(reply);
        }
        if let Err(reply) = transaction.demands.admit(demand, upstream) {
            return Answer::Reply(self.noted_or(recipient, reply));
        }
        if !upstream.has_room_for_domains(std::iter::once(&recipient)) {
            return Answer::Reply(self.noted_or(recipient, too_many_domains()));
        }
        match upstream.recipient(&recipient).await {
            Ok(reply) if reply.code().is_transient() => {
                debug!(queue.id = %transaction.id, %reply, "recipient deferred");
                let reply = self.passed_on(reply);
                Answer::Reply(self.noted_or(recipient, reply))
            }
            Ok(reply) => {
                self.limited.answered(&self.relay, &reply);
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
                if self.fallback.is_some() {
                    self.gone_away();
                    return Answer::Reply(self.noted(recipient));
                }
                Answer::ReplyAndClose(lost_reply(Some(&lost)))
            }
        }
    }

    /// Ends a connection whose destination takes no further message in one session (RFC 9422), so that the next one gets
    /// another: a customer that does not know of such limits is not to fail by them.
    async fn leave_if_used_up(&mut self, recipient: &Recipient) {
        let has_room = |upstream: &Upstream| upstream.has_room_for(std::iter::once(recipient));
        if let Some(upstream) = self.upstream.take_if(|upstream| !has_room(upstream)) {
            debug!("the open connection takes no more messages, connecting again");
            upstream.quit().await;
        }
    }

    /// The destination's own reply, with a pointer if it demands what this relay does not pass on.
    fn passed_on(&mut self, reply: Reply) -> Reply {
        if !authentication::demands_authentication(&reply) {
            return reply;
        }
        let reply = authentication::pointed(&reply, (&self.relay.config).into());
        self.demand.insert(reply).clone()
    }

    pub(super) fn unreachable(&mut self, error: &Unreachable) -> Answer {
        let id = self.transaction.take().map(|transaction| transaction.id);
        self.old_tls |= matches!(error, Unreachable::OldTls(_));
        let reply = unreachable(&self.relay, self.destination, id.as_deref(), error);
        Answer::ReplyAndClose(reply)
    }
}

/// Limits of the destination: its own answer might be one that ends the message.
fn too_many_domains() -> Reply {
    let text = "your destination takes no more domains in one session; send this recipient a message of its own";
    Reply::new(452, "4.5.3", text)
}

/// What the customer hears when the destination went away before the content: its own last words if
/// it had any that fit, else ours.
pub(super) fn lost_reply(lost: Option<&Lost>) -> Reply {
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
