//! Listeners: from bound sockets to sessions, and to an orderly end.
//!
//! [`bind`], [`bind_transparent`], [`bind_authorised`] and [`bind_submission`] open every address or none, and take those that the service
//! manager has opened before ([`inherited`]); [`serve`] accepts until it is told to
//! drain, then stops listening at once and gives the sessions until the deadline. A session that is
//! cut off has not said 250, so its sender tries again.
//!
//! # Diagnostics
//! Returned: an address that cannot be bound. Only logged: exhausted file descriptors or memory
//! (`error`; accepting pauses and goes on).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::config::{Authorised, Destination, SubmissionConfig};
use crate::listen::inherited::Inherited;
use crate::origin::{Origin, Ranges, Transparent};
use crate::{Relay, inbound, transparent};

pub mod descriptors;
pub mod inherited;
pub(crate) mod limits;
mod pressure;

/// A socket that accepts connections, and what knows where they were going.
pub struct Listener {
    socket: std::net::TcpListener,
    /// As it is configured.
    address: SocketAddr,
    source: Source,
}

/// What knows where a listener's connections were going.
#[derive(Clone)]
pub(crate) enum Source {
    /// The edge diverted them.
    Edge(Arc<dyn Origin>),
    /// They come out of a range that is authorised.
    Authorised(Arc<Ranges>),
    /// They come to submit.
    Submission(Begins),
}

/// How a session of submission begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Port 587.
    InClear,
    /// Port 465.
    UnderTls,
}

impl Source {
    /// The same as `relay` is configured now; `address` is its listener's.
    fn as_of(&self, relay: &Relay, address: SocketAddr) -> Self {
        match (self, relay.ranges.get(&address)) {
            (Self::Authorised(_), Some(ranges)) => Self::Authorised(Arc::clone(ranges)),
            (Self::Edge(_) | Self::Authorised(_) | Self::Submission(_), _) => self.clone(),
        }
    }
}

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

/// Opens all of `addresses`, which are this host's; `origin` knows where their connections were
/// going.
pub fn bind(
    addresses: &[SocketAddr],
    origin: &Arc<dyn Origin>,
    inherited: &mut Inherited,
) -> Result<Vec<Listener>, BindError> {
    let source = Source::Edge(Arc::clone(origin));
    open_all(addresses, Reach::Own, &source, inherited)
}

/// Opens all of `addresses` for connections to addresses that are not this host's. Needs
/// CAP_NET_RAW or CAP_NET_ADMIN.
pub fn bind_transparent(
    addresses: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<Vec<Listener>, BindError> {
    let source = Source::Edge(Arc::new(Transparent));
    open_all(addresses, Reach::Anybodys, &source, inherited)
}

/// Opens the listeners of an authorised range. With `destination = "local-address"` it needs CAP_NET_RAW or
/// CAP_NET_ADMIN.
pub fn bind_authorised(
    authorised: &Authorised,
    inherited: &mut Inherited,
) -> Result<Vec<Listener>, BindError> {
    let source = Source::Authorised(Arc::new(Ranges::new(authorised)));
    let reach = match authorised.destination {
        Destination::LocalAddress => Reach::Anybodys,
        Destination::ProxyV2 { .. } | Destination::SoOriginalDst | Destination::Mx => Reach::Own,
    };
    open_all(&authorised.listen, reach, &source, inherited)
}

/// Opens the listeners of submission.
pub fn bind_submission(
    submission: &SubmissionConfig,
    inherited: &mut Inherited,
) -> Result<Vec<Listener>, BindError> {
    let SubmissionConfig {
        listen, listen_tls, ..
    } = submission;
    let in_clear = Source::Submission(Begins::InClear);
    let mut listeners = open_all(listen, Reach::Own, &in_clear, inherited)?;
    let under_tls = Source::Submission(Begins::UnderTls);
    listeners.extend(open_all(listen_tls, Reach::Own, &under_tls, inherited)?);
    Ok(listeners)
}

/// Whose addresses a listener's connections are made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This host's.
    Own,
    /// Any; the listener is transparent.
    Anybodys,
}

fn open_all(
    addresses: &[SocketAddr],
    reach: Reach,
    source: &Source,
    inherited: &mut Inherited,
) -> Result<Vec<Listener>, BindError> {
    let open = |&address| {
        let socket = open(address, reach, inherited);
        let socket = socket.map_err(|source| BindError { address, source })?;
        let source = source.clone();
        Ok(Listener {
            socket,
            address,
            source,
        })
    };
    addresses.iter().map(open).collect()
}

impl Listener {
    /// Where it listens, with the port that port 0 became.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves on `listeners` until `drain` begins and the sessions have ended or were cut off. A session keeps the relay that
/// `current` held when it began.
pub async fn serve(current: watch::Receiver<Arc<Relay>>, listeners: Vec<Listener>, drain: Drain) {
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(current.clone(), listener, drain.clone()));
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(current: watch::Receiver<Arc<Relay>>, listener: Listener, drain: Drain) {
    let Listener {
        socket,
        address,
        source,
    } = listener;
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            error!(%error, %address, "cannot accept here");
            return;
        }
    };
    let mut stop = drain.clone();
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.begins() => break,
            Some(_) = sessions.join_next() => {}
            accepted = socket.accept() => match accepted {
                // Telling a flood why it is refused must not itself exhaust the relay.
                Ok((_stream, peer)) if sessions.len() >= sessions_max(&current.borrow()) => {
                    debug!(customer.addr = %peer.ip(), "dropped without a reply");
                }
                Ok((stream, peer)) => {
                    let relay = Arc::clone(&current.borrow());
                    let source = source.as_of(&relay, address);
                    sessions.spawn(serve_one(relay, source, stream, peer, drain.clone()));
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
    drop(socket);
    let limit = current.borrow().config.limits.drain;
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

/// Who is told something, be it that there is no place.
fn sessions_max(relay: &Relay) -> usize {
    let submission = relay.config.submission.as_ref();
    let submission = submission.map_or(0, |it| it.limits.connections);
    relay.config.limits.connections.max(submission) + REFUSALS_MAX
}

async fn serve_one(
    relay: Arc<Relay>,
    source: Source,
    stream: TcpStream,
    peer: SocketAddr,
    drain: Drain,
) {
    // Boxed: an idle task should cost what it holds, not the size of its largest state.
    Box::pin(inbound::serve(relay, source, stream, peer, drain)).await;
}

fn socket_for(address: SocketAddr) -> io::Result<OwnedFd> {
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
    Ok(socket)
}

pub(crate) fn open(
    address: SocketAddr,
    reach: Reach,
    inherited: &mut Inherited,
) -> io::Result<std::net::TcpListener> {
    let claimed = inherited.claim(address);
    let is_bound = claimed.is_some();
    let socket = match claimed {
        Some(socket) => adopt(socket, address)?,
        None => socket_for(address)?,
    };
    if reach == Reach::Anybodys {
        transparent::allow(&socket, address)?;
    }
    if !is_bound {
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket.into())
}

/// Makes of somebody else's socket what [`socket_for`] makes.
fn adopt(socket: OwnedFd, address: SocketAddr) -> io::Result<OwnedFd> {
    if address.is_ipv6() && !sockopt::ipv6_v6only(&socket)? {
        let problem =
            "the service manager's socket takes IPv4, too; set BindIPv6Only=ipv6-only in its unit";
        return Err(io::Error::other(problem));
    }
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// What an operator can do about it.
fn hint(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        // setsockopt(IP_TRANSPARENT) says this, bind(2) the next.
        Some(Errno::PERM) => "; a transparent listener needs CAP_NET_RAW (or CAP_NET_ADMIN)",
        Some(Errno::ACCESS) => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        Some(Errno::ADDRNOTAVAIL) => "; the address is not on this host (yet)",
        Some(Errno::ADDRINUSE) => "; something else listens there",
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
