//! How far an endpoint has been told, and when it is asked again. Pure: the time is an argument.

use jiff::{SignedDuration, Timestamp};

use crate::{backoff::Backoff, store::events::Stored};

/// How far one endpoint has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every event up to this number was taken, not wanted, or given up.
    pub through: u64,
    /// When the endpoint last took one.
    pub taken_at: Option<Timestamp>,
    /// Attempts that have failed since then.
    pub failures: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// Not before this time is it asked again.
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The configuration by which the endpoint has said that it is gone (410), as a digest: it is not asked any more.
    pub stopped: Option<String>,
}

impl Progress {
    /// Of an endpoint that nobody has been told yet: it hears what comes after this event.
    #[must_use]
    pub fn from(through: u64) -> Self {
        Self {
            through,
            ..Self::default()
        }
    }

    /// The endpoint has taken an event.
    pub fn taken(&mut self, seq: u64, now: Timestamp) {
        *self = Self {
            through: seq,
            taken_at: Some(now),
            ..Self::default()
        };
    }

    /// It has not.
    pub fn failed(&mut self, error: String, now: Timestamp, chance: u16) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        let wait = SignedDuration::try_from(BACKOFF.after(self.failures, chance));
        let wait = wait.unwrap_or(SignedDuration::MAX);
        self.next_at = Some(now.checked_add(wait).unwrap_or(Timestamp::MAX));
        self.error = Some(error);
    }

    /// It says that it is gone.
    pub fn gone(&mut self, configuration: String) {
        self.error = Some(String::from("410: the endpoint says that it is gone"));
        self.stopped = Some(configuration);
        self.next_at = None;
    }

    /// A person wants it asked now, whatever it has said.
    pub fn hurry(&mut self) {
        self.next_at = None;
        self.stopped = None;
    }

    /// Another configuration is in force: what the endpoint of the old one has said does not count.
    pub fn configured(&mut self, configuration: &str) {
        if self
            .stopped
            .as_deref()
            .is_some_and(|it| it != configuration)
        {
            *self = Self {
                taken_at: self.taken_at,
                ..Self::from(self.through)
            };
        }
    }

    /// Whether an event is given up: the endpoint has been failing for long, and the event is as old. One that has just
    /// come is tried, however long the endpoint fails.
    #[must_use]
    pub fn gives_up(&self, event: &Stored, now: Timestamp) -> bool {
        let long_ago = |at: Timestamp| now.duration_since(at) >= PATIENCE;
        self.failing_since.is_some_and(long_ago) && long_ago(event.at)
    }
}

/// An endpoint that is restarted is asked soon; one that is gone for days costs nothing.
const BACKOFF: Backoff = Backoff {
    first: std::time::Duration::from_secs(5),
    longest: std::time::Duration::from_secs(3600),
};
/// A long weekend.
const PATIENCE: SignedDuration = SignedDuration::from_hours(72);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + hours * 3600).unwrap()
    }

    fn event(hours: i64) -> Stored {
        Stored {
            seq: 8,
            at: at(hours),
            relay: None,
            kind: String::from("relay_up"),
            customer: None,
            flag: None,
            detail: serde_json::Value::Null,
        }
    }

    #[test]
    fn failures_wait_longer_and_success_forgets_them() {
        let mut progress = Progress::from(7);
        let middle = u16::MAX / 2 + 1;
        for (failure, wait) in [(1, 5), (2, 10), (3, 20)] {
            progress.failed(String::from("refused"), at(0), middle);
            assert_eq!(progress.failures, failure);
            let next = at(0) + SignedDuration::from_secs(wait);
            assert_eq!(progress.next_at, Some(next));
        }
        assert_eq!((progress.through, progress.failing_since), (7, Some(at(0))));
        progress.taken(8, at(1));
        let expected = Progress {
            taken_at: Some(at(1)),
            ..Progress::from(8)
        };
        assert_eq!(progress, expected);
    }

    #[test]
    fn an_event_is_given_up_when_it_and_the_failures_are_three_days_old() {
        let mut progress = Progress::from(7);
        progress.failed(String::from("refused"), at(0), 0);
        for (event_at, now, given_up) in [
            (0, 71, false),
            (0, 72, true),
            (1, 72, false),
            (-99, 71, false),
        ] {
            assert_eq!(progress.gives_up(&event(event_at), at(now)), given_up);
        }
        progress.taken(7, at(72));
        assert!(
            !progress.gives_up(&event(-99), at(99)),
            "it has taken one since"
        );
    }

    #[test]
    fn one_that_is_gone_stays_so_until_the_configuration_or_a_person_says_otherwise() {
        let mut progress = Progress::from(7);
        progress.failed(String::from("refused"), at(0), 0);
        progress.gone(String::from("a"));
        let stopped = progress.clone();
        progress.configured("a");
        assert_eq!(progress, stopped);
        progress.configured("b");
        assert_eq!(progress, Progress::from(7));
        let mut progress = stopped;
        progress.hurry();
        assert_eq!((progress.stopped, progress.next_at), (None, None));
    }
}
