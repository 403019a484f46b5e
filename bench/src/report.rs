//! What the benchmark says: tables for people, JSON for programs, a chart.

mod chart;
mod tables;

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

pub(crate) use self::tables::{table, targets, text};
use crate::{
    alone::Alone,
    live::Measured,
    machine::Machine,
    stats::{Bounds, median, min},
    targets::Target,
};

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// On what.
    pub(crate) machine: Machine,
    /// Load averages before.
    pub(crate) load_before: String,
    /// Load averages after.
    pub(crate) load_after: String,
    /// Rounds of everything.
    pub(crate) rounds: u32,
    /// Confidence of every bound, one-sided.
    pub(crate) confidence: f64,
    /// Whether it was too short to be a check.
    pub(crate) quick: bool,
    /// Seconds that it took.
    pub(crate) took_s: f64,
    /// The live path.
    pub(crate) live: Vec<Line>,
    /// The program alone.
    pub(crate) alone: Vec<AloneLine>,
    /// Other measurements, that no target depends on.
    pub(crate) notes: Vec<String>,
    /// What was to be reached.
    pub(crate) targets: Vec<Target>,
}

/// A variant on the live path; times in nanoseconds a packet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// Name.
    pub(crate) name: String,
    /// Policies in force.
    pub(crate) policies: u32,
    /// Connections in the table.
    pub(crate) flows: u32,
    /// Different sources and ports that sent.
    pub(crate) sources: u32,
    /// The quickest slice.
    pub(crate) min_ns: f64,
    /// Median of the rounds.
    pub(crate) median_ns: f64,
    /// The same, less the floor.
    pub(crate) added_ns: f64,
    /// Bounds of the median of what was added.
    pub(crate) added_bounds_ns: Option<[f64; 2]>,
    /// Every round.
    pub(crate) rounds_ns: Vec<f64>,
    /// Frames that were sent.
    pub(crate) sent: u64,
    /// Share of them that reached the device.
    pub(crate) received_percent: f64,
    /// Share of them that ended where they should.
    pub(crate) delivered_percent: f64,
}

/// The program alone; times in nanoseconds a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AloneLine {
    /// Name.
    pub(crate) name: String,
    /// The quickest round.
    pub(crate) min_ns: f64,
    /// Median of the rounds.
    pub(crate) median_ns: f64,
    /// Every round.
    pub(crate) rounds_ns: Vec<f64>,
}

impl Line {
    /// Of a variant and the floor.
    pub(crate) fn new(measured: &Measured, floor: &Measured) -> Self {
        let added = measured.added(floor);
        Self {
            name: measured.variant.name.clone(),
            policies: measured.policies,
            flows: measured.flows,
            sources: measured.variety,
            min_ns: measured.quickest,
            median_ns: median(&measured.rounds),
            added_ns: median(&added),
            added_bounds_ns: Bounds::of(&added).map(|bounds| [bounds.lower, bounds.upper]),
            rounds_ns: measured.rounds.clone(),
            sent: measured.sent,
            received_percent: measured.received_percent(),
            delivered_percent: measured.ended_percent(),
        }
    }
}

impl From<&Alone> for AloneLine {
    fn from(alone: &Alone) -> Self {
        Self {
            name: alone.case.name.clone(),
            min_ns: min(&alone.rounds),
            median_ns: median(&alone.rounds),
            rounds_ns: alone.rounds.clone(),
        }
    }
}

impl Report {
    /// Writes the live path as a chart.
    pub(crate) fn write_chart(&self, path: &Path) -> Result<()> {
        std::fs::write(path, chart::svg(&self.live)).with_context(|| path.display().to_string())
    }
}

/// Says something on standard output.
pub(crate) fn say_out(text: &str) -> Result<()> {
    write!(std::io::stdout(), "{text}").context("standard output")
}

/// Writes a whole report as JSON.
pub(crate) fn write_json(report: &impl Serialize, path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
