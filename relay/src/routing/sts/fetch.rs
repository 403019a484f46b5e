//! Fetches a policy: one HTTPS request, as RFC 8461 section 3.3 wants it.
//!
//! The certificate must be valid for `mta-sts.DOMAIN` by an authority of this system. Redirects are not followed; size and time
//! are bounded. The domain's owner chooses where we connect to, but only the port 443 and what TLS for that name ends.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::text::{Invalid, Policy};
use crate::dns::DnsName;
use crate::https::{Https, Unconnected};

/// Fetches.
#[derive(Debug)]
pub(super) struct Fetcher(Https);

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Its host cannot have a name.
    #[error("{0} has no room for a policy below it")]
    NoHost(DnsName),
    /// Connection or TLS.
    #[error("{0}")]
    Connection(#[from] Unconnected),
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
            Self::Connection(Unconnected::Io(error)) if is_certificate(error) => {
                "sts-webpki-invalid"
            }
            Self::NoHost(_)
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
    pub(super) fn new(https: Https) -> Self {
        Self(https)
    }

    /// The policy that `domain` publishes now.
    pub(super) async fn fetch(&self, domain: &DnsName) -> Result<Policy, Failed> {
        let fetching = async {
            let host = domain.below("mta-sts");
            let host = host.ok_or_else(|| Failed::NoHost(domain.clone()))?;
            let stream = self.0.connect(&host).await?;
            get(stream, &host).await
        };
        timeout(DEADLINE, fetching)
            .await
            .unwrap_or(Err(Failed::TimedOut))
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

/// RFC 8461 section 3.3 speaks of a minute; mail waits.
const DEADLINE: Duration = Duration::from_secs(30);
/// RFC 8461 section 3.3.
const POLICY_OCTETS_MAX: usize = 64 << 10;

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
