//! A report by HTTPS (RFC 8460 section 5.4): one request, bounded in time.
//!
//! The certificate must be valid for the host, although a reporter may be lenient there: a report names addresses, and is for
//! nobody but the domain. Redirects are not followed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::dns::DnsName;
use crate::https::{Https, Unconnected};

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Connection or TLS.
    #[error("{0}")]
    Connection(#[from] Unconnected),
    /// HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The path is none that HTTP knows.
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    /// Not of class 2.
    #[error("status {0}")]
    Status(StatusCode),
    /// All of it together took too long.
    #[error("not within {} s", DEADLINE.as_secs())]
    TimedOut,
}

/// Hands over a compressed report.
pub(super) async fn post(
    https: &Https,
    host: &DnsName,
    target: &str,
    file: Vec<u8>,
) -> Result<(), Failed> {
    let posting = async {
        let request = Request::post(target)
            .header(HOST, host.as_str())
            .header(USER_AGENT, "outgate-relay")
            .header(CONTENT_TYPE, "application/tlsrpt+gzip")
            .body(Full::new(Bytes::from(file)))?;
        let io = TokioIo::new(https.connect(host).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(sender.send_request(request));
        // The head of the answer says it all.
        let response = tokio::select! {
            response = &mut exchange => response?,
            closed = &mut connection => {
                closed?;
                exchange.await?
            }
        };
        if response.status().is_success() {
            Ok(())
        } else {
            Err(Failed::Status(response.status()))
        }
    };
    timeout(DEADLINE, posting)
        .await
        .unwrap_or(Err(Failed::TimedOut))
}

const DEADLINE: Duration = Duration::from_secs(60);
