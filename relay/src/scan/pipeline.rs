//! Who is asked about a message, in what order, and until when.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use contract::Tier;
use relay_proto::verdict::{Finding, Judgement, Policy, Report, combine, is_final};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use super::{Means, ScanError, Scanner, Stage, Submission, Terms, from_config};
use crate::config::{ScannerConfig, VerdictConfig};
use crate::message::Message;

/// The scanners of a relay, and what their findings lead to.
pub struct Pipeline {
    scanners: Vec<Arc<dyn Scanner>>,
    policy: Policy,
    /// What may be looked at where the customer's own policy does not say.
    tier: Tier,
}

/// What the scanners have said so far, in the order in which they spoke, and what it comes to.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Each one's word.
    pub reports: Vec<Report>,
    /// All together.
    pub judgement: Judgement,
}

impl Pipeline {
    /// The scanners of a configuration, which work with these means.
    #[must_use]
    pub fn from_config(scanners: &[ScannerConfig], means: &Means, verdict: &VerdictConfig) -> Self {
        Self {
            scanners: from_config(scanners, means),
            policy: verdict.policy,
            tier: verdict.tier,
        }
    }

    /// The same, and these.
    #[must_use]
    pub fn with(mut self, scanners: Vec<Arc<dyn Scanner>>) -> Self {
        self.scanners.extend(scanners);
        self
    }

    /// What may be looked at, where a customer's own policy says `own`.
    #[must_use]
    pub fn tier(&self, own: Option<Tier>) -> Tier {
        own.unwrap_or(self.tier)
    }

    /// Whether anybody wants to be asked before the content comes.
    #[must_use]
    pub fn asks_before_data(&self, tier: Tier) -> bool {
        let mut stages = self.scanners.iter().map(|it| it.terms().stage);
        shows(tier, Stage::Envelope) && stages.any(|stage| stage == Stage::Envelope)
    }

    /// Asks those who need no more than the envelope; the submission's content is empty.
    pub async fn before_data(&self, tier: Tier, submission: Submission) -> Judged {
        let mut reports = Vec::new();
        self.ask_stage(Stage::Envelope, tier, &Arc::new(submission), &mut reports)
            .await;
        self.judged(reports)
    }

    /// Asks those who need content, and lays what they say to what was said `before`.
    pub async fn at_dot(&self, tier: Tier, submission: Submission, before: Vec<Report>) -> Judged {
        let mut reports = before;
        let submission = Arc::new(submission);
        for stage in [Stage::Headers, Stage::Body] {
            self.ask_stage(stage, tier, &submission, &mut reports).await;
        }
        self.judged(reports)
    }

    /// What reports come to.
    #[must_use]
    pub fn judge(&self, reports: &[Report]) -> Judgement {
        combine(reports, &self.policy)
    }

    fn judged(&self, reports: Vec<Report>) -> Judged {
        let judgement = self.judge(&reports);
        Judged { reports, judgement }
    }

    /// Asks the scanners of a stage, unless the matter is settled. What `tier` does not show is as if its scanners were
    /// not configured.
    async fn ask_stage(
        &self,
        stage: Stage,
        tier: Tier,
        submission: &Arc<Submission>,
        reports: &mut Vec<Report>,
    ) {
        let here = self.scanners.iter().filter(|it| it.terms().stage == stage);
        let here: Vec<_> = here.collect();
        if here.is_empty() || !shows(tier, stage) {
            return;
        }
        if reports.iter().any(|report| self.settles(report)) {
            reports.extend(here.iter().map(|it| report(&***it, Finding::Skipped)));
            return;
        }
        let shown = match stage {
            Stage::Envelope | Stage::Body => Ok(Arc::clone(submission)),
            Stage::Headers => header_section(submission).await,
        };
        match shown {
            Ok(shown) => self.ask_all(&here, &shown, reports).await,
            Err(error) => {
                let error = ScanError::Message(error);
                let failed = here.iter().map(|it| failed(&***it, &submission.id, &error));
                reports.extend(failed);
            }
        }
    }

    /// Shows `submission` to all of `here` at once, until one of them settles the matter.
    async fn ask_all(
        &self,
        here: &[&Arc<dyn Scanner>],
        submission: &Arc<Submission>,
        reports: &mut Vec<Report>,
    ) {
        let mut running = JoinSet::new();
        for (index, &scanner) in here.iter().enumerate() {
            let (scanner, submission) = (Arc::clone(scanner), Arc::clone(submission));
            running.spawn(async move { (index, ask(&*scanner, submission).await) });
        }
        let mut silent: Vec<_> = here.iter().copied().map(Some).collect();
        let mut settled = false;
        while !settled && let Some(done) = running.join_next().await {
            if let Ok((index, report)) = done {
                settled = self.settles(&report);
                silent[index] = None;
                reports.push(report);
            }
        }
        for scanner in silent.into_iter().flatten() {
            reports.push(if settled {
                report(&**scanner, Finding::Skipped)
            } else {
                // Whoever has not answered when all have ended has panicked.
                failed(&**scanner, &submission.id, &ScanError::Panicked)
            });
        }
    }

    fn settles(&self, report: &Report) -> bool {
        is_final(&report.finding, &self.policy)
    }
}

/// Whether scanners of this stage may be asked.
fn shows(tier: Tier, stage: Stage) -> bool {
    tier >= match stage {
        Stage::Envelope => Tier::Metadata,
        Stage::Headers => Tier::Headers,
        Stage::Body => Tier::Body,
    }
}

/// One scanner's word about one message, whatever it does.
async fn ask(scanner: &dyn Scanner, submission: Arc<Submission>) -> Report {
    let started = Instant::now();
    let deadline = scanner.terms().deadline;
    let result = timeout(deadline, scanner.scan(Arc::clone(&submission))).await;
    let report = match result.unwrap_or(Err(ScanError::Late(deadline))) {
        Ok(opinion) => Report {
            score: opinion.score,
            log_odds: opinion.log_odds,
            reasons: opinion.reasons,
            ..report(scanner, opinion.finding)
        },
        Err(error) => failed(scanner, &submission.id, &error),
    };
    Report {
        elapsed: started.elapsed(),
        ..report
    }
}

fn report(scanner: &dyn Scanner, finding: Finding) -> Report {
    Report {
        scanner: scanner.terms().name,
        finding,
        score: None,
        log_odds: None,
        reasons: Vec::new(),
        elapsed: Duration::ZERO,
    }
}

fn failed(scanner: &dyn Scanner, id: &str, error: &ScanError) -> Report {
    let Terms { name, on_error, .. } = scanner.terms();
    warn!(queue.id = id, scanner = name, %error, "scanner failed");
    Report {
        reasons: vec![error.to_string()],
        ..report(scanner, Finding::Failed { on_error })
    }
}

/// The same submission with no more than its header section. One is cut off where no honest one reaches, because it is
/// held in memory.
async fn header_section(submission: &Submission) -> io::Result<Arc<Submission>> {
    let section = submission.content.header_section(HEADER_OCTETS_MAX).await?;
    let content = Message::from(Bytes::from(section.octets));
    Ok(Arc::new(Submission {
        content,
        ..submission.clone()
    }))
}

/// Large mailing lists and calendars stay far below.
const HEADER_OCTETS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests;
