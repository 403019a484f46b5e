//! Scanners: what looks at a message's content before the destination sees any of it.
//!
//! Each implements [`Scanner`], all see each message at the same time, each within its own deadline.
//! Their findings are combined by `relay_proto::verdict`; this module runs them and has no opinion.
//!
//! # Diagnostics
//! A scanner that fails, is late or panics is a [`Finding::Failed`] with what the configuration says
//! about that, logged as `warn` and counted.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::verdict::{Finding, OnError};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::config::ScannerConfig;
use crate::message::Message;

mod builtin;
mod mime;
mod rspamd;
mod words;

/// What the scanners are shown.
#[derive(Debug)]
pub struct Submission {
    /// Our name of the message.
    pub id: String,
    /// The customer's address.
    pub client: IpAddr,
    /// Who it has shown that it is, if it came by submission.
    pub user: Option<String>,
    /// What the customer calls itself.
    pub ehlo: Option<EhloName>,
    /// Reverse-path and parameters.
    pub mail: Mail,
    /// Recipients that the destination took.
    pub recipients: Vec<Recipient>,
    /// Content as the customer wrote it, without our trace fields.
    pub content: Message,
}

/// A scanner's answer in time.
#[derive(Debug, PartialEq)]
pub struct Opinion {
    /// What it means for the message.
    pub finding: Finding,
    /// A figure for the log, if the scanner has one.
    pub score: Option<f64>,
}

/// Why a scanner could not look.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The message cannot be read back from the spill file.
    #[error("message: {0}")]
    Message(io::Error),
    /// It cannot be reached, or the connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The HTTP exchange failed.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// Its answer is not what it should be.
    #[error("answer: {0}")]
    Answer(String),
    /// It took longer than it may.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// A bug of ours.
    #[error("scanner panicked")]
    Panicked,
}

/// What [`Scanner::scan`] returns.
pub type Scan<'a> = Pin<Box<dyn Future<Output = Result<Opinion, ScanError>> + Send + 'a>>;

/// Something that looks at messages.
pub trait Scanner: Send + Sync {
    /// Its name in logs.
    fn name(&self) -> &'static str;
    /// How long one message may take.
    fn deadline(&self) -> Duration;
    /// What becomes of a message that it could not look at.
    fn on_error(&self) -> OnError;
    /// Looks at one message.
    fn scan(&self, submission: Arc<Submission>) -> Scan<'_>;
}

/// What one scanner said about one message.
#[derive(Debug)]
pub struct Report {
    /// The scanner.
    pub scanner: &'static str,
    /// What it means.
    pub finding: Finding,
    /// Its figure.
    pub score: Option<f64>,
    /// How long it took.
    pub elapsed: Duration,
}

/// The scanners of a configuration, in its order.
pub fn from_config(scanners: &[ScannerConfig]) -> Vec<Arc<dyn Scanner>> {
    let build = |scanner: &ScannerConfig| -> Arc<dyn Scanner> {
        match scanner {
            ScannerConfig::Builtin => Arc::new(builtin::Builtin::new()),
            ScannerConfig::Rspamd {
                url,
                deadline,
                on_error,
            } => Arc::new(rspamd::Rspamd::new(url.clone(), *deadline, *on_error)),
        }
    };
    scanners.iter().map(build).collect()
}

/// Shows `submission` to every scanner at once; reports in the order of `scanners`.
pub async fn scan(scanners: &[Arc<dyn Scanner>], submission: Arc<Submission>) -> Vec<Report> {
    let mut running = JoinSet::new();
    for (index, scanner) in scanners.iter().enumerate() {
        let (scanner, submission) = (Arc::clone(scanner), Arc::clone(&submission));
        running.spawn(async move { (index, scan_one(&*scanner, submission).await) });
    }
    let mut reports: Vec<Option<Report>> = scanners.iter().map(|_| None).collect();
    while let Some(done) = running.join_next().await {
        if let Ok((index, report)) = done {
            reports[index] = Some(report);
        }
    }
    // What is missing now has panicked.
    std::iter::zip(scanners, reports)
        .map(|(scanner, report)| {
            report.unwrap_or_else(|| failed(&**scanner, &submission, &ScanError::Panicked))
        })
        .collect()
}

async fn scan_one(scanner: &dyn Scanner, submission: Arc<Submission>) -> Report {
    let started = Instant::now();
    let deadline = scanner.deadline();
    let result = timeout(deadline, scanner.scan(Arc::clone(&submission))).await;
    let report = match result.unwrap_or(Err(ScanError::Late(deadline))) {
        Ok(Opinion { finding, score }) => Report {
            scanner: scanner.name(),
            finding,
            score,
            elapsed: Duration::ZERO,
        },
        Err(error) => failed(scanner, &submission, &error),
    };
    Report {
        elapsed: started.elapsed(),
        ..report
    }
}

fn failed(scanner: &dyn Scanner, submission: &Submission, error: &ScanError) -> Report {
    warn!(queue.id = %submission.id, scanner = scanner.name(), %error, "scanner failed");
    Report {
        scanner: scanner.name(),
        finding: Finding::Failed {
            on_error: scanner.on_error(),
        },
        score: None,
        elapsed: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MessageLimits;
    use crate::message::Intake;

    /// Answers after a while, or never, or panics.
    struct Scripted(&'static str);

    impl Scanner for Scripted {
        fn name(&self) -> &'static str {
            self.0
        }

        fn deadline(&self) -> Duration {
            Duration::from_secs(5)
        }

        fn on_error(&self) -> OnError {
            OnError::Defer
        }

        fn scan(&self, _submission: Arc<Submission>) -> Scan<'_> {
            Box::pin(async {
                match self.0 {
                    "clean" => Ok(Opinion {
                        finding: Finding::Clean,
                        score: Some(1.5),
                    }),
                    "silent" => std::future::pending().await,
                    "panics" => panic!("on purpose"),
                    _ => Err(ScanError::Answer("nonsense".into())),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_scanner_that_fails_in_any_way_is_reported_and_hides_no_other() {
        let limits = MessageLimits {
            max_octets: 1,
            memory_octets: 1,
            spill_dir: std::env::temp_dir(),
        };
        let submission = Arc::new(Submission {
            id: "1".into(),
            client: IpAddr::from([192, 0, 2, 10]),
            user: None,
            ehlo: None,
            mail: Mail::new(relay_proto::address::ReversePath::Null),
            recipients: vec![],
            content: Intake::new(&limits).finish().await.unwrap(),
        });
        let scanners: Vec<Arc<dyn Scanner>> = ["silent", "panics", "clean", "nonsense"]
            .map(|name| Arc::new(Scripted(name)) as Arc<dyn Scanner>)
            .into();
        let reports = scan(&scanners, submission).await;
        let failed = Finding::Failed {
            on_error: OnError::Defer,
        };
        let findings: Vec<_> = reports
            .iter()
            .map(|report| (report.scanner, &report.finding))
            .collect();
        assert_eq!(
            findings,
            [
                ("silent", &failed),
                ("panics", &failed),
                ("clean", &Finding::Clean),
                ("nonsense", &failed)
            ]
        );
        assert_eq!(reports[2].score, Some(1.5));
    }
}
