//! What `outgate` answers.

use std::{process::Output, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// How `outgate` ended, and what it said.
#[derive(Debug)]
pub struct Answer {
    /// Exit status; see `outgate --help`.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// From start to exit of the program.
    pub elapsed: Duration,
}

impl Answer {
    /// Standard output as JSON.
    ///
    /// # Errors
    /// That it is none, with everything that was said.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}: {}{}", self.code, self.out, self.err)
    }
}

impl From<(Output, Duration)> for Answer {
    fn from((output, elapsed): (Output, Duration)) -> Self {
        Self {
            // A program that a signal ended has no code; no contract has -1 either.
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            elapsed,
        }
    }
}
