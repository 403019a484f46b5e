//! The doors of the API: the Unix socket, and TLS over TCP.
//!
//! Every request comes with the [`Peer`] whose connection it came by. A door has a bound on its connections, and a peer
//! that says nothing is not waited for: the TLS handshake and each request's header have a deadline. When the controller
//! stops, open requests are answered and connections end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use nix::unistd::{Uid, User};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    pin,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::tls::{Tls, names};
use crate::controller::Controller;

/// Who is at the other end of a connection, before it has asked for anything.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// A process on this host, by the name of its user, or its number where it has none.
    User(String),
    /// Somebody over TLS, by the names of the certificate that was shown and vouched for.
    Remote(Vec<String>),
}

/// What connections come by.
#[derive(Debug)]
pub(crate) enum Listener {
    /// The Unix socket.
    Socket(UnixListener),
    /// TLS over TCP.
    Tls(TcpListener, Arc<Tls>),
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "api.listen: {address}: {source}; choose an address of this host and a port that nothing else listens on"
)]
pub(crate) struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// A connection that has come.
enum Arrival {
    Socket(UnixStream),
    Tls(TcpStream, Arc<Tls>),
}

impl Listener {
    /// Listens on an address.
    pub(crate) async fn bind(address: SocketAddr, tls: Arc<Tls>) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ListenError { address, source })?;
        Ok(Self::Tls(listener, tls))
    }

    /// Serves who comes, until the controller stops and every open request is answered.
    pub(crate) async fn serve(self, router: Router, controller: Arc<Controller>) {
        let places = Arc::new(Semaphore::new(match &self {
            Self::Socket(_) => LOCAL_MAX,
            Self::Tls(..) => REMOTE_MAX,
        }));
        let mut conversations = JoinSet::new();
        loop {
            // Who finds no place waits in the kernel's queue.
            let arrived = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.accept().await)
            };
            let (place, arrived) = tokio::select! {
                arrived = arrived => arrived,
                () = controller.stopped() => break,
            };
            match (place, arrived) {
                (Ok(place), Ok(arrival)) => {
                    let (router, controller) = (router.clone(), Arc::clone(&controller));
                    conversations.spawn(arrival.converse(router, controller, place));
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection to the API was not accepted");
                    // Out of file descriptors: more of the same would follow at once.
                    sleep(PAUSE).await;
                }
                // The semaphore is never closed.
                (Err(_closed), Ok(_)) => break,
            }
            while conversations.try_join_next().is_some() {}
        }
        drop(self);
        while conversations.join_next().await.is_some() {}
    }

    async fn accept(&self) -> io::Result<Arrival> {
        Ok(match self {
            Self::Socket(listener) => Arrival::Socket(listener.accept().await?.0),
            Self::Tls(listener, tls) => Arrival::Tls(listener.accept().await?.0, Arc::clone(tls)),
        })
    }
}

impl Arrival {
    async fn converse(
        self,
        router: Router,
        controller: Arc<Controller>,
        _place: OwnedSemaphorePermit,
    ) {
        match self {
            Self::Socket(stream) => match user(&stream).await {
                Ok(name) => converse(stream, Peer::User(name), router, controller).await,
                Err(error) => tracing::debug!(%error, "whose connection it is cannot be told"),
            },
            Self::Tls(stream, tls) => {
                let accepting = TlsAcceptor::from(tls.current()).accept(stream);
                let stream = match timeout(HANDSHAKE_WITHIN, accepting).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return tracing::debug!(%error, "no TLS with a peer"),
                    Err(_elapsed) => return tracing::debug!("no TLS with a peer in time"),
                };
                let certificates = stream.get_ref().1.peer_certificates();
                let own = certificates.and_then(|chain| chain.first());
                let peer = Peer::Remote(own.map(names).unwrap_or_default());
                converse(stream, peer, router, controller).await;
            }
        }
    }
}

/// Serves the requests of one connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    router: Router,
    controller: Arc<Controller>,
) {
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = controller.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API broke");
    }
}

/// Name of the user whose process is at the other end, as the kernel says it.
async fn user(stream: &UnixStream) -> io::Result<String> {
    let uid = stream.peer_cred()?.uid();
    // Where users are looked up is the host's affair, and may take a while.
    let found = spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await;
    let found = found.map_err(io::Error::other)?;
    Ok(match found {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    })
}

/// Relays, people and programs of this host.
const LOCAL_MAX: usize = 1024;
const REMOTE_MAX: usize = 512;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Also how long a connection may rest between two requests.
const HEADER_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
