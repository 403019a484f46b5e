//! The relay's own leg to the customer's destination.
//!
//! [`Outbound::reach`] connects, greets and starts TLS whenever it is offered; the [`Upstream`] then
//! takes one command at a time and answers with the destination's own words.
//!
//! # Diagnostics
//! Returned: [`Unreachable`] before the session takes commands, [`Lost`] after. Neither is logged here.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::client::{self, LostCause, Stage};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Identity;
use crate::egress::{ConnectError, Egresses, Leg, NoWay};
use crate::tls;

mod capabilities;
pub mod requirement;
mod session;

use capabilities::Capabilities;
use requirement::Unsatisfied;
pub(crate) use session::{Answers, Held, Upstream};

/// What all outbound sessions share.
#[derive(Debug)]
pub(crate) struct Outbound {
    session: client::Config,
    tls: Arc<ClientConfig>,
    capabilities: Capabilities,
    egresses: Arc<Egresses>,
}

/// Why a destination takes no commands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// The relay has nothing that the leg could leave from now.
    #[error("{0}")]
    NoWay(#[from] NoWay),
    /// No connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// No connection in time.
    #[error("no connection within {} s", CONNECT_DEADLINE.as_secs())]
    ConnectTimedOut,
    /// A connection, but no session: the greeting, EHLO or TLS failed.
    #[error("{0}")]
    Session(Lost),
    /// The same, because its TLS and ours have nothing in common.
    #[error("{0}: it speaks no TLS that this relay does, which is 1.2 or newer")]
    OldTls(Lost),
    /// There is a session, but not one that a message may go over; it has been ended.
    #[error("{0}")]
    Insecure(#[from] Unsatisfied),
    /// All of it together took too long.
    #[error("no session within {} s", REACH_DEADLINE.as_secs())]
    TimedOut,
}

/// A session that is over although we were not done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {cause}", stage_name(*stage))]
pub(crate) struct Lost {
    /// What it was doing.
    pub(crate) stage: Stage,
    /// Why.
    pub(crate) cause: LostCause,
}

impl Outbound {
    /// Speaks as `identity`, unless a leg says otherwise.
    pub(crate) fn new(identity: &Identity, egresses: Arc<Egresses>) -> Self {
        let tls = tls::opportunistic().expect("the provider supports the default TLS versions");
        let session = client::Config {
            ehlo_name: identity.hostname.clone(),
            timeouts: TIMEOUTS,
        };
        Self {
            session,
            tls: Arc::new(tls),
            capabilities: Capabilities::default(),
            egresses,
        }
    }

    /// What destinations were last heard to offer.
    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// A session with the leg's destination that takes commands.
    pub(crate) async fn reach(&self, leg: &Leg) -> Result<Upstream, Unreachable> {
        let session = async {
            let tcp = self.connect(leg).await?;
            Upstream::open(tcp, self.config(leg), leg.destination, &self.tls).await
        };
        let upstream = timeout(REACH_DEADLINE, session)
            .await
            .map_err(|_elapsed| Unreachable::TimedOut)??;
        self.capabilities
            .learn(leg.destination, *upstream.extensions());
        Ok(upstream)
    }

    /// The leg's destination, greeted in clear text, so that somebody else may speak TLS with it.
    pub(crate) async fn hold(&self, leg: &Leg) -> Result<Held, Unreachable> {
        let session = async {
            let tcp = self.connect(leg).await?;
            Held::open(tcp, self.config(leg), leg.destination, &self.tls).await
        };
        timeout(REACH_DEADLINE, session)
            .await
            .map_err(|_elapsed| Unreachable::TimedOut)?
    }

    /// A connection to the leg's destination, on which nothing has been said.
    pub(crate) async fn connect(&self, leg: &Leg) -> Result<TcpStream, Unreachable> {
        let connect = (self.egresses).connect(&leg.way, leg.destination.socket_addr());
        let connected = timeout(CONNECT_DEADLINE, connect).await;
        Ok(connected.map_err(|_elapsed| Unreachable::ConnectTimedOut)??)
    }

    fn config(&self, leg: &Leg) -> client::Config {
        client::Config {
            ehlo_name: (leg.way).ehlo_name(leg.ehlo.as_ref(), &self.session.ehlo_name),
            ..self.session.clone()
        }
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "greeting",
        Stage::Ehlo => "EHLO",
        Stage::StartTls => "STARTTLS",
        Stage::Mail => "MAIL",
        Stage::Rcpt => "RCPT",
        Stage::Data => "DATA",
        Stage::Message => "message",
        Stage::Rset => "RSET",
        Stage::Quit => "QUIT",
    }
}

const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// The customer waits for the reply to EHLO, or to its first RCPT, and many give up after 300 s
/// (RFC 5321 section 4.5.3.2.3): reaching the destination, MAIL and RCPT must fit in that.
const REACH_DEADLINE: Duration = Duration::from_secs(120);
/// Shorter than RFC 5321 wants of a client with a queue, because somebody waits behind us; but for the
/// reply to the dot, after which nobody can take the message back: it is given all of its ten minutes
/// (RFC 5321 section 4.5.3.2.6).
const TIMEOUTS: client::Timeouts = client::Timeouts {
    greeting: Duration::from_secs(90),
    ehlo: Duration::from_secs(60),
    starttls: Duration::from_secs(60),
    mail: Duration::from_secs(60),
    rcpt: Duration::from_secs(110),
    data: Duration::from_secs(110),
    data_block: Duration::from_secs(110),
    message: Duration::from_secs(600),
    quit: Duration::from_secs(10),
};
