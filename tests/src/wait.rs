//! Waiting for something to be true, with a deadline.
//!
//! All deadlines are long against a usual machine. Where one is emulated, `OUTGATE_LAB_PATIENCE` says how
//! many times as long they are.

use std::{
    sync::LazyLock,
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
    let limit = patient(limit);
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

/// A deadline as this machine needs it.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    limit * *PATIENCE
}

static PATIENCE: LazyLock<u32> = LazyLock::new(|| {
    let factor = std::env::var("OUTGATE_LAB_PATIENCE").ok();
    factor.and_then(|factor| factor.parse().ok()).unwrap_or(1)
});

/// Between two questions: short against a human's patience, long against the cost of asking.
const PACE: Duration = Duration::from_millis(15);
