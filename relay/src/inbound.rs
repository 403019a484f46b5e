//! One connection from its acceptance to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use relay_proto::server::Session;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tracing::{Instrument, debug, info, info_span};

use crate::Relay;
use crate::admission::{self, Admission};
use crate::clock::Clock;
use crate::id::SessionId;
use crate::listen::{Drain, Source};
use crate::stream::Stream;
use crate::treatment::{self, Nobody};

mod approved;
pub(crate) mod hearing;
pub(crate) mod session;
mod submission;

pub(crate) use submission::session_config as submission_session;

/// Serves the connection from `peer` to its end; `source` is its listener's.
pub(crate) async fn serve(
    relay: Arc<Relay>,
    source: Source,
    mut tcp: TcpStream,
    peer: SocketAddr,
    drain: Drain,
) {
    let prepared = tcp
        .set_nodelay(true)
        .and_then(|()| Ok(sockopt::set_tcp_user_timeout(&tcp, USER_TIMEOUT_MS)?));
    let local = match prepared.and_then(|()| tcp.local_addr()) {
        Ok(local) => local,
        Err(error) => {
            debug!(%error, customer.addr = %peer.ip(), "connection lost before it was served");
            return;
        }
    };
    let id = SessionId::new();
    let admission = match &source {
        Source::Edge(origin) => admission::admit(&relay, &**origin, peer, local),
        Source::Authorised(ranges) => {
            admission::authorised::admit(&relay, ranges, &mut tcp, peer, local).await
        }
        Source::Submission(begins) => {
            return submission::serve(relay, *begins, tcp, peer, drain).await;
        }
    };
    let clock = Clock::start();
    let mut stream = Stream::Plain(tcp);
    let driver = session::Driver {
        stream: &mut stream,
        clock,
        relay: &relay,
        connections: &relay.connections,
    };
    match admission {
        Admission::Refuse(reply) => {
            info!(session.id = %id, customer.addr = %peer.ip(), reply.code = reply.code().value(), %reply, "connection refused");
            let session = Session::refuse(reply, clock.now());
            driver.run(session, &mut Nobody).await;
        }
        Admission::Drop => {}
        Admission::Probe => {
            let session = Session::probe(Arc::clone(&relay.session), clock.now());
            driver.run(session, &mut Nobody).await;
        }
        Admission::Serve {
            admitted,
            original_dst,
            permit,
        } => {
            let span = info_span!(
                "session",
                session.id = %id,
                customer.addr = %admitted.customer,
                original.dst = original_dst.map(display),
                egress = admitted.egress().name(),
            );
            if let Some(destination) = original_dst
                && approved::is_approved(&relay, &admitted, destination)
            {
                let serving = approved::serve(driver, &admitted, destination);
                Box::pin(serving.instrument(span)).await;
                drop(permit);
                return;
            }
            let session = Session::new(Arc::clone(&relay.session), clock.now());
            let relay = Arc::clone(&relay);
            let mut treatment = treatment::choose(relay, admitted, original_dst, id, drain);
            let served = async {
                driver.run(session, &mut treatment).await;
                Box::pin(treatment.end()).await;
            };
            served.instrument(span).await;
            drop(permit);
        }
    }
}

/// A client that has not acknowledged what it was told for so long is gone (RFC 5482). Were it noticed only
/// when the session's own time is over, its next attempt would have come before.
const USER_TIMEOUT_MS: u32 = 120_000;
