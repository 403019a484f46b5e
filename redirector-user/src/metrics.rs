//! What the controller counts and measures of itself, for whoever scrapes it.
//!
//! [`Metrics`] is noted into while work is done, by cheap locks that nobody holds for long; [`exposition`] is the text that
//! Prometheus reads, [`http`] the listener that a scrape comes to. What is true now is not here: it is asked of store,
//! state and kernel when somebody scrapes (`controller/figures`).
//!
//! Labels are words of this program and names of the configuration, so that a stranger cannot make new ones.

pub mod exposition;
pub mod histogram;
pub mod http;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::histogram::Histogram;

/// All that is counted since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Request, Histogram>>,
    propagation: Mutex<BTreeMap<Change, Histogram>>,
    firings: Mutex<BTreeMap<(String, &'static str), u64>>,
    webhooks: Mutex<BTreeMap<(String, &'static str), u64>>,
    notices: Mutex<BTreeMap<&'static str, u64>>,
}

/// A kind of request over the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `GET`; `other` stands for methods that HTTP does not name.
    pub method: &'static str,
    /// The route as it is declared; `other` stands for paths that are none.
    pub route: String,
    /// First digit of the status, as `2xx`.
    pub status: &'static str,
}

/// What comes into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A flag.
    Flag,
    /// That there is one no more.
    Lift,
}

impl Change {
    /// As the label spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Lift => "lift",
        }
    }
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, request: Request, took: Duration) {
        lock(&self.requests)
            .entry(request)
            .or_insert_with(Histogram::short)
            .observe(took);
    }

    /// Changes are in force, so long after each was stored.
    pub fn in_force(&self, change: Change, after: impl IntoIterator<Item = Duration>) {
        let mut propagation = lock(&self.propagation);
        let histogram = propagation.entry(change).or_insert_with(Histogram::long);
        for after in after {
            histogram.observe(after);
        }
    }

    /// A rule wanted something.
    pub fn fired(&self, rule: &str, outcome: &'static str) {
        let mut firings = lock(&self.firings);
        let key = (rule.to_owned(), outcome);
        // Names come with files of rules; somebody may write a new one every day.
        if firings.len() < FIRINGS_MAX || firings.contains_key(&key) {
            *firings.entry(key).or_default() += 1;
        }
    }

    /// A webhook was asked to take an event, and did or did not.
    pub fn webhook_asked(&self, webhook: &str, outcome: &'static str) {
        self.webhook(webhook, outcome, 1);
    }

    /// A webhook was not told events.
    pub fn webhook_lost(&self, webhook: &str, events: u64) {
        self.webhook(webhook, "lost", events);
    }

    /// Names are the configuration's, so they are bounded.
    fn webhook(&self, webhook: &str, outcome: &'static str, events: u64) {
        let mut webhooks = lock(&self.webhooks);
        *webhooks.entry((webhook.to_owned(), outcome)).or_default() += events;
    }

    /// Something came of a notice.
    pub fn notice(&self, outcome: &'static str) {
        *lock(&self.notices).entry(outcome).or_default() += 1;
    }

    /// How often that came of a notice, since the start.
    #[must_use]
    pub fn notices(&self, outcome: &'static str) -> u64 {
        lock(&self.notices)
            .get(outcome)
            .copied()
            .unwrap_or_default()
    }

    /// What came of a webhook's events, since the start.
    #[must_use]
    pub fn webhook_events(&self, webhook: &str, outcome: &'static str) -> u64 {
        let webhooks = lock(&self.webhooks);
        let key = (webhook.to_owned(), outcome);
        webhooks.get(&key).copied().unwrap_or_default()
    }

    /// Requests, by what was asked.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<Request, Histogram> {
        lock(&self.requests).clone()
    }

    /// From stored to in force.
    #[must_use]
    pub fn propagation(&self) -> BTreeMap<Change, Histogram> {
        lock(&self.propagation).clone()
    }

    /// How often which rule wanted something, by what came of it.
    #[must_use]
    pub fn firings(&self) -> BTreeMap<(String, &'static str), u64> {
        lock(&self.firings).clone()
    }
}

/// A panic while it was held has left whole numbers behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const FIRINGS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rules_are_bounded() {
        let metrics = Metrics::default();
        for number in 0..2 * FIRINGS_MAX {
            metrics.fired(&format!("rule-{number}"), "done");
        }
        metrics.fired("rule-1", "done");
        let firings = metrics.firings();
        assert_eq!(firings.len(), FIRINGS_MAX);
        assert_eq!(firings[&(String::from("rule-1"), "done")], 2);
    }

    #[test]
    fn what_was_asked_is_kept_apart() {
        let metrics = Metrics::default();
        let request = |status| Request {
            method: "GET",
            route: String::from("/v1/flags/{id}"),
            status,
        };
        metrics.answered(request("2xx"), Duration::from_millis(1));
        metrics.answered(request("2xx"), Duration::from_millis(1));
        metrics.answered(request("4xx"), Duration::from_millis(1));
        let counts: Vec<u64> = metrics.requests().values().map(Histogram::count).collect();
        assert_eq!(counts, [2, 1]);
    }
}
