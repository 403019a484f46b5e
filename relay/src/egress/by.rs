//! Connections from an address of this host or through a proxy, and what they teach about that.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::endpoint::{Endpoint, Place};
use super::error::ConnectError;
use super::way::Way;
use super::{pool, socks5};

/// Connects from an address or through a proxy, and learns from it whether that works.
pub(super) async fn by(
    endpoint: &Endpoint,
    way: &Way,
    destination: SocketAddr,
) -> Result<TcpStream, ConnectError> {
    let (result, at_fault) = match &endpoint.place {
        Place::Routed(_) => from_here(None, destination).await,
        Place::Address(address) => from_here(Some(*address), destination).await,
        Place::Proxy(proxy) => match socks5::connect(proxy, destination).await {
            Ok(stream) => (Ok(stream), false),
            Err(socks5::Failure::Network(error)) => (Err(error.into()), false),
            Err(socks5::Failure::Unable(why)) => (Err(ConnectError::Way(why)), false),
            Err(socks5::Failure::Proxy(why)) => (Err(ConnectError::Way(why)), true),
        },
    };
    let why = match &result {
        Err(ConnectError::Way(why)) => why.as_str(),
        Ok(_) | Err(_) => "",
    };
    if at_fault {
        let (pause, is_news) = endpoint.health.fails(Instant::now());
        if is_news {
            error!(egress.way = %way, error = why, pause_s = pause.as_secs(), "an egress fails and is left out");
        } else {
            debug!(egress.way = %way, error = why, pause_s = pause.as_secs(), "an egress fails");
        }
    } else if endpoint.health.works() {
        info!(egress.way = %way, "an egress works again");
    } else if !why.is_empty() {
        info!(egress.way = %way, error = why, "an egress cannot reach a destination");
    }
    result
}

async fn from_here(
    source: Option<IpAddr>,
    destination: SocketAddr,
) -> (Result<TcpStream, ConnectError>, bool) {
    match pool::connect(source, destination).await {
        Ok(stream) => (Ok(stream), false),
        Err(pool::Failure::Network(error)) => (Err(error.into()), false),
        Err(pool::Failure::Address(error)) => (Err(ConnectError::Way(error.to_string())), true),
    }
}
