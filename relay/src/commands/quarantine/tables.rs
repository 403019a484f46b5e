//! What is kept, as people read it.

use relay::quarantine::shapes::{Done, Found, Shown};

pub(super) fn records(records: &[Found]) -> String {
    let head = [
        "ID", "AT", "CUSTOMER", "FLAG", "IDENTITY", "VERDICT", "OCTETS", "KEPT", "STATE",
    ];
    let dash = || "-".to_owned();
    let row = |found: &Found| {
        [
            found.id.to_string(),
            format!("{:.0}", found.at),
            found.customer.to_string(),
            found.flag_id.map_or_else(dash, |flag| flag.to_string()),
            found.identity.clone().unwrap_or_else(dash),
            found.verdict.clone(),
            found.octets.to_string(),
            found.kept.name().to_owned(),
            found.state.name().to_owned(),
        ]
    };
    let rows: Vec<[String; 9]> = std::iter::once(head.map(str::to_owned))
        .chain(records.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 9] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |row: &[String; 9]| {
        let cells = std::iter::zip(row, widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn record(shown: &Shown) -> String {
    let record = &shown.record;
    let dash = || "-".to_owned();
    let kept = match (shown.has_body, record.header_octets) {
        (true, _) => "metadata, headers, body",
        (false, Some(_)) => "metadata, headers",
        (false, None) => "metadata",
    };
    let rows = [
        ("ID", record.id.to_string()),
        ("AT", record.at.to_string()),
        ("CUSTOMER", record.customer.to_string()),
        (
            "FLAG",
            record.flag_id.map_or_else(dash, |flag| flag.to_string()),
        ),
        ("USER", record.user.clone().unwrap_or_else(dash)),
        ("IDENTITY", record.identity.clone().unwrap_or_else(dash)),
        ("EHLO", record.ehlo.clone().unwrap_or_else(dash)),
        (
            "GOING TO",
            record.original_dst.map_or_else(dash, |it| it.to_string()),
        ),
        ("FROM", record.from.clone()),
        ("TO", record.to.join(", ")),
        ("OCTETS", record.octets.to_string()),
        (
            "SHA-256",
            record.content_sha256.clone().unwrap_or_else(dash),
        ),
        ("VERDICT", record.verdict.clone()),
        ("REASON", record.reason.clone()),
        ("SAW", record.reasons.join("; ")),
        ("SCANNERS", record.scanners.clone()),
        ("TIER", record.tier.name().to_owned()),
        ("KEPT", kept.to_owned()),
        ("STATE", shown.state.name().to_owned()),
    ];
    let lines = rows.map(|(name, value)| format!("{name:9}  {value}"));
    let headers = shown.headers.as_ref();
    let headers = headers.map_or_else(String::new, |headers| {
        format!("\n\n{}", visible(headers).trim_end())
    });
    lines
        .map(|line| visible(&line).replace('\n', " "))
        .join("\n")
        + &headers
}

pub(super) fn done(done: &Done, word: &str) -> String {
    let did = done.done.iter().map(|did| match &did.queue_id {
        Some(queue_id) => format!("{}: {word}, queued as {queue_id}", did.id),
        None => format!("{}: {word}", did.id),
    });
    let failed = done
        .failed
        .iter()
        .map(|failed| format!("{}: {}", failed.id, failed.error));
    did.chain(failed).collect::<Vec<_>>().join("\n")
}

/// A customer's words must not steer the terminal of whoever reads them.
fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        '\r' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}
