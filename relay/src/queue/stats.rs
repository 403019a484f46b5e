//! The queue in numbers.

use relay_proto::queue::{Counts, JobState};
use relay_proto::queued::UnixMillis;

use super::{Queue, World};
use crate::metrics::exposition::family;

/// What has happened since the start; recipients, but for warnings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Taken by their servers.
    pub delivered: u64,
    /// Refused for good.
    pub failed: u64,
    /// Given up because their time was up.
    pub expired: u64,
    /// Deferrals: one each time.
    pub deferred: u64,
    /// Senders that were warned.
    pub warned: u64,
}

/// The queue in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// What is there now.
    pub counts: Counts,
    /// What has happened.
    pub totals: Totals,
    /// Age of the oldest message in seconds, to the minute.
    pub oldest_age_seconds: u64,
}

impl<W: World> Queue<W> {
    /// The queue in numbers.
    pub fn stats(&self) -> Stats {
        let now = self.now();
        let state = self.state();
        let counts = state.scheduler.counts();
        let age_ms = |oldest: UnixMillis| now.0.saturating_sub(oldest.0);
        Stats {
            counts,
            totals: state.totals,
            oldest_age_seconds: counts.oldest.map_or(0, age_ms) / 1000,
        }
    }
}

/// Metrics for Prometheus, as [`crate::metrics::exposition`] writes the others.
#[must_use]
pub fn exposition(stats: &Stats) -> String {
    let mut text = String::new();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    for (state, count) in JobState::ALL.into_iter().zip(stats.counts.by_state) {
        let (name, help) = match state {
            JobState::Scheduled => ("queue_scheduled", "that will be due"),
            JobState::Waiting => ("queue_waiting", "that wait for a route, or are paused"),
            JobState::Ready => ("queue_ready", "that wait for a connection"),
            JobState::InFlight => ("queue_in_flight", "that are being attempted"),
            JobState::Held => ("queue_held", "that a person holds"),
        };
        let help = format!("Queued messages, once for each domain, {help}.");
        family(&mut text, name, "gauge", &help, number(count));
    }
    let Stats {
        counts,
        totals,
        oldest_age_seconds,
    } = stats;
    let gauges = [
        (
            "queue_connections",
            "Connections of the queue.",
            u64::from(counts.connections),
        ),
        (
            "queue_dead_sites",
            "Sites that are taken for dead.",
            number(counts.dead),
        ),
        (
            "queue_oldest_age_seconds",
            "Age of the oldest queued message.",
            *oldest_age_seconds,
        ),
    ];
    for (name, help, value) in gauges {
        family(&mut text, name, "gauge", help, value);
    }
    let Totals {
        delivered,
        failed,
        expired,
        deferred,
        warned,
    } = *totals;
    let counters = [
        (
            "queue_delivered_total",
            "Recipients whose servers took queued messages.",
            delivered,
        ),
        (
            "queue_failed_total",
            "Recipients of queued messages that were refused for good.",
            failed,
        ),
        (
            "queue_expired_total",
            "Recipients that were given up because their time was up.",
            expired,
        ),
        (
            "queue_deferred_total",
            "Deferrals of recipients of queued messages.",
            deferred,
        ),
        (
            "queue_warned_total",
            "Senders that were warned of a late message.",
            warned,
        ),
    ];
    for (name, help, value) in counters {
        family(&mut text, name, "counter", help, value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_there_once() {
        let stats = Stats {
            counts: Counts {
                by_state: [1, 2, 3, 4, 5],
                connections: 6,
                lanes: 0,
                dead: 7,
                oldest: None,
            },
            totals: Totals {
                delivered: 9,
                failed: 10,
                expired: 11,
                deferred: 12,
                warned: 13,
            },
            oldest_age_seconds: 8,
        };
        let text = exposition(&stats);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "scheduled 1",
            "waiting 2",
            "ready 3",
            "in_flight 4",
            "held 5",
            "connections 6",
            "dead_sites 7",
            "oldest_age_seconds 8",
            "delivered_total 9",
            "failed_total 10",
            "expired_total 11",
            "deferred_total 12",
            "warned_total 13",
        ];
        assert_eq!(
            samples,
            expected.map(|it| format!("outgate_relay_queue_{it}"))
        );
    }
}
