//! One question over a Unix socket, one answer: HTTP/1.1, a connection for each.
//!
//! The caller sets the deadline; whoever gives up leaves nothing behind. Which statuses are good is the caller's business.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens, or may be asked.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The exchange broke.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The answer is longer than it may be, or was cut off.
    #[error("answer body: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// Asks, and reads an answer of at most `octets_max`.
pub async fn ask(
    socket: &Path,
    request: Request<Full<Bytes>>,
    octets_max: usize,
) -> Result<(StatusCode, Bytes), AskError> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let _connection = AbortOnDrop(tokio::spawn(connection));
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), octets_max);
    let octets = body.collect().await.map_err(AskError::Body)?.to_bytes();
    Ok((status, octets))
}

/// A task that must not outlive the question it serves.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
