//! What the relay does with a customer's mail, by the customer's policy.

use std::sync::Arc;

use bytes::Bytes;
use relay_proto::peek::ClientHello;
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Question};

use crate::Relay;
use crate::admission::Admitted;
use crate::id::SessionId;
use crate::inbound::session::{Application, Course, Facts, TurnedAway};
use crate::listen::Drain;

mod cutthrough;
mod opaque;

use opaque::Opaque;
pub(crate) use opaque::full as splices_full;

/// The treatment of one session.
#[derive(Debug)]
pub(crate) enum Treatment {
    /// `filter` and `opaque`: cut-through, scanned, where the session is not spliced.
    Filter(Box<Opaque>),
}

/// The treatment for an admitted connection.
pub(crate) fn choose(
    relay: Arc<Relay>,
    admitted: Admitted,
    id: SessionId,
    drain: Drain,
) -> Treatment {
    let treatment = admitted
        .policy
        .as_ref()
        .map(|policy| policy.treatment)
        .unwrap_or_default();
    match treatment {
        contract::Treatment::Filter | contract::Treatment::Opaque | contract::Treatment::Walled => {
            Treatment::Filter(Box::new(Opaque::new(relay, admitted, id, drain)))
        }
    }
}

impl Treatment {
    /// The customer has gone: ends what is open elsewhere.
    pub(crate) async fn end(self) {
        match self {
            Self::Filter(opaque) => opaque.end().await,
        }
    }
}

impl Application for Treatment {
    async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        match self {
            Self::Filter(opaque) => opaque.answer(question, facts).await,
        }
    }

    async fn body(&mut self, octets: Bytes) {
        match self {
            Self::Filter(opaque) => opaque.body(octets).await,
        }
    }

    async fn aborted(&mut self, abort: Abort) {
        match self {
            Self::Filter(opaque) => opaque.aborted(abort).await,
        }
    }

    async fn tls_begun(&mut self, hello: &ClientHello) -> Course {
        match self {
            Self::Filter(opaque) => opaque.tls_begun(hello).await,
        }
    }

    async fn turned_away(&mut self, how: TurnedAway) {
        match self {
            Self::Filter(opaque) => opaque.turned_away(how).await,
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
