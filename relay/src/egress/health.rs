//! Whether an endpoint works, as far as our own attempts tell.
//!
//! Nobody probes: a message that is to leave is the probe. After a fault of its own an endpoint is left out for a
//! while that doubles with each further fault; then it is tried again, by whoever comes first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Up,
    Down {
        until: Instant,
        pause: Duration,
    },
}

impl Health {
    /// Whether it may be tried.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Up => true,
            State::Down { until, .. } => until <= now,
        }
    }

    /// It works; whether that is news.
    pub(super) fn works(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(std::mem::take(&mut *state), State::Down { .. })
    }

    /// It does not; for how long it is left out, and whether that is news.
    pub(super) fn fails(&self, now: Instant) -> (Duration, bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (pause, news) = match *state {
            State::Up => (PAUSE_MIN, true),
            // One of many that were on their way when the first failed.
            State::Down { until, pause } if until > now => (pause, false),
            State::Down { pause, .. } => ((pause * 2).min(PAUSE_MAX), false),
        };
        let until = match *state {
            State::Down { until, .. } if until > now => until,
            State::Up | State::Down { .. } => now + pause,
        };
        *state = State::Down { until, pause };
        (pause, news)
    }
}

const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_a_success() {
        let health = Health::default();
        let mut now = Instant::now();
        assert!(health.may_try(now) && !health.works());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let (pause, _news) = health.fails(now);
            assert!(!health.may_try(now));
            pauses.push(pause.as_secs());
            now += pause;
            assert!(health.may_try(now));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(health.works() && !health.works());
        assert_eq!(health.fails(now), (PAUSE_MIN, true));
    }

    #[test]
    fn those_that_were_on_their_way_lengthen_nothing() {
        let health = Health::default();
        let now = Instant::now();
        assert_eq!(health.fails(now), (PAUSE_MIN, true));
        assert_eq!(health.fails(now), (PAUSE_MIN, false));
        assert!(health.may_try(now + PAUSE_MIN));
    }
}
