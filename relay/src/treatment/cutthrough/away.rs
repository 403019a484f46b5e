//! A destination that does not answer, or not now, in a session whose mail may go into the queue.
//!
//! EHLO is answered all the same, with what the relay itself takes: nobody knows what the destination would offer. A
//! message that needs what it then turns out to lack is returned, never converted.

use std::time::Duration;

use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::reply::Reply;
use relay_proto::server::Answer;
use tokio::time::Instant;
use tracing::info;

use super::secured::Demanded;
use super::{Begun, Cutthrough};
use crate::metrics::Counter;
use crate::outbound::Unreachable;

/// When the destination was last found not to answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Away(Instant);

impl Cutthrough {
    /// The answer to EHLO when the destination cannot be asked.
    pub(super) fn offer_without_destination(&mut self, unreachable: &Unreachable) -> Answer {
        if !self.bridges(unreachable) {
            return self.unreachable(unreachable);
        }
        Answer::Offer(self.relay.offer_of_the_queue())
    }

    /// [`Cutthrough::begin`], unless the destination has only just been found not to answer: the customer waits for
    /// each attempt.
    pub(super) async fn begin_unless_away(
        &mut self,
        mail: &Mail,
        ehlo: Option<EhloName>,
        demanded: &Demanded,
    ) -> Result<Begun, Unreachable> {
        if let Some(Away(since)) = self.away
            && since.elapsed() < AWAY_FOR
        {
            return Ok(Begun::Away);
        }
        self.away = None;
        match self.begin(mail, ehlo, demanded).await {
            Err(unreachable) if self.bridges(&unreachable) => Ok(Begun::Away),
            begun => begun,
        }
    }

    /// Whether the queue takes the recipients of the open transaction.
    pub(super) fn is_away(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|transaction| matches!(transaction.upstream, Begun::Away))
    }

    /// The destination was lost within the transaction: those whom it took are the queue's now, too.
    pub(super) fn gone_away(&mut self) {
        self.away = Some(Away(Instant::now()));
        if let Some(transaction) = &mut self.transaction {
            transaction.upstream = Begun::Away;
            transaction.waiting = (0..transaction.recipients.len()).collect();
        }
    }

    /// The queue takes a recipient.
    pub(super) fn noted(&mut self, recipient: Recipient) -> Reply {
        if let Some(transaction) = &mut self.transaction {
            transaction.waiting.push(transaction.recipients.len());
            transaction.recipients.push(recipient);
        }
        Reply::new(
            250,
            "2.1.5",
            "your destination does not take it now; it will be queued",
        )
    }

    /// The same, if there is a queue; else `reply`, which is of class 4.
    pub(super) fn noted_or(&mut self, recipient: Recipient, reply: Reply) -> Reply {
        if self.fallback.is_some() {
            self.noted(recipient)
        } else {
            reply
        }
    }

    /// Whether the queue stands in for the destination. Not where TLS is too old: the next session is spliced because of
    /// that, and the queue would meet the same. What a domain demands is for the one recipient.
    fn bridges(&mut self, unreachable: &Unreachable) -> bool {
        let by_policy = matches!(
            unreachable,
            Unreachable::OldTls(_) | Unreachable::Insecure(_)
        );
        if self.fallback.is_none() || by_policy {
            return false;
        }
        self.relay.metrics().count(Counter::Unreachable);
        let id = self.transaction.as_ref().map(|transaction| &transaction.id);
        info!(queue.id = id, error = %unreachable, "destination unreachable; its mail is queued");
        self.away = Some(Away(Instant::now()));
        true
    }
}

/// How long a destination that did not answer is not asked again in the same session.
const AWAY_FOR: Duration = Duration::from_secs(60);
