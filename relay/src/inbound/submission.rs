//! Connections to the listeners of submission: anybody may come, and nobody may send before he has shown who he is.
//!
//! What the edge diverts and what flags say is not asked here: who is blocked on port 25 is told to come. Places are
//! counted apart from those of customers, so strangers take none of theirs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use relay_proto::reply::Reply;
use relay_proto::server::{self, Session};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::field::Empty;
use tracing::{Instrument, debug, info, info_span};

use super::session::Driver;
use crate::Relay;
use crate::clock::Clock;
use crate::id::SessionId;
use crate::listen::limits::{Full, Permit};
use crate::listen::{Begins, Drain};
use crate::metrics::Counter;
use crate::origin::CustomerAddr;
use crate::stream::Stream;
use crate::submission::Gate;
use crate::treatment::{Nobody, Submission};

/// Serves the connection from `peer` to its end.
pub(super) async fn serve(
    relay: Arc<Relay>,
    begins: Begins,
    tcp: TcpStream,
    peer: SocketAddr,
    drain: Drain,
) {
    let Some((gate, _)) = &relay.submission else {
        return;
    };
    let gate = Arc::clone(gate);
    let id = SessionId::new();
    let span = info_span!(
        "submission",
        session.id = %id,
        customer.addr = %peer.ip(),
        user = Empty,
    );
    let served = async move {
        let entered = enter(&relay, &gate, peer);
        let mut stream = Stream::Plain(tcp);
        let clock = Clock::start();
        match entered {
            Ok(permit) => {
                let submission =
                    Submission::new(Arc::clone(&relay), Arc::clone(&gate), peer, drain);
                let Some(mut submission) = submission else {
                    return;
                };
                let driver = Driver {
                    stream: &mut stream,
                    clock,
                    relay: &relay,
                    connections: &gate.connections,
                };
                run(driver, begins, &mut submission).await;
                Box::pin(submission.end()).await;
                drop(permit);
            }
            Err(reply) => {
                info!(reply.code = reply.code().value(), %reply, "connection refused");
                // What is said in clear text where TLS is expected is read by nobody.
                if begins == Begins::InClear {
                    let driver = Driver {
                        stream: &mut stream,
                        clock,
                        relay: &relay,
                        connections: &gate.connections,
                    };
                    let session = Session::refuse(reply, clock.now());
                    driver.run(session, &mut Nobody).await;
                }
            }
        }
    };
    Box::pin(served.instrument(span)).await;
}

async fn run(driver: Driver<'_>, begins: Begins, submission: &mut Submission) {
    let Some((_, config)) = &driver.relay.submission else {
        return;
    };
    let config = Arc::clone(config);
    let session = match begins {
        Begins::InClear => Session::new(config, driver.clock.now()),
        Begins::UnderTls => {
            let accept = driver
                .stream
                .accept_tls(Bytes::new(), driver.relay.tls.current());
            let accepted = timeout(config.timeouts.handshake, accept).await;
            if let Err(error) = accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                driver.relay.metrics().count(Counter::TlsFailed);
                debug!(%error, "TLS handshake failed");
                return;
            }
            Session::under_tls(config, driver.clock.now())
        }
    };
    driver.run(session, submission).await;
}

/// A place, or what is said instead.
fn enter(relay: &Relay, gate: &Gate, peer: SocketAddr) -> Result<Permit, Reply> {
    let refused = |counter, code, enhanced: &str, text: &str| {
        relay.metrics().count(counter);
        let hostname = &relay.config.identity.hostname;
        Err(Reply::new(code, enhanced, &format!("{hostname} {text}")))
    };
    if relay.newest.borrow().is_none() {
        let text = "starting up and not yet in touch with its controller, try again";
        return refused(Counter::RefusedNoSnapshot, 421, "4.3.2", text);
    }
    if !gate.hears(peer.ip()) {
        let text = "has heard too many wrong passwords from your address, try again in an hour";
        return refused(Counter::AuthLimited, 421, "4.7.0", text);
    }
    match gate.connections.enter(CustomerAddr::new(peer.ip())) {
        Ok(permit) => {
            relay.metrics().count(Counter::SubmissionSessions);
            Ok(permit)
        }
        Err(Full::Relay) => {
            let text = "has too many connections, try again";
            refused(Counter::RefusedFull, 421, "4.3.2", text)
        }
        Err(Full::Customer) => {
            let text = "has too many connections from your address, try again";
            refused(Counter::RefusedCustomerFull, 421, "4.7.0", text)
        }
    }
}

/// What the sessions of submission begin with: what those of customers do, but nobody waits for a greeting, and how many
/// recipients there may be is the user's limit.
pub(crate) fn session_config(of_customers: &server::Config) -> server::Config {
    server::Config {
        pregreet: None,
        max_recipients: RECIPIENTS_MAX,
        max_errors: ERRORS_MAX,
        ..of_customers.clone()
    }
}

/// The most that a user may be given.
const RECIPIENTS_MAX: usize = 10_000;
/// Programs that people have configured make few.
const ERRORS_MAX: u32 = 10;
