//! Waiting for something to be true, with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Asks `question` until it answers `Some`, at most for `limit`.
///
/// # Errors
/// The question's own error ends the wait at once; after the deadline the error names `what`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut question: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = question()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} for {what}");
        }
        thread::sleep(PACE);
    }
}

/// Between two questions: short against a human's patience, long against the cost of asking.
const PACE: Duration = Duration::from_millis(15);
