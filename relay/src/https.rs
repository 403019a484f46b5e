//! Connections to HTTPS servers that a stranger's DNS has named: where a domain's policy is, where its reports go.
//!
//! Whoever owns the domain chooses where we connect to, but only the port 443 and a certificate for that very name, by an
//! authority that this host trusts, lead any further. Nobody makes us speak to ourselves.
//!
//! # Diagnostics
//! Returned: [`Unconnected`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Families;
use crate::dns::{Dns, DnsName};
use crate::outbound::Trust;
use crate::routing::Addresses;

/// Connects. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Https {
    dns: Dns,
    tls: Arc<ClientConfig>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unconnected {
    /// The host has no address, or none is known.
    #[error("{0} has no address")]
    NoAddress(DnsName),
    /// TCP or TLS.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nobody answers.
    #[error("no connection within {} s", CONNECT_DEADLINE.as_secs())]
    TimedOut,
}

impl Https {
    /// With the authorities in `trust`.
    pub(crate) fn new(dns: Dns, trust: &Trust) -> Self {
        Self {
            dns,
            tls: trust.client_config(),
        }
    }

    /// A connection to `host`, which has shown that it is that. The caller bounds the time of the handshake.
    pub(crate) async fn connect(
        &self,
        host: &DnsName,
    ) -> Result<TlsStream<TcpStream>, Unconnected> {
        let tcp = self.tcp(host).await?;
        let name = ServerName::try_from(host.as_str().to_owned());
        let name = name.map_err(|_not_a_name| Unconnected::NoAddress(host.clone()))?;
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        Ok(tls.connect(name, tcp).await?)
    }

    async fn tcp(&self, host: &DnsName) -> Result<TcpStream, Unconnected> {
        let found = Addresses::look_up(&self.dns, host, Families::Ipv6First).await;
        let mut failed = Unconnected::NoAddress(host.clone());
        for address in found.list.into_iter().take(ADDRESSES_MAX) {
            let connecting = TcpStream::connect(SocketAddr::new(address, HTTPS));
            match timeout(CONNECT_DEADLINE, connecting).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => failed = error.into(),
                Err(_elapsed) => failed = Unconnected::TimedOut,
            }
        }
        Err(failed)
    }
}

const HTTPS: u16 = 443;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const ADDRESSES_MAX: usize = 4;
