//! Fetches a policy: one HTTPS request, as RFC 8461 section 3.3 wants it.
//!
//! The certificate must be valid for `mta-sts.DOMAIN` by an authority of this system. Redirects are not followed; size and time
//! are bounded. The domain's owner chooses where we connect to, but only the port 443 and what TLS for that name ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::text::{Invalid, Policy};
use crate::config::Families;
use crate::dns::{Dns, DnsName};
use crate::outbound::Trust;
use crate::routing::addresses::Addresses;

/// Fetches.
#[derive(Debug)]
pub(super) struct Fetcher {
    dns: Dns,
    tls: Arc<ClientConfig>,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The host of the policy has no address, or none is known.
    #[error("{0} has no address")]
    NoAddress(DnsName),
    /// Connection or TLS.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// Not 200; redirects, too.
    #[error("status {0}")]
    Status(StatusCode),
    /// Not `text/plain`.
    #[error("it is not of type text/plain")]
    Type,
    /// More octets than a policy has.
    #[error("it is too long, or not text")]
    Body,
    /// What came is none.
    #[error("{0}")]
    Policy(#[from] Invalid),
    /// All of it together took too long.
    #[error("not within {} s", DEADLINE.as_secs())]
    TimedOut,
}

impl Failed {
    /// Its name in reports (RFC 8460 section 4.3.2.2).
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Policy(_) => "sts-policy-invalid",
            Self::Connection(error) if is_certificate(error) => "sts-webpki-invalid",
            Self::NoAddress(_)
            | Self::Connection(_)
            | Self::Http(_)
            | Self::Status(_)
            | Self::Type
            | Self::Body
            | Self::TimedOut => "sts-policy-fetch-error",
        }
    }
}

impl Fetcher {
    pub(super) fn new(dns: Dns, trust: &Trust) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default TLS versions")
            .with_root_certificates(Arc::clone(trust.store()))
            .with_no_client_auth();
        Self {
            dns,
            tls: Arc::new(config),
        }
    }

    /// The policy that `domain` publishes now.
    pub(super) async fn fetch(&self, domain: &DnsName) -> Result<Policy, Failed> {
        let fetching = async {
            let host = domain
                .below("mta-sts")
                .ok_or_else(|| Failed::NoAddress(domain.clone()))?;
            let tcp = self.connect(&host).await?;
            let name = ServerName::try_from(host.as_str().to_owned());
            let name = name.map_err(|_not_a_name| Failed::NoAddress(host.clone()))?;
            let tls = TlsConnector::from(Arc::clone(&self.tls));
            let tls = tls.connect(name, tcp).await?;
            get(tls, &host).await
        };
        timeout(DEADLINE, fetching)
            .await
            .unwrap_or(Err(Failed::TimedOut))
    }

    async fn connect(&self, host: &DnsName) -> Result<TcpStream, Failed> {
        let found = Addresses::look_up(&self.dns, host, Families::Ipv6First).await;
        let mut failed = Failed::NoAddress(host.clone());
        for address in found.list.into_iter().take(ADDRESSES_MAX) {
            let connecting = TcpStream::connect(SocketAddr::new(address, HTTPS));
            match timeout(CONNECT_DEADLINE, connecting).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => failed = error.into(),
                Err(_elapsed) => failed = Failed::TimedOut,
            }
        }
        Err(failed)
    }
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    host: &DnsName,
) -> Result<Policy, Failed> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let request = Request::get("/.well-known/mta-sts.txt")
        .header(HOST, host.as_str())
        .header(USER_AGENT, "outgate-relay")
        .body(Empty::<Bytes>::new())
        .expect("a name of the DNS is fit for a header");
    let exchange = async {
        let response = sender.send_request(request).await?;
        let response = acceptable(response)?;
        let body = Limited::new(response.into_body(), POLICY_OCTETS_MAX);
        let body = body.collect().await.map_err(|_too_long| Failed::Body)?;
        let text = String::from_utf8(body.to_bytes().into());
        Ok(Policy::parse(&text.map_err(|_not_text| Failed::Body)?)?)
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        policy = &mut exchange => policy,
        closed = &mut connection => {
            closed?;
            exchange.await
        }
    }
}

fn acceptable<B>(response: Response<B>) -> Result<Response<B>, Failed> {
    if response.status() != StatusCode::OK {
        return Err(Failed::Status(response.status()));
    }
    // Where strangers may put files, they are hardly ever of this type (RFC 8461 section 3.2).
    let media_type = response.headers().get(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next());
    match media_type {
        Some(it) if it.trim().eq_ignore_ascii_case("text/plain") => Ok(response),
        Some(_) | None => Err(Failed::Type),
    }
}

fn is_certificate(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

const HTTPS: u16 = 443;
/// RFC 8461 section 3.3 speaks of a minute; mail waits.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// RFC 8461 section 3.3.
const POLICY_OCTETS_MAX: usize = 64 << 10;
const ADDRESSES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_with_200_is_a_policy() {
        let response = |status: u16, media_type: &str| {
            let response = Response::builder().status(status);
            let response = response.header(CONTENT_TYPE, media_type).body(()).unwrap();
            acceptable(response).map(|_| ())
        };
        assert!(response(200, "text/plain").is_ok());
        assert!(response(200, "Text/Plain; charset=utf-8").is_ok());
        assert!(matches!(response(200, "text/html"), Err(Failed::Type)));
        assert!(matches!(
            response(301, "text/plain"),
            Err(Failed::Status(_))
        ));
        assert!(matches!(
            response(404, "text/plain"),
            Err(Failed::Status(_))
        ));
        assert!(matches!(acceptable(Response::new(())), Err(Failed::Type)));
    }
}
