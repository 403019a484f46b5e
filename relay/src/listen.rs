//! Listeners: from bound sockets to sessions, and to an orderly end.
//!
//! [`bind`] opens every address or none; [`serve`] accepts until it is told to drain, then stops
//! listening at once and gives the sessions until the deadline. A session that is cut off has not
//! said 250, so its sender tries again.
//!
//! # Diagnostics
//! Returned: an address that cannot be bound. Only logged: exhausted file descriptors or memory
//! (`error`; accepting pauses and goes on).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::{Relay, inbound};

pub(crate) mod limits;

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", hint(.source))]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// Whether the relay is to come to an end.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<bool>);

impl Drain {
    /// A drain, and the switch that begins it. Dropping the switch begins it too.
    #[must_use]
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (switch, drain) = watch::channel(false);
        (switch, Self(drain))
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    async fn begins(&mut self) {
        // An error means that nobody is left who could begin it.
        let _begun = self.0.wait_for(|&begun| begun).await.is_ok();
    }
}

/// Opens all of `addresses`. Must run inside of a tokio runtime.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let open = |&address| bind_one(address).map_err(|source| BindError { address, source });
    addresses.iter().map(open).collect()
}

/// Serves on `listeners` until `drain` begins and the sessions have ended or were cut off.
pub async fn serve(relay: Arc<Relay>, listeners: Vec<TcpListener>, drain: Drain) {
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(Arc::clone(&relay), listener, drain.clone()));
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(relay: Arc<Relay>, listener: TcpListener, drain: Drain) {
    let mut stop = drain.clone();
    let mut sessions = JoinSet::new();
    let sessions_max = relay.config.limits.connections + REFUSALS_MAX;
    loop {
        tokio::select! {
            () = stop.begins() => break,
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => match accepted {
                // Telling a flood why it is refused must not itself exhaust the relay.
                Ok((_stream, peer)) if sessions.len() >= sessions_max => {
                    debug!(customer.addr = %peer.ip(), "dropped without a reply");
                }
                Ok((stream, peer)) => {
                    sessions.spawn(serve_one(Arc::clone(&relay), stream, peer, drain.clone()));
                }
                Err(error) if is_exhaustion(&error) => {
                    error!(%error, "cannot accept; raise the limit of open files or lower limits.connections");
                    sleep(EXHAUSTED_PAUSE).await;
                }
                // The peer has gone between its SYN and now.
                Err(error) => debug!(%error, "connection lost before it was accepted"),
            }
        }
    }
    drop(listener);
    let limit = relay.config.limits.drain;
    info!(
        sessions = sessions.len(),
        limit_s = limit.as_secs(),
        "draining"
    );
    let all_ended = async { while sessions.join_next().await.is_some() {} };
    if timeout(limit, all_ended).await.is_err() {
        warn!(
            sessions = sessions.len(),
            "sessions cut off; their senders try again"
        );
    }
}

async fn serve_one(relay: Arc<Relay>, stream: TcpStream, peer: SocketAddr, drain: Drain) {
    // Boxed: an idle task should cost what it holds, not the size of its largest state.
    Box::pin(inbound::serve(relay, stream, peer, drain)).await;
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // A restart must not wait for the TIME_WAIT of yesterday's connections.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // IPv4 arrives at IPv4 listeners only: ::ffff:a.b.c.d as a peer would match no flow.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What an operator can do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; the address is not on this host (yet)",
        io::ErrorKind::AddrInUse => "; something else listens there",
        _ => "",
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

const BACKLOG: i32 = 1024;
/// Connections beyond the limit that are still told why they are refused.
const REFUSALS_MAX: usize = 256;
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(250);
