//! What is known of a customer, as scanners of its messages: before the content, what servers have said about its
//! recipients; with the content, who else sends the same text.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::verdict::{Concern, Finding, OnError};

use super::{Behaviour, simhash};
use crate::scan::{Opinion, Scan, ScanError, Scanner, Stage, Submission, Terms};

/// What servers have said.
struct Answers(Behaviour);

/// Who else sends this text.
struct Text(Behaviour);

impl Behaviour {
    /// Those of its scanners that could find anything.
    pub(crate) fn scanners(&self) -> Vec<Arc<dyn Scanner>> {
        let suspicion = &self.config().suspicion;
        let of_answers = suspicion.unknown_share <= 1.0 || suspicion.refused_share <= 1.0;
        let limits = [
            suspicion.same_text_customers,
            suspicion.same_text_recipients,
        ];
        let of_text = limits.iter().any(Option::is_some);
        let mut scanners: Vec<Arc<dyn Scanner>> = Vec::new();
        if of_answers && self.config().enforce {
            scanners.push(Arc::new(Answers(self.clone())));
        }
        if of_text && self.config().enforce {
            scanners.push(Arc::new(Text(self.clone())));
        }
        scanners
    }
}

impl Scanner for Answers {
    fn terms(&self) -> Terms {
        Terms {
            name: "answers",
            stage: Stage::Envelope,
            deadline: DEADLINE,
            on_error: OnError::Open,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        let suspicions = self.0.of(submission.client).suspicions();
        Box::pin(async move { Ok(opinion(suspicions)) })
    }
}

impl Scanner for Text {
    fn terms(&self) -> Terms {
        Terms {
            name: "text",
            stage: Stage::Body,
            deadline: DEADLINE,
            on_error: OnError::Open,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move {
            let simhash = simhash(&submission.content).await;
            let Some(simhash) = simhash.map_err(ScanError::Message)? else {
                return Ok(opinion(Vec::new()));
            };
            let recipients = submission.recipients.len() as u64;
            let watched = self.0.of(submission.client);
            let suspicion = watched.sends_text(simhash, recipients);
            Ok(opinion(suspicion.into_iter().collect()))
        })
    }
}

/// The first reason is what the sender reads.
fn opinion(reasons: Vec<String>) -> Opinion {
    let finding = reasons
        .first()
        .map_or(Finding::Clean, |reason| Finding::Found {
            concern: Concern::Spam,
            reason: reason.clone(),
        });
    Opinion {
        reasons,
        ..Opinion::from(finding)
    }
}

/// Nobody else is asked, and a text is read once.
const DEADLINE: Duration = Duration::from_secs(10);
