//! The figures as people read them.

use std::fmt::Write as _;

use super::{Report, load::Written};
use crate::{
    report::{table, targets},
    stats::{median, quantile},
};

pub(super) fn text(report: &Report) -> String {
    let mut starts = table(&["start", "s", "peak MB"]);
    for (name, started) in [
        ("kernel has all", &report.restart),
        ("kernel has nothing", &report.after_boot),
    ] {
        starts.add_row([
            name.to_owned(),
            format!("{:.2}", started.seconds),
            format!("{:.0}", started.peak_mb),
        ]);
    }
    let mut writers = table(&[
        "writers",
        "wanted/s",
        "changes/s",
        "p50 ms",
        "p99 ms",
        "lost",
    ]);
    for written in [&report.alone, &report.paced, &report.together] {
        writers.add_row(row(written));
    }
    let mut waits = table(&["", "median", "p99"]);
    waits.add_row([
        "10,000 lines judged, s".to_owned(),
        format!("{:.2}", median(&report.judged_s)),
        format!("{:.2}", quantile(&report.judged_s, 0.99)),
    ]);
    waits.add_row([
        "why, ms".to_owned(),
        format!("{:.2}", median(&report.why_ms)),
        format!("{:.2}", quantile(&report.why_ms, 0.99)),
    ]);
    waits.add_row([
        "flag add, flag rm, ms".to_owned(),
        format!("{:.2}", median(&report.toggles_ms)),
        format!("{:.2}", quantile(&report.toggles_ms, 0.99)),
    ]);
    let mut text = String::new();
    // A string takes all that is written.
    let _written = writeln!(
        text,
        "{}\nload {} before, {} after · {} policies · the disk syncs {:.0} times a second\n\n{starts}\n\n{writers}\n\n{waits}\n\n{}",
        report.machine.line(),
        report.load_before,
        report.load_after,
        report.policies,
        report.syncs_per_s,
        targets(&report.targets),
    );
    text
}

fn row(written: &Written) -> [String; 6] {
    let at = |share| format!("{:.1}", quantile(&written.latencies_ms, share));
    [
        written.writers.to_string(),
        written
            .wanted_per_s
            .map_or_else(|| "all".to_owned(), |per_s| per_s.to_string()),
        format!("{:.0}", written.per_s),
        at(0.5),
        at(0.99),
        written.lost.len().to_string(),
    ]
}
