//! The relay's own leg to the customer's destination.
//!
//! [`Outbound::reach`] connects, greets, starts TLS whenever it is offered, and judges what the destination
//! shows by what the leg requires; the [`Upstream`] then takes one command at a time and answers with the
//! destination's own words.
//!
//! # Diagnostics
//! Returned: [`Unreachable`] before the session takes commands, [`Lost`] after. Neither is logged here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::client::{self, LostCause, Stage};
use relay_proto::proxy;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Identity;
use crate::egress::{ConnectError, Egresses, Leg, NoWay, Way};
use crate::origin::OriginalDst;
use crate::tls;

mod broken;
mod capabilities;
pub mod requirement;
pub mod results;
mod session;
mod trust;

use broken::Broken;
use capabilities::Capabilities;
use requirement::{Requirement, Unsatisfied};
use results::{Ends, Results};
use session::Handshake;
pub(crate) use session::{Answers, Held, Upstream};
pub(crate) use trust::Trust;

/// What all outbound sessions share.
#[derive(Debug)]
pub(crate) struct Outbound {
    session: client::Config,
    tls: Arc<ClientConfig>,
    capabilities: Capabilities,
    egresses: Arc<Egresses>,
    trust: Trust,
    broken: Broken,
    results: Results,
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
    pub(crate) fn new(
        identity: &Identity,
        egresses: Arc<Egresses>,
        trust: Trust,
        results: Results,
    ) -> Self {
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
            trust,
            broken: Broken::default(),
            results,
        }
    }

    /// What destinations were last heard to offer.
    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What came of destinations' TLS.
    pub(crate) fn results(&self) -> &Results {
        &self.results
    }

    /// A session with the leg's destination that takes commands, and shows what the leg requires.
    pub(crate) async fn reach(&self, leg: &Leg) -> Result<Upstream, Unreachable> {
        let session = async {
            let tcp = self.connect(leg).await?;
            let (config, tls) = (self.config(leg), self.handshake(leg));
            if self.may_leave_tls_out(leg) {
                Upstream::open_in_clear(tcp, config, tls).await
            } else {
                Upstream::open(tcp, config, tls).await
            }
        };
        let reached = timeout(REACH_DEADLINE, session)
            .await
            .map_err(|_elapsed| Unreachable::TimedOut)?;
        let upstream = match reached {
            Ok(upstream) => upstream,
            Err(unreachable) => {
                if unreachable.is_for_want_of_tls() {
                    self.broken.failed(leg.destination);
                    let ends = self.ends(&leg.way, leg.destination);
                    self.results
                        .failed(&leg.requirement, results::HANDSHAKE_FAILED, ends);
                }
                return Err(unreachable);
            }
        };
        if upstream.protection().is_tls() {
            self.broken.works(leg.destination);
        }
        self.capabilities
            .learn(leg.destination, *upstream.extensions());
        self.admit(upstream, leg).await
    }

    /// Whether a session with `destination` that there is already shows what is required; keeps the result if so.
    pub(crate) fn holds(
        &self,
        upstream: &Upstream,
        requirement: &Requirement,
        way: &Way,
        destination: OriginalDst,
    ) -> bool {
        let holds = upstream.satisfies(requirement).is_ok();
        if holds {
            match upstream.judge(requirement) {
                Ok(()) => self.results.succeeded(requirement),
                Err(unsatisfied) => {
                    let ends = self.ends(way, destination);
                    let result = result_name(upstream, unsatisfied);
                    self.results.failed(requirement, result, ends);
                }
            }
        }
        holds
    }

    /// For reports.
    fn ends(&self, way: &Way, destination: OriginalDst) -> Ends {
        let destination = destination.socket_addr();
        Ends {
            sending: self.egresses.seen_as(way, destination),
            receiving: Some(destination.ip()),
        }
    }

    /// Ends a session that does not show what is required, before a word of a message; and keeps the result.
    async fn admit(&self, upstream: Upstream, leg: &Leg) -> Result<Upstream, Unreachable> {
        let requirement = &leg.requirement;
        match upstream.judge(requirement) {
            Ok(()) => self.results.succeeded(requirement),
            Err(unsatisfied) => {
                let ends = self.ends(&leg.way, leg.destination);
                let result = result_name(&upstream, unsatisfied);
                self.results.failed(requirement, result, ends);
                if requirement.is_binding() {
                    upstream.quit().await;
                    return Err(unsatisfied.into());
                }
            }
        }
        Ok(upstream)
    }

    /// The leg's destination, greeted in clear text, so that somebody else may speak TLS with it.
    pub(crate) async fn hold(&self, leg: &Leg) -> Result<Held, Unreachable> {
        let session = async {
            let tcp = self.connect(leg).await?;
            Held::open(tcp, self.config(leg), self.handshake(leg)).await
        };
        timeout(REACH_DEADLINE, session)
            .await
            .map_err(|_elapsed| Unreachable::TimedOut)?
    }

    /// A connection to the leg's destination, on which nothing has been said but who sends, if that is to be told.
    pub(crate) async fn connect(&self, leg: &Leg) -> Result<TcpStream, Unreachable> {
        let connect = async {
            let destination = leg.destination.socket_addr();
            let mut tcp = self.egresses.connect(&leg.way, destination).await?;
            if let Some(told) = &leg.told {
                let header = proxy::encode(told).map_err(io::Error::other)?;
                tcp.write_all(&header).await?;
            }
            Ok::<_, ConnectError>(tcp)
        };
        let connected = timeout(CONNECT_DEADLINE, connect).await;
        Ok(connected.map_err(|_elapsed| Unreachable::ConnectTimedOut)??)
    }

    /// Only what the customer says in clear text itself, and nobody has asked more for.
    fn may_leave_tls_out(&self, leg: &Leg) -> bool {
        leg.customer_in_clear && !leg.requirement.is_binding() && self.broken.is(leg.destination)
    }

    fn handshake(&self, leg: &Leg) -> Handshake {
        let name = leg.requirement.server_name();
        let name = name.and_then(|name| ServerName::try_from(name.as_str().to_owned()).ok());
        Handshake {
            config: Arc::clone(&self.tls),
            name: name.unwrap_or_else(|| leg.destination.socket_addr().ip().into()),
            trust: self.trust.clone(),
        }
    }

    fn config(&self, leg: &Leg) -> client::Config {
        client::Config {
            ehlo_name: (leg.way).ehlo_name(leg.ehlo.as_ref(), &self.session.ehlo_name),
            ..self.session.clone()
        }
    }
}

impl Unreachable {
    /// Whether there is no session because STARTTLS was offered and did not come about.
    fn is_for_want_of_tls(&self) -> bool {
        match self {
            Self::OldTls(_) => true,
            Self::Session(lost) => lost.stage == Stage::StartTls,
            Self::NoWay(_)
            | Self::Connect(_)
            | Self::ConnectTimedOut
            | Self::Insecure(_)
            | Self::TimedOut => false,
        }
    }
}

/// What reports say of a session that there is. One in clear text whose destination offers TLS that never works is a
/// handshake that failed, earlier.
fn result_name(upstream: &Upstream, unsatisfied: Unsatisfied) -> &'static str {
    if upstream.leaves_tls_out() {
        results::HANDSHAKE_FAILED
    } else {
        unsatisfied.name()
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
