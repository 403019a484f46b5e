//! A TCP connection that can become a TLS connection in place.
//!
//! STARTTLS changes what the octets mean and nothing else; both legs therefore keep one [`Stream`]
//! from the greeting to the end. A failed handshake leaves it closed: there is no way back to
//! clear text, which would be a downgrade.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::unacknowledged;

mod rewound;

use rewound::Rewound;

/// One connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Clear text.
    Plain(TcpStream),
    /// TLS, either side.
    Tls(Box<TlsStream<Rewound>>),
    /// A handshake failed.
    Closed,
}

/// How one leg of a message's way was protected, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Protection {
    version: Option<ProtocolVersion>,
    suite: Option<CipherSuite>,
}

impl Protection {
    /// Whether there is TLS.
    pub(crate) fn is_tls(self) -> bool {
        self.version.is_some()
    }

    /// `TLSv1_3`; `None` in clear text.
    pub(crate) fn version(self) -> Option<&'static str> {
        self.version.and_then(|version| version.as_str())
    }

    /// `TLS13_AES_256_GCM_SHA384`; `None` in clear text.
    pub(crate) fn cipher(self) -> Option<&'static str> {
        self.suite.and_then(|suite| suite.as_str())
    }
}

impl Stream {
    /// Becomes TLS, as the server; `kept` is what was already read of it.
    pub(crate) async fn accept_tls(
        &mut self,
        kept: Bytes,
        config: Arc<ServerConfig>,
    ) -> io::Result<()> {
        let tcp = Rewound::new(kept, self.take_plain()?);
        let tls = TlsAcceptor::from(config).accept(tcp).await?;
        *self = Self::Tls(Box::new(tls.into()));
        Ok(())
    }

    /// Becomes TLS, as the client.
    pub(crate) async fn connect_tls(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let tcp = Rewound::new(Bytes::new(), self.take_plain()?);
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        *self = Self::Tls(Box::new(tls.into()));
        Ok(())
    }

    /// How the octets of this connection are protected.
    pub(crate) fn protection(&self) -> Protection {
        let Self::Tls(tls) = self else {
            return Protection::default();
        };
        let (_tcp, connection) = tls.get_ref();
        Protection {
            version: connection.protocol_version(),
            suite: connection
                .negotiated_cipher_suite()
                .map(|suite| suite.suite()),
        }
    }

    /// What the peer showed in the handshake, its own certificate first; `None` in clear text.
    pub(crate) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Tls(tls) => Some(tls.get_ref().1.peer_certificates().unwrap_or_default()),
            Self::Plain(_) | Self::Closed => None,
        }
    }

    /// Octets that were written and that the peer's TCP has not acknowledged.
    pub(crate) fn unacknowledged_octets(&self) -> io::Result<i32> {
        match self {
            Self::Plain(tcp) => unacknowledged::octets(tcp),
            Self::Tls(tls) => unacknowledged::octets(tls.get_ref().0),
            Self::Closed => Err(closed()),
        }
    }

    /// Closes so that the peer can still read our last words: a socket closed with unread input is
    /// reset, and a reset discards what the peer has not read yet (RFC 1122 section 4.2.2.13).
    pub(crate) async fn close(&mut self) {
        let lingering = async {
            self.shutdown().await?;
            let mut rest = vec![0; 4096];
            while self.read(&mut rest).await? > 0 {}
            Ok::<(), io::Error>(())
        };
        match timeout(LINGER, lingering).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!(%error, "connection did not close cleanly"),
        }
        *self = Self::Closed;
    }

    /// The connection itself, which nobody speaks TLS on yet.
    pub(crate) fn take_plain(&mut self) -> io::Result<TcpStream> {
        match std::mem::replace(self, Self::Closed) {
            Self::Plain(tcp) => Ok(tcp),
            Self::Tls(_) | Self::Closed => Err(closed()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, octets),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, octets),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// How long a peer may take to read our last words and close its side.
const LINGER: Duration = Duration::from_secs(2);
