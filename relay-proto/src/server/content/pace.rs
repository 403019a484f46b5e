//! When content has come too slowly.

use core::time::Duration;

use crate::Time;
use crate::server::{Config, MinimumRate, Stress};

/// When octets came.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Pace {
    started: Time,
    last_octets: Time,
    /// How much of the window had been used up when the last octets came.
    used: Duration,
}

impl Pace {
    pub(in crate::server) fn new(now: Time) -> Self {
        Self {
            started: now,
            last_octets: now,
            used: Duration::ZERO,
        }
    }

    /// So many octets have come.
    pub(in crate::server) fn advance(&mut self, now: Time, octets: usize, config: &Config) {
        if let Some(MinimumRate {
            octets_per_second, ..
        }) = config.minimum_rate
        {
            let octets = u32::try_from(octets).unwrap_or(u32::MAX);
            let earned = Duration::from_secs(1)
                .saturating_mul(octets)
                .checked_div(octets_per_second)
                .unwrap_or(Duration::MAX);
            let passed = now.saturating_sub(self.last_octets);
            self.used = self.used.saturating_add(passed).saturating_sub(earned);
        }
        self.last_octets = now;
    }

    /// When the client has been too slow, for an octet, for the rate or for the message.
    pub(in crate::server) fn deadline(&self, config: &Config, stress: Stress) -> Time {
        let silent = self.last_octets.saturating_add(config.timeouts.content);
        let endless = self.end_of_message(config);
        let slow = config.minimum_rate.map(|rate| {
            let window = match stress {
                Stress::None => rate.window,
                Stress::High => rate.window_under_stress,
            };
            self.last_octets
                .saturating_add(window.saturating_sub(self.used))
        });
        silent.min(endless).min(slow.unwrap_or(Time::MAX))
    }

    /// When a wait for more octets is over that has its own bound.
    pub(in crate::server) fn deadline_after(&self, wait: Duration, config: &Config) -> Time {
        let silent = self.last_octets.saturating_add(wait);
        silent.min(self.end_of_message(config))
    }

    /// When the message must be whole.
    pub(in crate::server) fn end_of_message(&self, config: &Config) -> Time {
        self.started.saturating_add(config.timeouts.message)
    }

    /// Whether nothing at all has come for too long.
    pub(in crate::server) fn is_silent(&self, now: Time, config: &Config) -> bool {
        now >= self.last_octets.saturating_add(config.timeouts.content)
    }

    /// The client may send again, after a while in which it could not.
    pub(in crate::server) fn resume(&mut self, now: Time) {
        self.last_octets = now;
    }
}
