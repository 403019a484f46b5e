//! What the filters' figures look like, and what was to be reached.

use std::fmt::Write as _;

use relay::classifier::figures::{Rate, Rates, Scored, at, auc, reliable, threshold};
use serde::Serialize;

use super::{corpus::Counted, cost::Cost};
use crate::{
    machine::Machine,
    report::{table, targets as targets_table},
    targets::{Target, Wanted},
};

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) corpora: Vec<Counted>,
    pub(super) filtered: Vec<Filtered>,
    pub(super) cost: Cost,
    pub(super) targets: Vec<Target>,
}

/// One filter on one corpus.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Filtered {
    name: String,
    /// in-domain, cross-corpus, rspamd or combined.
    kind: &'static str,
    auc: f64,
    /// Brier score of the probabilities.
    brier: f64,
    /// Expected calibration error.
    ece: f64,
    at: Vec<Threshold>,
    reliability: Vec<Class>,
    pub(super) note: String,
}

/// What a threshold does.
#[derive(Clone, Debug, Serialize)]
struct Threshold {
    /// How it was chosen.
    chosen: String,
    recall: Share,
    false_positives: Share,
}

impl Threshold {
    fn new(chosen: String, rates: Rates) -> Self {
        Self {
            chosen,
            recall: rates.recall.into(),
            false_positives: rates.false_positives.into(),
        }
    }
}

/// A row of the reliability table.
#[derive(Clone, Debug, Serialize)]
struct Class {
    from: f64,
    /// Mean of the probabilities said.
    said: Option<f64>,
    spam: Share,
}

/// A rate with bounds of 95 % confidence.
#[derive(Clone, Copy, Debug, Serialize)]
struct Share {
    count: u64,
    of: u64,
    share: Option<f64>,
    lower: f64,
    upper: f64,
}

impl From<Rate> for Share {
    fn from(rate: Rate) -> Self {
        Self {
            count: rate.count,
            of: rate.of,
            share: Some(rate.share()).filter(|share| share.is_finite()),
            lower: rate.lower,
            upper: rate.upper,
        }
    }
}

impl Share {
    fn shown(self) -> String {
        let percent = |share: f64| share * 100.0;
        let share = self.share.map_or(f64::NAN, percent);
        format!(
            "{share:.2} % ({:.2}-{:.2})",
            percent(self.lower),
            percent(self.upper)
        )
    }
}

impl Filtered {
    /// Of log-odds; `own` is what the threshold does that the filter comes with.
    pub(super) fn new(
        name: String,
        kind: &'static str,
        scored: &[Scored],
        own: Option<Rates>,
    ) -> Self {
        let chosen = FALSE_POSITIVES.map(|share| {
            let rates = at(scored, threshold(scored, share));
            let chosen = format!("{} % of the ham ({:+.2})", share * 100.0, rates.threshold);
            Threshold::new(chosen, rates)
        });
        let own = own.map(|rates| Threshold::new("its own".to_owned(), rates));
        let reliable = reliable(scored);
        Self {
            name,
            kind,
            auc: auc(scored),
            brier: reliable.brier,
            ece: reliable.ece,
            at: chosen.into_iter().chain(own).collect(),
            reliability: reliable
                .classes
                .into_iter()
                .map(|class| Class {
                    from: class.from,
                    said: Some(class.said).filter(|said| said.is_finite()),
                    spam: class.spam.into(),
                })
                .collect(),
            note: String::new(),
        }
    }
}

/// For people.
pub(super) fn text(report: &Report) -> String {
    let mut text = format!(
        "{}\nload {} before, {} after\n\n",
        report.machine.line(),
        report.load_before,
        report.load_after
    );
    let mut write =
        |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a String takes everything");
    for corpus in &report.corpora {
        write(format_args!(
            "{}: {} ham, {} spam, {} unusable\n",
            corpus.name, corpus.ham, corpus.spam, corpus.unusable
        ));
    }
    let mut rates = table(&["", "threshold", "spam found", "ham refused"]);
    let mut odds = table(&["", "AUC", "Brier", "ECE", ""]);
    for filtered in &report.filtered {
        odds.add_row([
            filtered.name.clone(),
            format!("{:.5}", filtered.auc),
            format!("{:.4}", filtered.brier),
            format!("{:.4}", filtered.ece),
            filtered.note.clone(),
        ]);
        for at in &filtered.at {
            rates.add_row([
                filtered.name.clone(),
                at.chosen.clone(),
                at.recall.shown(),
                at.false_positives.shown(),
            ]);
        }
    }
    write(format_args!(
        "\n{odds}\n\nRates, with bounds of 95 % (Clopper and Pearson):\n{rates}\n"
    ));
    for filtered in report
        .filtered
        .iter()
        .filter(|filtered| filtered.kind != "rspamd")
    {
        let mut classes = table(&["said", "mean", "spam", "of"]);
        for class in filtered
            .reliability
            .iter()
            .filter(|class| class.spam.of > 0)
        {
            let said = class.said.unwrap_or(f64::NAN);
            classes.add_row([
                format!("{:.1}-", class.from),
                format!("{said:.3}"),
                class.spam.shown(),
                class.spam.of.to_string(),
            ]);
        }
        write(format_args!(
            "\nHow far it can be believed: {}\n{classes}\n",
            filtered.name
        ));
    }
    let cost = &report.cost;
    write(format_args!(
        "\nA message of {:.0} octets costs {:.3} ms (99 %: {:.3} ms) and {:.0} KiB (at most {:.0} KiB); {} messages\n\n{}\n",
        cost.octets,
        cost.median_ms,
        cost.p99_ms,
        cost.peak_kib,
        cost.peak_kib_max,
        cost.messages,
        targets_table(&report.targets)
    ));
    text
}

/// What was to be reached.
pub(super) fn targets(report: &Report) -> Vec<Target> {
    let in_domain = report
        .filtered
        .iter()
        .filter(|filtered| filtered.kind == "in-domain");
    let recall = in_domain.flat_map(|filtered| {
        let at = filtered.at.first()?;
        let name = format!("{}: spam found at {}", filtered.name, at.chosen);
        Some(Target::by_one(
            &name,
            "%",
            Wanted::AtLeast,
            90.0,
            at.recall.share? * 100.0,
        ))
    });
    let cost = &report.cost;
    let costs = [
        Target::by_one(
            "time of a message of 4 KiB, median",
            "ms",
            Wanted::AtMost,
            0.2,
            cost.median_ms,
        ),
        Target::by_one(
            "memory of the same, at most",
            "KiB",
            Wanted::AtMost,
            200.0,
            cost.peak_kib_max,
        ),
    ];
    recall.chain(costs).collect()
}

const FALSE_POSITIVES: [f64; 2] = [0.001, 0.01];
