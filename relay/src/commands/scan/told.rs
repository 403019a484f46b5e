//! A verdict as it is told: to programs as an object of JSON, to people as rows of a table.

use std::fmt;
use std::path::Path;

use relay::scan::Judged;
use relay_proto::verdict::{Report, Verdict};
use serde::Serialize;

/// One message.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    file: String,
    verdict: &'static str,
    reason: Option<String>,
    log_odds: Option<f64>,
    scanners: Vec<Word>,
}

/// One scanner's word.
#[derive(Debug, Serialize)]
struct Word {
    name: &'static str,
    finding: &'static str,
    score: Option<f64>,
    log_odds: Option<f64>,
    reasons: Vec<String>,
    elapsed_ms: f64,
}

impl Told {
    pub(super) fn new(file: &Path, judged: &Judged) -> Self {
        let (verdict, reason) = match &judged.judgement.verdict {
            Verdict::Accept { .. } => ("accept", None),
            Verdict::Hold { reason } => ("hold", Some(reason)),
            Verdict::Defer { reason } => ("defer", Some(reason)),
            Verdict::Reject {
                reason,
                keep: false,
            } => ("reject", Some(reason)),
            Verdict::Reject { reason, keep: true } => ("reject+keep", Some(reason)),
        };
        Self {
            file: file.display().to_string(),
            verdict,
            reason: reason.cloned(),
            log_odds: judged.judgement.log_odds,
            scanners: judged.reports.iter().map(Word::from).collect(),
        }
    }
}

impl From<&Report> for Word {
    fn from(report: &Report) -> Self {
        Self {
            name: report.scanner,
            finding: report.finding.word(),
            score: report.score,
            log_odds: report.log_odds,
            reasons: report.reasons.clone(),
            elapsed_ms: (report.elapsed.as_secs_f64() * 1e5).round() / 100.0,
        }
    }
}

/// All messages: a row for each scanner's word, under the message's own.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<[String; 4]>);

impl Table {
    pub(super) fn push(&mut self, told: &Told) {
        if self.0.is_empty() {
            self.0
                .push(["FILE", "VERDICT", "LOG-ODDS", "REASONS"].map(str::to_owned));
        }
        let reason = told.reason.clone().unwrap_or_else(|| "-".into());
        self.0.push([
            told.file.clone(),
            told.verdict.into(),
            figure(told.log_odds),
            reason,
        ]);
        for word in &told.scanners {
            let score = word.score.map(|score| format!("score {score:.1}"));
            let reasons: Vec<String> = score.into_iter().chain(word.reasons.clone()).collect();
            self.0.push([
                format!("  {}", word.name),
                word.finding.into(),
                figure(word.log_odds),
                if reasons.is_empty() {
                    "-".into()
                } else {
                    reasons.join(" ")
                },
            ]);
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|row| row[column].len()).max();
        let [file, verdict, odds] = [0, 1, 2].map(|column| width(column).unwrap_or(0));
        for (index, [first, second, third, last]) in self.0.iter().enumerate() {
            let line_end = if index > 0 { "\n" } else { "" };
            write!(
                f,
                "{line_end}{first:file$}  {second:verdict$}  {third:>odds$}  {last}"
            )?;
        }
        Ok(())
    }
}

fn figure(log_odds: Option<f64>) -> String {
    log_odds.map_or_else(|| "-".into(), |odds| format!("{odds:+.1}"))
}
