//! What is done with the mail of a session that ends here, by the customer's delivery: cut-through, or the queue.

use std::sync::Arc;

use bytes::Bytes;
use contract::Delivery;
use relay_proto::client::Extensions;
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Offer, Question};
use tracing::{debug, error, warn};

use super::cutthrough::Cutthrough;
use super::queue::Queue;
use crate::Relay;
use crate::admission::Admitted;
use crate::egress::Way;
use crate::id::SessionId;
use crate::inbound::hearing::Hearing;
use crate::inbound::session::Facts;
use crate::listen::Drain;
use crate::origin::OriginalDst;
use crate::outbound::Held;

/// One customer's session.
#[derive(Debug)]
pub(crate) enum Terminated {
    /// Its destination answers; with `cutthrough+spool` the queue stands in for it.
    Cutthrough(Box<Cutthrough>),
    /// The relay answers.
    Queue(Box<Queue>),
    /// Its policy wants a queue, and this relay has none.
    NoQueue {
        /// Our name.
        hostname: String,
    },
}

impl Terminated {
    /// Nothing has been said yet.
    pub(super) fn new(
        relay: Arc<Relay>,
        admitted: Admitted,
        destination: OriginalDst,
        id: SessionId,
        drain: Drain,
    ) -> Self {
        let (delivery, flag_id) = (admitted.delivery(), admitted.flag_id());
        if delivery == Delivery::Queue {
            return Self::queue(relay, admitted, Some(destination), drain);
        }
        let queueing = relay.queueing.clone();
        let cutthrough = Cutthrough::new(relay, admitted, destination, id, drain);
        Self::Cutthrough(Box::new(match queueing {
            Some(queueing) if delivery == Delivery::CutthroughSpool => {
                cutthrough.with_fallback(queueing)
            }
            None if delivery == Delivery::CutthroughSpool => {
                warn!(
                    flag.id = flag_id,
                    "delivery is cutthrough+spool and there is no [spool]: deferrals go back to the customer"
                );
                cutthrough
            }
            Some(_) | None => cutthrough,
        }))
    }

    /// The same without a destination: whatever the policy says of delivery, the queue takes the mail, and finds its
    /// recipients' servers.
    pub(super) fn by_mx(relay: Arc<Relay>, admitted: Admitted, drain: Drain) -> Self {
        Self::queue(relay, admitted, None, drain)
    }

    fn queue(
        relay: Arc<Relay>,
        admitted: Admitted,
        original_dst: Option<OriginalDst>,
        drain: Drain,
    ) -> Self {
        let Some(queueing) = relay.queueing.clone() else {
            error!(
                flag.id = admitted.flag_id(),
                "delivery is queue and there is no [spool]: the customer is answered 421"
            );
            let hostname = relay.config.identity.hostname.clone();
            return Self::NoQueue { hostname };
        };
        let queue = Queue::new(relay, queueing, admitted, original_dst, drain);
        Self::Queue(Box::new(queue))
    }

    /// Answers the session's open question.
    pub(super) async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.answer(question, facts).await,
            Self::Queue(queue) => queue.answer(question, facts).await,
            Self::NoQueue { hostname } => no_queue(hostname),
        }
    }

    /// Content of the message.
    pub(super) async fn body(&mut self, octets: Bytes) {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.body(octets).await,
            Self::Queue(queue) => queue.body(octets).await,
            Self::NoQueue { .. } => {}
        }
    }

    /// The transaction has ended without its message.
    pub(super) async fn aborted(&mut self, abort: Abort) {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.aborted(abort).await,
            Self::Queue(queue) => queue.aborted(abort),
            Self::NoQueue { .. } => {}
        }
    }

    /// Whether it matters that what was said so far is heard.
    pub(super) fn awaits_hearing(&self) -> bool {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.awaits_hearing(),
            Self::Queue(queue) => queue.awaits_hearing(),
            Self::NoQueue { .. } => false,
        }
    }

    /// Whether it was.
    pub(super) fn heard(&mut self, hearing: Hearing) {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.heard(hearing),
            Self::Queue(queue) => queue.heard(hearing),
            Self::NoQueue { .. } => {}
        }
    }

    /// The customer has gone.
    pub(super) async fn end(self) {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.end().await,
            Self::Queue(queue) => queue.end().await,
            Self::NoQueue { .. } => {}
        }
    }

    /// The last word of a session that takes no mail, or no more.
    pub(super) fn last_word(&self) -> Option<Answer> {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.draining(),
            Self::Queue(queue) => queue.draining(),
            Self::NoQueue { hostname } => Some(no_queue(hostname)),
        }
    }

    /// What is offered where the destination offers this.
    pub(super) fn offer(&self, destination: &Extensions) -> Offer {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.offer(destination),
            Self::Queue(queue) => queue.offer(),
            Self::NoQueue { .. } => Offer::default(),
        }
    }

    /// Goes on with a connection that somebody else has opened.
    pub(super) async fn adopt(&mut self, held: Held, way: Way) {
        match self {
            Self::Cutthrough(cutthrough) => match held.into_upstream().await {
                Ok(upstream) => cutthrough.adopt(upstream, way),
                // It will connect by itself, and say what is wrong.
                Err(error) => debug!(%error, "destination lost before the first message"),
            },
            Self::Queue(_) | Self::NoQueue { .. } => held.quit().await,
        }
    }

    /// Whether the destination has shown that it speaks no TLS that we do.
    pub(super) fn has_met_old_tls(&self) -> bool {
        match self {
            Self::Cutthrough(cutthrough) => cutthrough.has_met_old_tls(),
            // Not within the session; and the queue has other ways.
            Self::Queue(_) | Self::NoQueue { .. } => false,
        }
    }
}

fn no_queue(hostname: &str) -> Answer {
    let text = format!("{hostname} has no queue for your mail now, try again later");
    Answer::ReplyAndClose(Reply::new(421, "4.3.5", &text))
}
