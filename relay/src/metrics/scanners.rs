//! What is counted of scanners: their words, and the time that they took.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use relay_proto::verdict::Report;

/// Counters of all scanners. Both labels are words of this program, which bounds them.
#[derive(Debug, Default)]
pub struct Scanners(Mutex<BTreeMap<Key, Tally>>);

/// A scanner, and what it said.
pub type Key = (&'static str, &'static str);

/// How often it said so, and how long that took it in all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Messages.
    pub reports: u64,
    /// Together.
    pub elapsed: Duration,
}

impl Scanners {
    /// Counts what was said about one message.
    pub fn count(&self, report: &Report) {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies
            .entry((report.scanner, report.finding.word()))
            .or_default();
        tally.reports += 1;
        tally.elapsed += report.elapsed;
    }

    /// What was said so far.
    #[must_use]
    pub fn figures(&self) -> BTreeMap<Key, Tally> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
