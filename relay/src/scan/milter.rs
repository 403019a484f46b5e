//! The scanner that asks a milter: each message on a connection of its own, shown as a mail server would show it.
//!
//! Its verdict counts, and nothing else. Changes that it wants are counted and not made, because content is forwarded octet
//! for octet. What it would have taken and dropped, or taken and kept until somebody has looked, it has found: nothing is
//! dropped here in silence, and nothing delivered that a filter wants kept. A recipient that it refuses refuses the
//! message, because all of them were taken when it is asked.
//!
//! A filter that was shown less than there is (a field longer than a frame, too many fields) and found nothing leaves
//! the message unscannable.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::verdict::{Concern, Finding, OnError};
use tokio::net::{TcpStream, UnixStream};

use super::{Opinion, Scan, ScanError, Scanner, Stage, Submission, Terms};
use crate::config::ProgramAddress;
use crate::metrics::{Counter, Metrics};

mod answer;
mod connection;
mod dialogue;
mod envelope;

use connection::Connection;
use dialogue::{Dialogue, Outcome};

/// The scanner.
#[derive(Debug)]
pub(super) struct Milter {
    address: ProgramAddress,
    /// What it looks for.
    concern: Concern,
    deadline: Duration,
    on_error: OnError,
    /// Our name, which filters are told.
    hostname: String,
    metrics: Arc<Metrics>,
}

impl Milter {
    /// A client of the filter at `address`.
    pub(super) fn new(
        address: ProgramAddress,
        concern: Concern,
        deadline: Duration,
        on_error: OnError,
        hostname: String,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            address,
            concern,
            deadline,
            on_error,
            hostname,
            metrics,
        }
    }

    async fn ask(&self, submission: &Submission) -> Result<Opinion, ScanError> {
        let outcome = match &self.address {
            ProgramAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                self.show(Connection::new(stream), submission).await?
            }
            ProgramAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                self.show(Connection::new(stream), submission).await?
            }
        };
        self.metrics
            .add(Counter::MilterChangesIgnored, outcome.changes);
        Ok(opinion(outcome))
    }

    async fn show<S: connection::Stream>(
        &self,
        connection: Connection<S>,
        submission: &Submission,
    ) -> Result<Outcome, ScanError> {
        let dialogue = Dialogue::begin(connection, self.concern).await?;
        dialogue.show(submission, &self.hostname).await
    }
}

impl Scanner for Milter {
    fn terms(&self) -> Terms {
        Terms {
            name: "milter",
            stage: Stage::Body,
            deadline: self.deadline,
            on_error: self.on_error,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move { self.ask(&submission).await })
    }
}

fn opinion(outcome: Outcome) -> Opinion {
    let finding = match (outcome.finding, outcome.not_shown) {
        (Finding::Clean, Some(what)) => Finding::Unscannable {
            reason: format!("it has {what}"),
        },
        (finding, _) => finding,
    };
    let mut reasons = outcome.reasons;
    if outcome.changes > 0 {
        reasons.push(format!("changes that were not made: {}", outcome.changes));
    }
    Opinion {
        reasons,
        ..finding.into()
    }
}
