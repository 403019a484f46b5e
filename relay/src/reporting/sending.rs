//! Batches on their way to the controller.
//!
//! One is on the way at a time. What is not answered is sent again after a pause; what the controller refuses as
//! nonsense is sent in ever smaller parts, until the one event that it cannot take is found and thrown away, so that it
//! does not hold up the others for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::event::{BATCH_EVENTS_MAX, Happening, Taken};
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::{Desk, journal, locked};
use crate::backoff::Backoff;
use crate::unix_http::{self, AskError};

/// Where events go.
#[derive(Debug)]
pub(super) struct Way {
    socket: PathBuf,
    path: String,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0}")]
    Exchange(#[from] AskError),
    #[error("no answer within {ANSWER_DEADLINE:?}")]
    Silence,
    #[error("status {0}: {1}")]
    Status(StatusCode, String),
    #[error("not an answer: {0}")]
    Nonsense(#[from] serde_json::Error),
    #[error("an answer about other events")]
    OtherEvents,
}

impl Way {
    pub(super) fn new(socket: &Path, relay: &str) -> Self {
        Self {
            socket: socket.to_owned(),
            path: format!("/v1/relays/{relay}/events"),
        }
    }

    /// Sends one batch; through which number it was taken.
    async fn send(&self, run: &str, texts: &[Arc<str>]) -> Result<u64, SendError> {
        let body = format!(r#"{{"epoch":"{run}","events":[{}]}}"#, texts.join(","));
        let request = Request::post(self.path.as_str())
            .header(header::HOST, "outgated")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .expect("the relay's name was checked to fit a path");
        let exchange = unix_http::ask(&self.socket, request, ANSWER_OCTETS_MAX);
        let answered = timeout(ANSWER_DEADLINE, exchange).await;
        let (status, body) = answered.map_err(|_elapsed| SendError::Silence)??;
        if status != StatusCode::OK {
            let said = String::from_utf8_lossy(&body).into_owned();
            return Err(SendError::Status(status, said));
        }
        let taken: Taken = serde_json::from_slice(&body)?;
        if taken.epoch != run {
            return Err(SendError::OtherEvents);
        }
        Ok(taken.through)
    }
}

impl SendError {
    /// Whether the controller understands what it is asked, and not what it is told.
    fn refuses(&self) -> bool {
        match self {
            Self::Status(status, _) => matches!(
                *status,
                StatusCode::BAD_REQUEST
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::UNPROCESSABLE_ENTITY
            ),
            Self::Exchange(_) | Self::Silence | Self::Nonsense(_) | Self::OtherEvents => false,
        }
    }
}

impl Desk {
    /// Sends for ever.
    pub(super) async fn send(&self) {
        let mut backoff = Backoff::default();
        let mut at_most = BATCH_EVENTS_MAX;
        loop {
            let Some((run, texts, last)) = self.next_batch(at_most) else {
                self.to_send.notified().await;
                // More may come with it.
                sleep(LINGER).await;
                continue;
            };
            match self.way.send(&run, &texts).await {
                Ok(through) if through >= last => {
                    if backoff.reset() {
                        info!("the controller takes events again");
                    }
                    self.taken(&run, last);
                    at_most = (at_most * 2).min(BATCH_EVENTS_MAX);
                    continue;
                }
                Ok(_) => warn!("the controller has taken a part of a batch alone"),
                Err(error) if error.refuses() && texts.len() > 1 => {
                    at_most = texts.len() / 2;
                    warn!(%error, events = texts.len(), "the controller refuses events; sending fewer at once");
                }
                Err(error) if error.refuses() => {
                    error!(%error, event = &*texts[0], "an event that the controller refuses is thrown away");
                    self.taken(&run, last);
                    self.note(None, None, Happening::Lost { events: 1 });
                    continue;
                }
                Err(error) => {
                    if !backoff.is_running() {
                        warn!(%error, "the controller takes no events; they wait");
                    }
                }
            }
            locked(&self.book).buffer.give_up();
            sleep(backoff.next_pause()).await;
        }
    }

    /// What goes next: the run, the events' texts, and the last one's number. Looks at the page cache for a moment.
    fn next_batch(&self, at_most: usize) -> Option<(Arc<str>, Vec<Arc<str>>, u64)> {
        let (batch, file) = {
            let mut book = locked(&self.book);
            let unwritten = book.unwritable;
            let batch = book.buffer.batch(at_most, BATCH_TEXT_OCTETS, unwritten);
            (batch, book.file.clone())
        };
        let run = batch.first().map(|entry| Arc::clone(&entry.run))?;
        let mut texts = Vec::with_capacity(batch.len());
        let mut last = 0;
        for entry in &batch {
            let text = match &file {
                Some(file) => journal::text(file, &entry.place),
                None => journal::memory(&entry.place),
            };
            match text {
                Ok(text) => texts.push(text),
                // What stands before it goes first.
                Err(_) if !texts.is_empty() => break,
                Err(error) => {
                    error!(%error, seq = entry.seq, "an event cannot be read back, and is lost");
                    self.taken(&run, entry.seq);
                    self.note(None, None, Happening::Lost { events: 1 });
                    return self.next_batch(at_most);
                }
            }
            last = entry.seq;
        }
        Some((run, texts, last))
    }

    fn taken(&self, run: &Arc<str>, through: u64) {
        let mut book = locked(&self.book);
        book.buffer.take(run, through);
        book.taken = Some((Arc::clone(run), through));
        drop(book);
        self.to_write.notify_one();
    }
}

/// Half of what the controller takes: texts alone, without what is around them.
const BATCH_TEXT_OCTETS: u64 = 1 << 20;
const LINGER: Duration = Duration::from_millis(50);
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_OCTETS_MAX: usize = 64 << 10;
