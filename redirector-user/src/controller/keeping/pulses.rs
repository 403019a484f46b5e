//! Whether the tasks that keep the controller true still turn.
//!
//! A task that has ended is a fault and ends the process. One that waits for ever, for a lock that nobody gives back, is
//! seen only here: each says [`Pulses::turned`] after each turn, and the service manager is told that the controller lives
//! only while none is late.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// When each task last ended a turn.
#[derive(Debug, Default)]
pub(in crate::controller) struct Pulses(Mutex<BTreeMap<&'static str, Pulse>>);

#[derive(Debug)]
struct Pulse {
    last: Instant,
    period: Duration,
}

impl Pulses {
    /// A task begins that turns once a period.
    pub(super) fn expect(&self, task: &'static str, period: Duration) {
        let last = Instant::now();
        self.inner().insert(task, Pulse { last, period });
    }

    /// It has ended a turn.
    pub(super) fn turned(&self, task: &'static str) {
        if let Some(pulse) = self.inner().get_mut(task) {
            pulse.last = Instant::now();
        }
    }

    /// A task that has not turned for much longer than it should.
    pub(super) fn late(&self) -> Option<&'static str> {
        let late = |pulse: &Pulse| pulse.last.elapsed() > 2 * pulse.period + PATIENCE;
        let pulses = self.inner();
        let mut found = pulses.iter().filter(|(_, pulse)| late(pulse));
        found.next().map(|(task, _)| *task)
    }

    /// A panic while it was held has left whole times behind.
    fn inner(&self) -> MutexGuard<'_, BTreeMap<&'static str, Pulse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than anything that a turn does but an import: a million policies take seconds.
const PATIENCE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_for_ever_is_found() {
        let pulses = Pulses::default();
        pulses.expect("sweep", Duration::from_secs(5));
        pulses.expect("radar", Duration::from_secs(600));
        advance(Duration::from_secs(130)).await;
        assert_eq!(pulses.late(), None);
        pulses.turned("sweep");
        advance(Duration::from_secs(131)).await;
        assert_eq!(pulses.late(), Some("sweep"));
        pulses.turned("sweep");
        assert_eq!(pulses.late(), None);
        // What nobody expects is no task.
        pulses.turned("other");
        pulses.turned("sweep");
        advance(Duration::from_secs(1200)).await;
        pulses.turned("sweep");
        assert_eq!(pulses.late(), Some("radar"));
    }
}
