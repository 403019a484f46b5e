//! What the controller costs: a start with a million policies, durable changes of many writers at once, and the
//! questions of a person who waits.
//!
//! The real `outgated`, asked by the API and by the command line. Nothing that it has answered may be lost: after the
//! writers it is killed, started again, and asked for every flag.

mod http;
mod load;
mod policies;
mod start;
mod view;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;
use rustix::process::Signal;
use serde::Serialize;

use self::{load::Written, start::Started};
use crate::{
    Pins,
    house::{self, House, Terms},
    machine::{self, Machine},
    report, say,
    stats::{median, quantile},
    targets::{Target, Wanted},
};

/// Arguments of `controller`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 if a target is missed, and name it
    #[arg(long, conflicts_with = "quick")]
    pub(crate) check: bool,
    /// Few policies and seconds: to see that it works; no figure of it counts
    #[arg(long)]
    quick: bool,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    load_before: String,
    load_after: String,
    /// Policies throughout.
    policies: u32,
    /// Appends of 4 KiB, each synced, one after another, a second: what the disk does without a store.
    syncs_per_s: f64,
    /// The kernel still has them.
    restart: Started,
    /// The kernel has nothing.
    after_boot: Started,
    /// Nobody else writes.
    alone: Written,
    /// Many, who want as many changes a second as are to be had.
    paced: Written,
    /// As many, as fast as they can.
    together: Written,
    /// Seconds that a file of 10,000 lines takes to be judged and compared.
    judged_s: Vec<f64>,
    /// Milliseconds of `why`.
    why_ms: Vec<f64>,
    /// Milliseconds of flagging and lifting by the command line, from its start to its end.
    toggles_ms: Vec<f64>,
    targets: Vec<Target>,
}

/// Measures, says what was found, and answers the targets.
pub(crate) fn run(options: &Options) -> Result<Vec<Target>> {
    let load_before = machine::load()?;
    let policies = if options.quick { 20_000 } else { 1_000_000 };
    let seconds = if options.quick { 2 } else { 15 };
    let pins = Pins::new()?;
    let disk = house::beside("outgated")?.with_file_name("bench-state");
    let at = pins.dir("controller");
    let mut house = House::build(
        &at,
        &disk,
        &Terms {
            customer_prefixes: &policies::CUSTOMER_PREFIXES,
            policies_max: policies + 100_000,
        },
    )?;
    say(&format!("importing {policies} policies"));
    house.start()?;
    let file = house.file("policies.csv");
    std::fs::write(&file, policies::csv(0..policies))?;
    house.outgate(&[
        "flag",
        "import",
        "--override-guard",
        "a measurement",
        path(&file)?,
    ])?;

    say("starting again");
    house.end(Signal::TERM)?;
    let restart = start::measure(&mut house, policies)?;
    house.end(Signal::TERM)?;
    std::fs::remove_dir_all(&at).with_context(|| at.display().to_string())?;
    say("starting without anything in the kernel");
    let after_boot = start::measure(&mut house, policies)?;

    say("one writer, then many");
    let syncs_per_s = load::syncs(house.file("synced"))?;
    let period = Duration::from_secs(seconds);
    let alone = load::measure(&mut house, 1, None, period)?;
    let paced = load::measure(&mut house, WRITERS, Some(CHANGES_PER_S), period)?;
    let together = load::measure(&mut house, WRITERS, None, period)?;

    say("a file of 10,000 lines, why, and the command line");
    let lines = house.file("lines.csv");
    // Half of them stand in the store already.
    std::fs::write(&lines, policies::csv(policies - 5_000..policies + 5_000))?;
    let mut judged_s = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        house.outgate(&[
            "flag",
            "import",
            "--dry-run",
            "--override-guard",
            "a measurement",
            path(&lines)?,
        ])?;
        judged_s.push(begun.elapsed().as_secs_f64());
    }
    let why_ms = load::why(&house, policies, WHYS)?;
    let toggles_ms = house::toggles_in(&house, TOGGLES, policies::ELSEWHERE)?;

    let mut report = Report {
        machine: Machine::look(None)?,
        load_before,
        load_after: machine::load()?,
        policies,
        syncs_per_s,
        restart,
        after_boot,
        alone,
        paced,
        together,
        judged_s,
        why_ms,
        toggles_ms,
        targets: Vec::new(),
    };
    report.targets = targets(&report);
    report::say_out(&view::text(&report))?;
    if let Some(path) = &options.json {
        report::write_json(&report, path)?;
    }
    Ok(report.targets)
}

fn targets(report: &Report) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let one = Target::by_one;
    let together = &report.together;
    // Of writers who want no more than that: who asks as fast as it can waits as long as there are others, whatever is asked.
    let p99 = quantile(&report.paced.latencies_ms, 0.99);
    let lost = [&report.alone, &report.paced, together].map(|written| written.lost.len());
    #[expect(clippy::cast_precision_loss, reason = "a count of what was lost")]
    let lost = lost.iter().sum::<usize>() as f64;
    let (restart, boot) = (&report.restart, &report.after_boot);
    vec![
        one("start, kernel has all", "s", AtMost, 5.0, restart.seconds),
        one("start, kernel has nothing", "s", AtMost, 5.0, boot.seconds),
        one("memory, restart", "MB", AtMost, 400.0, restart.peak_mb),
        one("memory, after boot", "MB", AtMost, 400.0, boot.peak_mb),
        one(
            "durable changes",
            "/s",
            AtLeast,
            f64::from(CHANGES_PER_S),
            together.per_s,
        ),
        one("a change of so many, p99", "ms", AtMost, 25.0, p99),
        one("lost changes", "", AtMost, 0.0, lost),
        Target::by_rounds("10,000 lines judged", "s", AtMost, 1.0, &report.judged_s),
        one(
            "why, p99",
            "ms",
            AtMost,
            20.0,
            quantile(&report.why_ms, 0.99),
        ),
        one(
            "toggle by command line, median",
            "ms",
            AtMost,
            5.0,
            median(&report.toggles_ms),
        ),
        one(
            "toggle by command line, p99",
            "ms",
            AtMost,
            20.0,
            quantile(&report.toggles_ms, 0.99),
        ),
    ]
}

fn path(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path that is UTF-8")
}

const WRITERS: u32 = 100;
const CHANGES_PER_S: u32 = 2000;
const ROUNDS: u32 = 5;
const WHYS: u32 = 500;
const TOGGLES: u32 = 200;
