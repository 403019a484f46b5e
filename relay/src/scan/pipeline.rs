//! Who is asked about a message, in what order, and until when.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use contract::Tier;
use relay_proto::verdict::{Finding, Judgement, OnError, Policy, Report, combine, is_final};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use super::{ScanError, Scanner, Stage, Submission, from_config};
use crate::classifier::Live;
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
    /// The scanners of a configuration; `live` is its classifier, if it has one.
    #[must_use]
    pub fn from_config(
        scanners: &[ScannerConfig],
        live: Option<&Arc<Live>>,
        verdict: &VerdictConfig,
    ) -> Self {
        Self {
            scanners: from_config(scanners, live),
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

    /// Their names, in the configuration's order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.scanners.iter().map(|scanner| scanner.name())
    }

    /// What may be looked at, where a customer's own policy says `own`.
    #[must_use]
    pub fn tier(&self, own: Option<Tier>) -> Tier {
        own.unwrap_or(self.tier)
    }

    /// Whether anybody wants to be asked before the content comes.
    #[must_use]
    pub fn asks_before_data(&self, tier: Tier) -> bool {
        let mut stages = self.scanners.iter().map(|scanner| scanner.stage());
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
        let here = self.scanners.iter().filter(|it| it.stage() == stage);
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
    let deadline = scanner.deadline();
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
        scanner: scanner.name(),
        finding,
        score: None,
        log_odds: None,
        reasons: Vec::new(),
        elapsed: Duration::ZERO,
    }
}

fn failed(scanner: &dyn Scanner, id: &str, error: &ScanError) -> Report {
    warn!(queue.id = id, scanner = scanner.name(), %error, "scanner failed");
    let on_error: OnError = scanner.on_error();
    Report {
        reasons: vec![error.to_string()],
        ..report(scanner, Finding::Failed { on_error })
    }
}

/// The same submission with no more than its header section and the empty line behind that. A section is cut off where
/// no honest one reaches, because it is held in memory.
async fn header_section(submission: &Submission) -> io::Result<Arc<Submission>> {
    let mut reader = submission.content.reader();
    let mut section = Vec::new();
    // A message whose first line is empty has no header; the CRLF before it makes that one case.
    section.extend_from_slice(b"\r\n");
    while let Some(block) = reader.next().await? {
        // The empty line may lie on the border of two blocks.
        let seen = section.len().saturating_sub(HEADER_END.len() - 1);
        section.extend_from_slice(&block);
        let fresh = section.get(seen..).unwrap_or_default();
        if let Some(end) = memchr::memmem::find(fresh, HEADER_END) {
            section.truncate(seen + end + HEADER_END.len());
            break;
        }
        if section.len() > HEADER_OCTETS_MAX {
            section.truncate(HEADER_OCTETS_MAX);
            break;
        }
    }
    section.drain(..2);
    let content = Message::from(Bytes::from(section));
    Ok(Arc::new(Submission {
        content,
        ..submission.clone()
    }))
}

const HEADER_END: &[u8] = b"\r\n\r\n";
/// Large mailing lists and calendars stay far below.
const HEADER_OCTETS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests;
