//! The scanner that needs no other program and no network: the embedded classifier.
//!
//! What it says goes into the sum of log-odds. It calls a message spam by itself from `reject_at` on, by default the
//! model's own threshold; a model that is only advisory, as the one that comes with the relay, has none.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::verdict::{Concern, Finding, OnError};
use tokio::task::spawn_blocking;

use super::{Opinion, Scan, ScanError, Scanner, Stage, Submission, Terms};
use crate::classifier::features::LOOKED_AT_OCTETS;
use crate::classifier::{Judged, Live, Unscannable, log_odds};
use crate::config::ClassifierConfig;

/// The scanner.
#[derive(Debug)]
pub(super) struct Classifier {
    live: Arc<Live>,
    /// In log-odds.
    reject_at: f64,
    deadline: Duration,
    on_error: OnError,
}

impl Classifier {
    /// As it is configured.
    pub(super) fn new(config: &ClassifierConfig, live: Arc<Live>) -> Self {
        let model = live.model();
        let own = if model.provenance().advisory {
            f64::INFINITY
        } else {
            model.threshold()
        };
        Self {
            reject_at: config.reject_at.map_or(own, log_odds),
            live,
            deadline: config.deadline,
            on_error: config.on_error,
        }
    }

    async fn ask(&self, submission: &Submission) -> Result<Opinion, ScanError> {
        // One octet more shows that there is more.
        let content = submission.content.beginning(LOOKED_AT_OCTETS + 1).await;
        let content = content.map_err(ScanError::Message)?;
        let live = Arc::clone(&self.live);
        // Work for the processor, not for the threads that serve sockets.
        let judged = spawn_blocking(move || live.judge(&content, EXPLAINED_FROM)).await;
        Ok(self.opinion(judged.map_err(|_panic| ScanError::Panicked)?))
    }

    fn opinion(&self, judged: Result<Judged, Unscannable>) -> Opinion {
        let judged = match judged {
            Ok(judged) => judged,
            Err(why) => {
                let reason = why.to_string();
                return Opinion::from(Finding::Unscannable { reason });
            }
        };
        let reasons: Vec<String> = judged.reasons.iter().map(|it| it.what.clone()).collect();
        let finding = if judged.log_odds >= self.reject_at {
            let told = reasons.iter().take(REASONS_TOLD).map(String::as_str);
            let told = told.collect::<Vec<_>>().join(", ");
            Finding::Found {
                concern: Concern::Spam,
                reason: format!("the content resembles spam: {told}"),
            }
        } else {
            Finding::Clean
        };
        Opinion {
            finding,
            score: Some(judged.log_odds),
            log_odds: Some(self.live.model().advice(judged.log_odds)),
            reasons,
        }
    }
}

impl Scanner for Classifier {
    fn terms(&self) -> Terms {
        Terms {
            name: "classifier",
            stage: Stage::Body,
            deadline: self.deadline,
            on_error: self.on_error,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move { self.ask(&submission).await })
    }
}

/// Mail that is rather ham than spam needs no reasons.
const EXPLAINED_FROM: f64 = 0.0;
/// Who is refused by mistake learns what to change; the rest stands in the log.
const REASONS_TOLD: usize = 3;
