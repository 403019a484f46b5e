//! Aligned tables.

use comfy_table::{CellAlignment, Table, presets::NOTHING};

use super::Report;
use crate::targets::Target;

/// The report for people.
pub(crate) fn text(report: &Report) -> String {
    let Report {
        machine,
        load_before,
        load_after,
        rounds,
        took_s,
        ..
    } = report;
    let percent = report.confidence * 100.0;
    let mut text = format!(
        "{}\nload {load_before} before, {load_after} after; {rounds} rounds, {took_s:.0} s\n",
        machine.line()
    );
    text += &format!(
        "\nLive path, nanoseconds a packet. added = less the way to a program that drops at once, of the same round;\n\
         range = bounds of its median, each with a confidence of {percent:.0} % (sign test over the rounds).\n\n{}\n",
        live(report)
    );
    text += &format!(
        "\nThe program alone (test run), nanoseconds a run\n\n{}\n",
        alone(report)
    );
    if !report.notes.is_empty() {
        text += &format!("\n{}\n", report.notes.join("\n"));
    }
    text += &format!(
        "\nTargets, each judged by its bound\n\n{}\n",
        targets(&report.targets)
    );
    if report.quick {
        text += "\nThis was --quick: too short to be the check.\n";
    }
    text
}

fn live(report: &Report) -> Table {
    let mut table = table(&[
        "",
        "policies",
        "flows",
        "sources",
        "min",
        "median",
        "added",
        "range",
        "arrived %",
        "delivered %",
    ]);
    for line in &report.live {
        let range = match line.added_bounds_ns {
            Some([lower, upper]) => format!("{lower:.0}..{upper:.0}"),
            None => "-".to_owned(),
        };
        table.add_row([
            line.name.clone(),
            line.policies.to_string(),
            line.flows.to_string(),
            line.sources.to_string(),
            format!("{:.0}", line.min_ns),
            format!("{:.0}", line.median_ns),
            format!("{:.0}", line.added_ns),
            range,
            format!("{:.1}", line.received_percent),
            format!("{:.1}", line.delivered_percent),
        ]);
    }
    table
}

fn alone(report: &Report) -> Table {
    let mut table = table(&["", "min", "median"]);
    for line in &report.alone {
        table.add_row([
            line.name.clone(),
            format!("{:.1}", line.min_ns),
            format!("{:.1}", line.median_ns),
        ]);
    }
    table
}

/// Each with what was to be reached and what was.
pub(crate) fn targets(targets: &[Target]) -> Table {
    let mut table = table(&["", "target", "median", "bound", "", ""]);
    for target in targets {
        table.add_row(cells(target));
    }
    if let Some(last) = table.column_mut(5) {
        last.set_cell_alignment(CellAlignment::Left);
    }
    table
}

fn cells(target: &Target) -> [String; 6] {
    let number = |number: Option<f64>| match number {
        Some(number) => format!("{number:.2}"),
        None => "-".to_owned(),
    };
    [
        target.name.clone(),
        format!("{} {} {}", target.wanted.sign(), target.target, target.unit),
        number(target.measured),
        number(target.bound),
        if target.met { "met" } else { "MISSED" }.to_owned(),
        target.note.clone(),
    ]
}

/// A table whose first column is text.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
