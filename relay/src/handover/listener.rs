//! Where other relays' mail is taken: listeners that serve whom the configuration knows, and nobody else.
//!
//! # Diagnostics
//! Returned: an address that cannot be bound. Logged: strangers (`warn`, counted), and connections that end early.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::wire::Broken;
use super::{Peers, Taker};
use crate::config::PeersConfig;
use crate::listen::inherited::Inherited;
use crate::listen::{self, BindError, Reach};
use crate::metrics::Counter;

/// Opens the listeners, or takes them from the service manager.
pub fn bind(
    config: &PeersConfig,
    inherited: &mut Inherited,
) -> Result<Vec<std::net::TcpListener>, BindError> {
    let open = |&address: &SocketAddr| {
        let listener = listen::open(address, Reach::Own, inherited);
        listener.map_err(|source| BindError { address, source })
    };
    config.listen.iter().map(open).collect()
}

/// Takes what other relays hand over until `stop` holds true, and then finishes what is being stored.
pub(crate) async fn serve(
    listeners: Vec<std::net::TcpListener>,
    peers: Peers,
    taker: Arc<Taker>,
    stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(GIVERS_MAX));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                error!(%error, "cannot take mail of other relays here");
                continue;
            }
        };
        let accepting_here = accept(
            listener,
            peers.clone(),
            Arc::clone(&taker),
            Arc::clone(&places),
            stop.clone(),
        );
        accepting.spawn(accepting_here);
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(
    listener: TcpListener,
    peers: Peers,
    taker: Arc<Taker>,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
) {
    let mut stopping = stop.clone();
    let mut sessions = JoinSet::new();
    loop {
        let accepted = async {
            // The place first: who has none waits in the kernel.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = begins(&mut stopping) => break,
            Some(_) = sessions.join_next() => {}
            accepted = accepted => match accepted {
                (Ok(place), Ok((stream, address))) => {
                    let (peers, taker, stop) = (peers.clone(), Arc::clone(&taker), stop.clone());
                    sessions.spawn(async move {
                        Box::pin(serve_one(stream, address, &peers, &taker, stop)).await;
                        drop(place);
                    });
                }
                (Ok(_), Err(error)) => {
                    debug!(%error, "cannot accept another relay");
                    sleep(PAUSE).await;
                }
                (Err(_closed), _) => break,
            }
        }
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

async fn begins(stop: &mut watch::Receiver<bool>) {
    // A switch that is gone says stop, too.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn serve_one(
    stream: TcpStream,
    address: SocketAddr,
    peers: &Peers,
    taker: &Taker,
    stop: watch::Receiver<bool>,
) {
    let handshake = timeout(HANDSHAKE, peers.acceptor.accept(stream).into_fallible()).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            taker.metrics.count(Counter::StrangersRefused);
            warn!(peer.addr = %address, %error, "refused: only relays of [[peers.relay]] hand mail over here");
            let_it_hear(stream).await;
            return;
        }
        Err(_elapsed) => {
            taker.metrics.count(Counter::StrangersRefused);
            debug!(peer.addr = %address, "no handshake");
            return;
        }
    };
    let (_, connection) = stream.get_ref();
    let Some(peer) = peers.name_of(connection.peer_certificates()) else {
        // The handshake has judged it already.
        taker.metrics.count(Counter::StrangersRefused);
        return;
    };
    match taker.serve(peer, stream, stop).await {
        Ok(()) => debug!(peer, "a relay has handed over what it had"),
        Err(error @ (Broken::Lost(_) | Broken::Superseded | Broken::Stopping)) => {
            info!(peer, %error, "a hand-over to this relay has ended early");
        }
        Err(error) => warn!(peer, %error, "a hand-over to this relay has ended early"),
    }
}

/// Who has said something that was not read gets a reset when the socket is closed, and with it loses the alert.
async fn let_it_hear(mut stream: TcpStream) {
    let hear = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(HEARD_OCTETS), &mut tokio::io::sink()).await
    };
    let _heard = timeout(PATIENCE, hear).await.is_ok();
}

/// Each has a batch in memory, as far as `message.memory_octets` allows.
const GIVERS_MAX: usize = 4;
const HANDSHAKE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);
const HEARD_OCTETS: u64 = 64 << 10;
const PAUSE: Duration = Duration::from_millis(250);
