//! The story's printer and its score.

use std::io::{IsTerminal as _, Write as _, stdout};

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Prints as it goes, and remembers what held.
#[derive(Debug)]
pub(crate) struct Report {
    checks: Vec<Check>,
    figures: Map<String, Value>,
    terminal: bool,
}

#[derive(Debug, Serialize)]
struct Check {
    act: String,
    name: String,
    passed: bool,
    detail: String,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            checks: Vec::new(),
            figures: Map::new(),
            terminal: stdout().is_terminal(),
        }
    }

    /// Prints a line of the story.
    pub(crate) fn say(&self, line: &str) {
        // Nobody reads any more: the score still decides about the exit status.
        drop(writeln!(stdout().lock(), "{line}"));
    }

    /// Opens a part of the story.
    pub(crate) fn act(&mut self, title: &str) -> Act<'_> {
        let heading = if self.terminal {
            format!("\n\x1b[1m{title}\x1b[0m")
        } else {
            format!("\n{title}")
        };
        self.say(&heading);
        let letter = title.split(' ').next().unwrap_or_default().to_owned();
        Act {
            report: self,
            letter,
        }
    }

    pub(crate) fn passed(&self) -> usize {
        self.checks.iter().filter(|check| check.passed).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.checks.len() - self.passed()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "passed": self.passed(), "failed": self.failed(), "checks": self.checks, "figures": self.figures })
    }
}

/// One part of the story.
#[derive(Debug)]
pub(crate) struct Act<'report> {
    report: &'report mut Report,
    letter: String,
}

impl Act<'_> {
    /// Runs one check; its answer is the detail that is printed, its error what explains a failure.
    /// Returns whether it held.
    pub(crate) fn check(&mut self, name: &str, question: impl FnOnce() -> Result<String>) -> bool {
        let (passed, detail) = match question() {
            Ok(detail) => (true, detail),
            // Without the backtrace: the transcript and the log are what explains.
            Err(error) => (false, format!("{error:#}")),
        };
        let mark = match (self.report.terminal, passed) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (true, false) => "\x1b[31m✗\x1b[0m",
            (false, true) => "✓",
            (false, false) => "✗",
        };
        if passed && detail.is_empty() {
            self.report.say(&format!("  {mark} {name}"));
        } else if passed {
            self.report.say(&format!("  {mark} {name}: {detail}"));
        } else {
            let indented: String = detail
                .lines()
                .map(|line| format!("\n      {}", shortened(line)))
                .collect();
            self.report.say(&format!("  {mark} {name}{indented}"));
        }
        self.report.checks.push(Check {
            act: self.letter.clone(),
            name: name.to_owned(),
            passed,
            detail,
        });
        passed
    }

    /// Prints what is no check.
    pub(crate) fn note(&self, line: &str) {
        self.report.say(&format!("    {line}"));
    }

    /// Prints and remembers a measured number.
    pub(crate) fn figure(&mut self, key: &str, value: impl Into<Value>, shown: &str) {
        self.note(shown);
        self.report.figures.insert(key.to_owned(), value.into());
    }
}

/// A transcript repeats the message, whose lines are long on purpose.
fn shortened(line: &str) -> String {
    if line.chars().count() <= LINE_CHARS {
        return line.to_owned();
    }
    line.chars().take(LINE_CHARS).chain(['…']).collect()
}

const LINE_CHARS: usize = 200;
