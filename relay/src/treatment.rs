//! What the relay does with a customer's mail, by the customer's policy.

use std::sync::Arc;

use bytes::Bytes;
use relay_proto::peek::ClientHello;
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Question};

use crate::Relay;
use crate::admission::Admitted;
use crate::id::SessionId;
use crate::inbound::hearing::Hearing;
use crate::inbound::session::{Application, Course, Facts, TurnedAway};
use crate::listen::Drain;
use crate::origin::OriginalDst;

mod cutthrough;
mod departure;
mod doubts;
mod evidence;
mod inspection;
mod keeping;
mod limited;
mod opaque;
mod outcome;
mod queue;
mod submission;
mod telling;
mod terminated;
mod walled;

use cutthrough::Cutthrough;
use opaque::Opaque;
pub(crate) use opaque::full as splices_full;
pub(crate) use submission::Submission;
use terminated::Terminated;
use walled::Walled;

/// The treatment of one session.
#[derive(Debug)]
pub(crate) enum Treatment {
    /// `filter` and `opaque`: cut-through, scanned, where the session is not spliced.
    Filter(Box<Opaque>),
    /// The same where there is no destination: scanned, and queued.
    ByMx(Terminated),
    /// `walled`: everybody but the operator is refused.
    Walled(Box<Walled>),
}

/// The treatment for an admitted connection, which was going to `original_dst`.
pub(crate) fn choose(
    relay: Arc<Relay>,
    admitted: Admitted,
    original_dst: Option<OriginalDst>,
    id: SessionId,
    drain: Drain,
) -> Treatment {
    let (customer, flag_id) = (admitted.customer.ip(), admitted.flag_id());
    relay
        .reporter()
        .count(customer, flag_id, |rates| rates.connections += 1);
    match (admitted.treatment(), original_dst) {
        (contract::Treatment::Walled, _) => {
            Treatment::Walled(Box::new(Walled::new(relay, admitted, id, drain)))
        }
        (contract::Treatment::Filter | contract::Treatment::Opaque, Some(destination)) => {
            let opaque = Opaque::new(relay, admitted, destination, id, drain);
            Treatment::Filter(Box::new(opaque))
        }
        // There is nobody to splice to, and nobody else whose answer the customer could hear.
        (contract::Treatment::Filter | contract::Treatment::Opaque, None) => {
            Treatment::ByMx(Terminated::by_mx(relay, admitted, drain))
        }
    }
}

impl Treatment {
    /// The customer has gone: ends what is open elsewhere.
    pub(crate) async fn end(self) {
        match self {
            Self::Filter(opaque) => opaque.end().await,
            Self::ByMx(queue) => queue.end().await,
            Self::Walled(walled) => walled.end().await,
        }
    }
}

impl Application for Treatment {
    async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        match self {
            Self::Filter(opaque) => opaque.answer(question, facts).await,
            Self::ByMx(queue) => queue.answer(question, facts).await,
            Self::Walled(walled) => walled.answer(question, facts).await,
        }
    }

    async fn body(&mut self, octets: Bytes) {
        match self {
            Self::Filter(opaque) => opaque.body(octets).await,
            Self::ByMx(queue) => queue.body(octets).await,
            Self::Walled(walled) => walled.body(octets).await,
        }
    }

    async fn aborted(&mut self, abort: Abort) {
        match self {
            Self::Filter(opaque) => opaque.aborted(abort).await,
            Self::ByMx(queue) => queue.aborted(abort).await,
            Self::Walled(walled) => walled.aborted(abort).await,
        }
    }

    async fn tls_begun(&mut self, hello: &ClientHello) -> Course {
        match self {
            Self::Filter(opaque) => opaque.tls_begun(hello).await,
            Self::ByMx(_) | Self::Walled(_) => Course::Terminate,
        }
    }

    async fn turned_away(&mut self, how: TurnedAway) {
        match self {
            Self::Filter(opaque) => opaque.turned_away(how).await,
            // There is nobody to splice to.
            Self::ByMx(_) | Self::Walled(_) => {}
        }
    }

    fn awaits_hearing(&self) -> bool {
        match self {
            Self::Filter(opaque) => opaque.awaits_hearing(),
            Self::ByMx(queue) => queue.awaits_hearing(),
            Self::Walled(walled) => walled.awaits_hearing(),
        }
    }

    fn heard(&mut self, hearing: Hearing) {
        match self {
            Self::Filter(opaque) => opaque.heard(hearing),
            Self::ByMx(queue) => queue.heard(hearing),
            Self::Walled(walled) => walled.heard(hearing),
        }
    }
}

/// The application of sessions that take no mail. Such sessions ask nothing; if one did, it would
/// be refused.
#[derive(Debug)]
pub(crate) struct Nobody;

impl Application for Nobody {
    async fn answer(&mut self, _question: Question, _facts: Facts) -> Answer {
        Answer::ReplyAndClose(Reply::new(554, "5.7.1", "no mail is taken here"))
    }

    async fn body(&mut self, _octets: Bytes) {}

    async fn aborted(&mut self, _abort: Abort) {}
}
