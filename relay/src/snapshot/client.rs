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
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::{Newest, cache, put_into_force};
use crate::backoff::Backoff;
use crate::config::Controller;
use crate::unix_http;

/// Why a question to the controller went without an answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{0}")]
    Exchange(#[from] unix_http::AskError),
    #[error("no answer within {ANSWER_DEADLINE:?}")]
    Silence,
    #[error("status {0}")]
    Status(StatusCode),
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
    let path = format!(
        "/v1/relays/{relay}/snapshot?have={}&wait_s={}",
        have.0,
        WAIT.as_secs()
    );
    let request = Request::get(path)
        .header(header::HOST, "outgated")
        .body(Full::new(Bytes::new()))
        .expect("the relay's name was checked to fit a path");
    let exchange = unix_http::ask(socket, request, SNAPSHOT_OCTETS_MAX);
    let answered = timeout(ANSWER_DEADLINE, exchange).await;
    match answered.map_err(|_elapsed| AskError::Silence)?? {
        (StatusCode::NO_CONTENT, _) => Ok(None),
        (StatusCode::OK, body) => Ok(Some(serde_json::from_slice(&body)?)),
        (status, _) => Err(AskError::Status(status)),
    }
}

async fn store(path: &Path, snapshot: Snapshot) -> io::Result<()> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || cache::store(&path, &snapshot)).await?
}

/// How long the controller may hold a question; below its own cap of 60 s.
const WAIT: Duration = Duration::from_secs(50);
/// When a held question counts as lost.
const ANSWER_DEADLINE: Duration = Duration::from_secs(70);
/// A million customers with a sentence of reason each.
const SNAPSHOT_OCTETS_MAX: usize = 512 << 20;
