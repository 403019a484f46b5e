//! Pauses between attempts to reach the controller.

use std::time::Duration;

/// Pauses that double up to a limit, with jitter so that a pool's relays do not come back in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(crate) fn is_running(&self) -> bool {
        self.failures > 0
    }

    /// Back to no failure; whether there had been one.
    pub(crate) fn reset(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    pub(crate) fn next_pause(&mut self) -> Duration {
        let full = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(fastrand::f64() / 2.0 + 0.5)
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Short, because a redirect waits for us: the controller's answer to `flag add` waits 5 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_anew() {
        let mut backoff = Backoff::default();
        assert!(!backoff.reset());
        let pauses: Vec<_> = (0..40).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= FIRST_PAUSE);
        assert!(pauses[39] >= LONGEST_PAUSE / 2 && pauses[39] <= LONGEST_PAUSE);
        assert!(backoff.reset());
        assert!(backoff.next_pause() <= FIRST_PAUSE);
    }
}
