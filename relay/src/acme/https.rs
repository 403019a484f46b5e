//! Requests to the authority: HTTP over TLS, one connection for each.
//!
//! There are a dozen of them in two months, so nothing is kept open. Names are looked up as all others are, because the
//! sandbox leaves the C library's resolver nothing to read. What comes is bounded in size and time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use jiff::{SignedDuration, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::literal;
use crate::dns::DnsName;
use crate::outbound::Trust;
use crate::routing::Router;

/// Asks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Https {
    router: Router,
    tls: Arc<ClientConfig>,
    /// Until when an authority that has turned us away does not want to be asked.
    busy_until: Arc<Mutex<Option<Timestamp>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Not an `https` URL.
    #[error("{0}: not an https URL")]
    Url(Uri),
    /// The host has no address, or none is known.
    #[error("{0} has no address")]
    NoAddress(String),
    /// Connection or TLS.
    #[error("{host}: {error}")]
    Connection {
        /// Whose.
        host: String,
        /// What.
        error: io::Error,
    },
    /// HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// An error that is none of the protocol's.
    #[error("{0}: status {1}")]
    Status(Uri, StatusCode),
    /// More octets than any answer has.
    #[error("{0}: the answer is too long, or broken off")]
    Body(Uri),
    /// All of it together took too long.
    #[error("{url}: no answer within {} s", DEADLINE.as_secs())]
    TimedOut {
        /// Of whom.
        url: Uri,
    },
}

impl Https {
    pub(super) fn new(router: Router, trust: &Trust) -> Self {
        Self {
            router,
            tls: trust.client_config(),
            busy_until: Arc::default(),
        }
    }

    /// Until when the authority did not want to be asked, if it has said so since this was last asked.
    pub(super) fn take_busy_until(&self) -> Option<Timestamp> {
        let mut busy = self
            .busy_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        busy.take()
    }

    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, Failed> {
        let url = request.uri().clone();
        let (Some("https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(Failed::Url(url));
        };
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_not_a_header| Failed::Url(url.clone()))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, WHO);
        let path = url.path_and_query().cloned();
        *request.uri_mut() = path
            .unwrap_or_else(|| PathAndQuery::from_static("/"))
            .into();
        let tls = self
            .connect(authority.host(), authority.port_u16().unwrap_or(443))
            .await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let exchange = async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await;
            let body = body.map_err(|_too_long| Failed::Body(url.clone()))?;
            Ok::<_, Failed>(Response::from_parts(parts, body.to_bytes()))
        };
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        let response = tokio::select! {
            response = &mut exchange => response?,
            closed = &mut connection => {
                closed?;
                exchange.await?
            }
        };
        self.judge(&url, response)
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TlsStream<TcpStream>, Failed> {
        let no_address = || Failed::NoAddress(host.to_owned());
        let connection = |error| Failed::Connection {
            host: host.to_owned(),
            error,
        };
        let addresses = match literal(host) {
            Some(address) => vec![address],
            None => {
                let name = DnsName::new(host).map_err(|_not_a_name| no_address())?;
                self.router.addresses(&name).await
            }
        };
        let bare = literal(host).map_or_else(|| host.to_owned(), |address| address.to_string());
        let name = ServerName::try_from(bare).map_err(|_not_a_name| no_address())?;
        let mut failed = no_address();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            match timeout(CONNECT_DEADLINE, connecting).await {
                Ok(Ok(tcp)) => {
                    let tls = TlsConnector::from(Arc::clone(&self.tls));
                    return tls.connect(name, tcp).await.map_err(connection);
                }
                Ok(Err(error)) => failed = connection(error),
                Err(_elapsed) => failed = connection(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(failed)
    }

    /// Remembers what is said of the next question, and tells errors of this protocol from those of whoever is in front.
    fn judge(&self, url: &Uri, response: Response<Bytes>) -> Result<Response<Bytes>, Failed> {
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        if let Some(until) = retry_after(response.headers(), Timestamp::now()) {
            let mut busy = self
                .busy_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *busy = Some(until);
        }
        // RFC 8555 section 6.7.
        let media_type = response.headers().get(CONTENT_TYPE);
        match media_type.map(HeaderValue::as_bytes) {
            Some(media_type) if media_type.starts_with(b"application/problem+json") => Ok(response),
            Some(_) | None => Err(Failed::Status(url.clone(), status)),
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>>;

impl HttpClient for Https {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answering {
        let this = self.clone();
        Box::pin(async move {
            let url = request.uri().clone();
            let answer = timeout(DEADLINE, this.exchange(request)).await;
            let answer = answer.unwrap_or(Err(Failed::TimedOut { url }));
            answer
                .map(|response| {
                    let (parts, body) = response.into_parts();
                    BytesResponse {
                        parts,
                        body: Box::new(body),
                    }
                })
                .map_err(|failed| instant_acme::Error::Other(Box::new(failed)))
        })
    }
}

/// RFC 9110 section 10.2.3: seconds, or a date. Nobody is believed who asks for more than [`RETRY_AFTER_MAX`].
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let until = match value.parse::<u32>() {
        Ok(seconds) => now
            .saturating_add(SignedDuration::from_secs(seconds.into()))
            .ok()?,
        Err(_) => jiff::fmt::rfc2822::parse(value).ok()?.timestamp(),
    };
    Some(until.min(now.saturating_add(RETRY_AFTER_MAX).ok()?))
}

const WHO: HeaderValue = HeaderValue::from_static(concat!(
    "outgate-relay/",
    env!("CARGO_PKG_VERSION"),
    " instant-acme"
));
const DEADLINE: Duration = Duration::from_secs(60);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The longest limits of usual authorities are those of a week.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(8 * 24);
const ANSWER_OCTETS_MAX: usize = 1 << 20;
const ADDRESSES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_says_when_it_wants_to_be_asked_again() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (value, expected) in [
            ("0", Some("2026-01-01T00:00:00Z")),
            (" 3600 ", Some("2026-01-01T01:00:00Z")),
            (
                "Thu, 01 Jan 2026 02:03:04 GMT",
                Some("2026-01-01T02:03:04Z"),
            ),
            ("4000000000", Some("2026-01-09T00:00:00Z")),
            (
                "Thu, 01 Jan 2099 00:00:00 GMT",
                Some("2026-01-09T00:00:00Z"),
            ),
            ("soon", None),
            ("", None),
        ] {
            let headers =
                HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
            let until = retry_after(&headers, now).map(|it| it.to_string());
            assert_eq!(until.as_deref(), expected, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
