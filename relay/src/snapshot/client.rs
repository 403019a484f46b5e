//! The relay's side of the contract with the controller: a long poll for the next snapshot.
//!
//! Asking with `have=G` acknowledges generation `G`, and on that word the edge begins to divert. So
//! the order here is fixed: a snapshot is put into force, then made durable, and only then is
//! it named in a question. If the disk refuses, the relay goes on with what it has just
//! learnt but does not acknowledge it.
//!
//! # Diagnostics
//! Only logged: a controller that is away (`warn` when contact is lost, `info` when it is back), a
//! cache that cannot be written (`error`). The client never gives up.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use contract::{Generation, Snapshot};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::{Newest, cache, put_into_force};
use crate::config::Controller;

/// Why a question to the controller went without an answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("no answer within {ANSWER_DEADLINE:?}")]
    Silence,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("answer body: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("not a snapshot: {0}")]
    Nonsense(#[from] serde_json::Error),
}

/// Follows the controller for ever. `have` is the generation that is durable in the cache.
pub async fn follow(
    relay_name: String,
    controller: Controller,
    newest: watch::Sender<Newest>,
    mut have: Generation,
) {
    let mut backoff = Backoff::default();
    loop {
        match ask(&controller.socket, &relay_name, have).await {
            Ok(answer) => {
                if backoff.reset() {
                    info!(generation = have.0, "controller is back");
                }
                let Some(snapshot) = answer else { continue };
                let generation = snapshot.generation;
                info!(
                    generation = generation.0,
                    customers = snapshot.customers.len(),
                    "snapshot in force"
                );
                put_into_force(&newest, snapshot.clone());
                match store(&controller.cache, snapshot).await {
                    Ok(()) => have = generation,
                    Err(error) => {
                        let cache = controller.cache.display();
                        error!(%error, %cache, "snapshot is not durable and not acknowledged");
                        sleep(backoff.next_pause()).await;
                    }
                }
            }
            Err(error) => {
                if !backoff.is_running() {
                    warn!(%error, generation = have.0, "lost the controller; the last snapshot stays in force");
                }
                sleep(backoff.next_pause()).await;
            }
        }
    }
}

/// One question; `None` is the controller's "nothing newer".
async fn ask(socket: &Path, relay: &str, have: Generation) -> Result<Option<Snapshot>, AskError> {
    let exchange = async {
        let stream = TokioIo::new(UnixStream::connect(socket).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let _connection = AbortOnDrop(tokio::spawn(connection));
        let path = format!(
            "/v1/relays/{relay}/snapshot?have={}&wait_s={}",
            have.0,
            WAIT.as_secs()
        );
        let request = Request::get(path)
            .header(header::HOST, "outgated")
            .body(Empty::<Bytes>::new())
            .expect("the relay's name was checked to fit a path");
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => {
                let body = Limited::new(response.into_body(), SNAPSHOT_OCTETS_MAX);
                let body = body.collect().await.map_err(AskError::Body)?.to_bytes();
                Ok(Some(serde_json::from_slice(&body)?))
            }
            status => Err(AskError::Status(status)),
        }
    };
    timeout(ANSWER_DEADLINE, exchange)
        .await
        .unwrap_or(Err(AskError::Silence))
}

async fn store(path: &Path, snapshot: Snapshot) -> io::Result<()> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || cache::store(&path, &snapshot)).await?
}

/// A task that must not outlive the question it serves.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pauses that double up to a limit, with jitter so that a pool's relays do not come back in step.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn is_running(&self) -> bool {
        self.failures > 0
    }

    /// Back to no failure; whether there had been one.
    fn reset(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    fn next_pause(&mut self) -> Duration {
        let full = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(fastrand::f64() / 2.0 + 0.5)
    }
}

/// How long the controller may hold a question; below its own cap of 60 s.
const WAIT: Duration = Duration::from_secs(50);
/// When a held question counts as lost.
const ANSWER_DEADLINE: Duration = Duration::from_secs(70);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Short, because a redirect waits for us: the controller's answer to `flag add` waits 5 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A million customers with a sentence of reason each.
const SNAPSHOT_OCTETS_MAX: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_anew() {
        let mut backoff = Backoff::default();
        assert!(!backoff.reset());
        let pauses: Vec<_> = (0..40).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= FIRST_PAUSE);
        assert!(pauses[39] >= LONGEST_PAUSE / 2 && pauses[39] <= LONGEST_PAUSE);
        assert!(backoff.reset());
        assert!(backoff.next_pause() <= FIRST_PAUSE);
    }
}
