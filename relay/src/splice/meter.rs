//! What a joined session has moved, and when that is too much.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{End, Report, Side};
use crate::config::SpliceLimits;

/// Counts while it runs. Both directions are in one task; the atomics only make that shareable.
pub(super) struct Meter {
    started: Instant,
    max_octets: u64,
    max_duration: Duration,
    idle: Duration,
    up: AtomicU64,
    down: AtomicU64,
    /// Milliseconds from the start to the last octet.
    last_ms: AtomicU64,
    customer_ended: AtomicBool,
    destination_ended: AtomicBool,
}

impl Meter {
    pub(super) fn start(limits: &SpliceLimits) -> Self {
        Self {
            started: Instant::now(),
            max_octets: limits.max_octets,
            max_duration: limits.max_duration,
            idle: limits.idle,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            customer_ended: AtomicBool::new(false),
            destination_ended: AtomicBool::new(false),
        }
    }

    /// So many octets came from `side`. Beyond the limit they go nowhere.
    pub(super) fn moved(&self, side: Side, octets: usize) -> Result<(), End> {
        self.alive();
        let counter = match side {
            Side::Customer => &self.up,
            Side::Destination => &self.down,
        };
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        counter.fetch_add(octets, Ordering::Relaxed);
        let both = self
            .octets(&self.up)
            .saturating_add(self.octets(&self.down));
        if both > self.max_octets {
            return Err(End::TooManyOctets);
        }
        Ok(())
    }

    /// Octets have moved.
    pub(super) fn alive(&self) {
        let elapsed_ms = self.started.elapsed().as_millis();
        let elapsed_ms = u64::try_from(elapsed_ms).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed_ms, Ordering::Relaxed);
    }

    /// `side` has closed its half.
    pub(super) fn ended(&self, side: Side) {
        self.alive();
        self.half(side).store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub(super) fn has_ended(&self, side: Side) -> bool {
        self.half(side).load(Ordering::Relaxed)
    }

    fn half(&self, side: Side) -> &AtomicBool {
        match side {
            Side::Customer => &self.customer_ended,
            Side::Destination => &self.destination_ended,
        }
    }

    /// Completes when the session has lasted too long, or been silent for too long.
    pub(super) async fn limit(&self) -> End {
        let end = self.started + self.max_duration;
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let silent = self.started + last + self.idle;
            let now = Instant::now();
            if now >= end {
                return End::TooLong;
            }
            if now >= silent {
                return End::Idle;
            }
            sleep_until(silent.min(end)).await;
        }
    }

    pub(super) fn report(&self, end: End) -> Report {
        Report {
            octets_up: self.octets(&self.up),
            octets_down: self.octets(&self.down),
            elapsed: self.started.elapsed(),
            end,
        }
    }

    fn octets(&self, counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
