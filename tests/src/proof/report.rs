//! What came out, run by run and fault by fault: a table for people, numbers for programs.

use std::{path::PathBuf, time::Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Options, books::Verdict, plan::Fault};

/// Of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(super) number: u64,
    pub(super) fault: Fault,
    pub(super) kills: usize,
    /// How often what the run is about happened.
    pub(super) hits: u64,
    /// Messages that were refused for now.
    pub(super) refused: u64,
    pub(super) verdict: Verdict,
    /// A reply that nobody should hear, whatever is done.
    pub(super) surprise: Option<String>,
    /// Where the files of a run that failed are.
    pub(super) kept: Option<PathBuf>,
}

/// Of all.
#[derive(Debug)]
pub struct Report {
    peer: String,
    seed: u64,
    begun: Instant,
    outcomes: Vec<Outcome>,
}

/// Sums over the runs of one fault, or of all.
#[derive(Clone, Debug, Default, Serialize)]
struct Sums {
    runs: usize,
    kills: usize,
    hits: u64,
    acknowledged: usize,
    delivered: usize,
    queued: usize,
    refused: u64,
    lost: usize,
    damaged: usize,
    duplicates: usize,
    unexplained: usize,
    window_ms: u128,
    window_beats: usize,
}

impl Outcome {
    /// Whether nothing was lost or damaged, and every second copy has a reason.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.surprise.is_none()
    }

    /// What it lost.
    #[must_use]
    pub fn lost(&self) -> &[String] {
        &self.verdict.lost
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let Verdict {
            acknowledged,
            delivered,
            queued,
            lost,
            damaged,
            duplicates,
            unexplained,
            ..
        } = &self.verdict;
        let mut line = format!(
            "run {}: {} ({} kills, {} hits): {acknowledged} acknowledged, {delivered} delivered, {queued} queued, \
             {duplicates} twice",
            self.number,
            self.fault.name(),
            self.kills,
            self.hits
        );
        for (what, entries) in [
            ("LOST", lost),
            ("DAMAGED", damaged),
            ("TWICE WITHOUT A REASON", unexplained),
        ] {
            if let Some(first) = entries.first() {
                line += &format!("; {what}: {} ({first})", entries.len());
            }
        }
        if let Some(said) = &self.surprise {
            line += &format!("; SAID: {said}");
        }
        if let Some(kept) = &self.kept {
            line += &format!("; its files: {}", kept.display());
        }
        line
    }
}

impl Report {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            peer: format!("{:?}", options.peer),
            seed: options.seed,
            begun: Instant::now(),
            outcomes: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Of every run.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether every run was good, and there was something to be good at.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.outcomes.iter().all(Outcome::is_good) && self.sums(None).acknowledged > 0
    }

    /// Faults that never happened, whatever was planned.
    #[must_use]
    pub fn unmet(&self) -> Vec<Fault> {
        let never = |fault: &Fault| self.sums(Some(*fault)).hits == 0;
        Fault::ALL.into_iter().filter(never).collect()
    }

    /// What the whole proof takes and this one has not.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let kills = self.sums(None).kills;
        if kills < KILLS_WANTED {
            missing.push(format!("{kills} kills, and {KILLS_WANTED} are wanted"));
        }
        let unmet = self.unmet().into_iter();
        missing.extend(unmet.map(|fault| format!("{}: it never happened", fault.name())));
        for fault in Fault::ALL {
            let sums = self.sums(Some(fault));
            if sums.acknowledged == 0 {
                missing.push(format!("{}: nothing was acknowledged", fault.name()));
            }
        }
        missing
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<24} {:>5} {:>6} {:>7} {:>9} {:>9} {:>7} {:>8} {:>6} {:>8} {:>6} {:>9} {:>10} {:>6}\n",
            "",
            "runs",
            "kills",
            "hits",
            "250",
            "delivered",
            "queued",
            "refused",
            "LOST",
            "damaged",
            "twice",
            "no reason",
            "window ms",
            "beats"
        );
        let all = Fault::ALL
            .into_iter()
            .map(|fault| (fault.name(), Some(fault)));
        for (name, fault) in all.chain([("all", None)]) {
            let sums = self.sums(fault);
            table += &format!(
                "{name:<24} {:>5} {:>6} {:>7} {:>9} {:>9} {:>7} {:>8} {:>6} {:>8} {:>6} {:>9} {:>10} {:>6}\n",
                sums.runs,
                sums.kills,
                sums.hits,
                sums.acknowledged,
                sums.delivered,
                sums.queued,
                sums.refused,
                sums.lost,
                sums.damaged,
                sums.duplicates,
                sums.unexplained,
                sums.window_ms,
                sums.window_beats
            );
        }
        table += &format!("{:.0} kills a minute\n", self.kills_a_minute());
        table
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let faults = Fault::ALL
            .into_iter()
            .map(|fault| json!({ "fault": fault, "sums": self.sums(Some(fault)) }));
        json!({
            "peer": self.peer.to_lowercase(),
            "seed": self.seed,
            "good": self.is_good(),
            "missing": self.missing(),
            "kills_a_minute": self.kills_a_minute(),
            "all": self.sums(None),
            "faults": faults.collect::<Vec<Value>>(),
            "bad_runs": self.outcomes.iter().filter(|outcome| !outcome.is_good()).map(Outcome::line).collect::<Vec<String>>(),
        })
    }

    /// Over everything that a run takes.
    fn kills_a_minute(&self) -> f64 {
        let kills = u32::try_from(self.sums(None).kills).unwrap_or(u32::MAX);
        f64::from(kills) * 60.0 / self.begun.elapsed().as_secs_f64()
    }

    /// Over all runs, or those of a fault.
    fn sums(&self, of: Option<Fault>) -> Sums {
        let mut sums = Sums::default();
        let wanted = |outcome: &&Outcome| of.is_none_or(|fault| outcome.fault == fault);
        for outcome in self.outcomes.iter().filter(wanted) {
            let verdict = &outcome.verdict;
            sums.runs += 1;
            sums.kills += outcome.kills;
            sums.hits += outcome.hits;
            sums.refused += outcome.refused;
            sums.acknowledged += verdict.acknowledged;
            sums.delivered += verdict.delivered;
            sums.queued += verdict.queued;
            sums.lost += verdict.lost.len();
            sums.damaged += verdict.damaged.len();
            sums.duplicates += verdict.duplicates;
            sums.unexplained += verdict.unexplained.len();
            sums.window_ms = sums.window_ms.max(verdict.window.as_millis());
            sums.window_beats = sums.window_beats.max(verdict.window_beats);
        }
        sums
    }
}

/// Of the whole proof.
const KILLS_WANTED: usize = 1000;
