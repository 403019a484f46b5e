//! `outgate-relay quarantine audit`: who has seen and done what, and whether the log is what was written.

use std::path::Path;

use anyhow::{Context, bail};
use relay::config::Config;
use relay::quarantine::audit_file;
use relay::quarantine::log::{BrokenLine, Log, Mark};
use relay::quarantine::shapes::Line;
use serde::Serialize;

use super::arguments::AuditArguments;
use crate::commands::queue::tables::{columns, printable};
use crate::commands::say;

/// Runs it; whether there is anything.
pub(super) fn run(arguments: &AuditArguments, config: &Config) -> anyhow::Result<bool> {
    let file = audit_file(&config.state_dir);
    let log = Log::read(&file).with_context(|| file.display().to_string())?;
    match arguments.verify {
        true => verify(&log, &file, arguments),
        false => list(&log, &file, arguments),
    }
}

fn list(log: &Log, file: &Path, arguments: &AuditArguments) -> anyhow::Result<bool> {
    let is_meant = |line: &&Line| {
        arguments.id.as_ref().is_none_or(|id| line.id == *id)
            && arguments
                .actor
                .as_ref()
                .is_none_or(|actor| line.actor == *actor)
            && arguments.since.is_none_or(|since| line.at >= since)
    };
    let lines: Vec<&Line> = log.lines.iter().filter(is_meant).collect();
    say(&match arguments.json {
        true => serde_json::to_string(&lines)?,
        false => table(&lines),
    })?;
    sound(log, file)?;
    Ok(!lines.is_empty())
}

fn table(lines: &[&Line]) -> String {
    let rows = lines.iter().map(|line| {
        let (act, about) = line.act.words();
        [
            line.number.to_string(),
            format!("{:.0}", line.at),
            printable(&line.actor),
            act.to_owned(),
            line.id.to_string(),
            printable(about.unwrap_or("-")),
            printable(&line.reason),
        ]
    });
    let head = ["LINE", "AT", "WHO", "ACT", "ID", "WHAT", "REASON"];
    columns(head, &rows.collect::<Vec<_>>(), NO_STATE)
}

fn verify(log: &Log, file: &Path, arguments: &AuditArguments) -> anyhow::Result<bool> {
    let held = arguments.holds.as_ref().map(|mark| log.holds(mark));
    let missing = held.and_then(Result::err);
    let verified = Verified {
        file: file.display().to_string(),
        lines: log.lines.len(),
        first: log.lines.first().map(|line| line.number),
        last: log.mark(),
        broken: log.broken.as_ref().map(BrokenLine::to_string),
        missing: missing.as_ref().map(ToString::to_string),
    };
    say(&match arguments.json {
        true => serde_json::to_string(&verified)?,
        false => verified.text(),
    })?;
    sound(log, file)?;
    if let Some(missing) = missing {
        bail!("{}: {missing}", file.display());
    }
    Ok(true)
}

fn sound(log: &Log, file: &Path) -> anyhow::Result<()> {
    match &log.broken {
        Some(broken) => bail!("{}: {broken}", file.display()),
        None => Ok(()),
    }
}

/// What `--verify` says.
#[derive(Debug, Serialize)]
struct Verified {
    file: String,
    /// That prove themselves.
    lines: usize,
    /// The number of the first one; lines before it are forgotten.
    first: Option<u64>,
    /// The last one that proves itself.
    last: Option<Mark>,
    /// The first one that does not.
    broken: Option<String>,
    /// What became of the line that was asked for, if it is gone.
    missing: Option<String>,
}

impl Verified {
    fn text(&self) -> String {
        let Self { file, lines, .. } = self;
        match (self.first, &self.last) {
            (Some(first), Some(last)) => {
                format!(
                    "{file}: {lines} lines from number {first} on, each of which proves those before it\n{last}"
                )
            }
            _ => format!("{file}: no lines"),
        }
    }
}

/// No column is a state.
const NO_STATE: usize = usize::MAX;
