//! How many connections a lane may have: more with each success, half as many when its site is strained, one now and
//! then while it is dead.

/// What went wrong with a site, as far as its pace is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No session: nobody there, no answer in time, or a greeting, EHLO or TLS that failed. So many of them in a row
    /// and the site is dead.
    Unreachable,
    /// A session, but 421, a time-out, or a connection lost in the middle.
    Strained,
    /// Not the site's: a proxy of ours, an address that we lack, a requirement of the message.
    Elsewhere,
}

/// Bounds of all lanes' paces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceLimits {
    /// Connections that a lane may have before anything is known; at least 1.
    pub initial: u32,
    /// The most that it may ever have.
    pub max: u32,
    /// So many connections in a row that failed, and the site is dead.
    pub failures: u32,
    /// How long until a dead site is tried, the first time, in milliseconds. Doubles.
    pub first_probe_ms: u64,
    /// Longest pause between two probes.
    pub longest_probe_ms: u64,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self {
            initial: 5,
            max: 20,
            failures: 5,
            first_probe_ms: 30_000,
            longest_probe_ms: 1_800_000,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Connections, in thousandths: a success adds a thousand divided by how many there are, so that all of them
    /// together add one.
    limit_milli: u32,
    failures: u32,
    /// When the limit was last made smaller. What began before that says nothing new.
    reduced_ms: u64,
    dead: Option<Dead>,
}

#[derive(Clone, Copy, Debug)]
struct Dead {
    pause_ms: u64,
    probe_at_ms: u64,
}

impl Pace {
    pub(super) fn new(limits: &PaceLimits) -> Self {
        Self {
            limit_milli: limits.initial.clamp(1, limits.max.max(1)) * 1000,
            failures: 0,
            reduced_ms: 0,
            dead: None,
        }
    }

    /// Connections that there may be; a dead site's probe is not among them.
    pub(super) fn limit(&self) -> u32 {
        (self.limit_milli / 1000).max(1)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.is_some()
    }

    /// When a dead site is to be tried.
    pub(super) fn probe_at_ms(&self) -> Option<u64> {
        self.dead.map(|dead| dead.probe_at_ms)
    }

    /// A dead site is tried now instead.
    pub(super) fn probe_now(&mut self, now_ms: u64) {
        if let Some(dead) = &mut self.dead {
            dead.probe_at_ms = now_ms;
        }
    }

    /// There is a session. Whether the site was dead: it goes on with one connection and grows.
    pub(super) fn connected(&mut self) -> bool {
        self.failures = 0;
        let revived = self.dead.take().is_some();
        if revived {
            self.limit_milli = 1000;
        }
        revived
    }

    /// A transaction that the site was well at.
    pub(super) fn succeeded(&mut self, limits: &PaceLimits) {
        self.failures = 0;
        let more = 1000 / self.limit();
        self.limit_milli = (self.limit_milli + more.max(1)).min(limits.max.max(1) * 1000);
    }

    /// Something that began at `since_ms` ended in a fault; whether the site is dead because of it, or still is.
    pub(super) fn failed(
        &mut self,
        fault: Fault,
        since_ms: u64,
        now_ms: u64,
        limits: &PaceLimits,
    ) -> bool {
        match fault {
            Fault::Elsewhere => {
                // The probe has found nothing out.
                if let Some(dead) = &mut self.dead {
                    dead.probe_at_ms = dead.probe_at_ms.max(now_ms.saturating_add(dead.pause_ms));
                }
                return self.is_dead();
            }
            Fault::Strained => {}
            Fault::Unreachable => self.failures = self.failures.saturating_add(1),
        }
        if since_ms >= self.reduced_ms {
            self.limit_milli = (self.limit_milli / 2).max(1000);
            self.reduced_ms = now_ms.saturating_add(1);
        }
        if fault == Fault::Unreachable && self.failures >= limits.failures.max(1) {
            let pause_ms = match self.dead {
                // One that began before it was known says nothing about how long.
                Some(dead) if now_ms < dead.probe_at_ms => dead.pause_ms,
                Some(dead) => (dead.pause_ms * 2).min(limits.longest_probe_ms),
                None => limits.first_probe_ms,
            };
            self.dead = Some(Dead {
                pause_ms,
                probe_at_ms: now_ms.saturating_add(pause_ms),
            });
        }
        self.is_dead()
    }

    /// Nothing was learnt here that a new lane would not assume.
    pub(super) fn is_fresh(&self, limits: &PaceLimits) -> bool {
        self.failures == 0 && self.dead.is_none() && self.limit() >= limits.initial.min(limits.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PaceLimits = PaceLimits {
        initial: 4,
        max: 10,
        failures: 3,
        first_probe_ms: 30_000,
        longest_probe_ms: 100_000,
    };

    #[test]
    fn successes_add_and_strain_halves() {
        let mut pace = Pace::new(&LIMITS);
        assert_eq!(pace.limit(), 4);
        (0..4).for_each(|_| pace.succeeded(&LIMITS));
        assert_eq!(pace.limit(), 5);
        (0..1000).for_each(|_| pace.succeeded(&LIMITS));
        assert_eq!(pace.limit(), 10);
        pace.failed(Fault::Strained, 100, 200, &LIMITS);
        assert_eq!(pace.limit(), 5);
        // The other nine were under way at the same time: it is one event.
        for _ in 0..9 {
            pace.failed(Fault::Strained, 150, 210, &LIMITS);
        }
        assert_eq!(pace.limit(), 5);
        for start in 0..9 {
            pace.failed(Fault::Strained, 300 + 10 * start, 305 + 10 * start, &LIMITS);
        }
        assert_eq!(pace.limit(), 1);
        pace.failed(Fault::Elsewhere, 9000, 9000, &LIMITS);
        assert!(!pace.is_dead());
    }

    #[test]
    fn a_dead_site_is_tried_ever_more_seldom_and_grows_from_one() {
        let mut pace = Pace::new(&LIMITS);
        assert!(!pace.failed(Fault::Unreachable, 0, 1, &LIMITS));
        pace.connected();
        assert!(!pace.failed(Fault::Unreachable, 10, 11, &LIMITS));
        assert!(!pace.failed(Fault::Unreachable, 20, 21, &LIMITS));
        assert!(pace.failed(Fault::Unreachable, 30, 31, &LIMITS));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let at = pace.probe_at_ms().unwrap();
            assert!(pace.failed(Fault::Unreachable, at, at + 5, &LIMITS));
            pauses.push(pace.probe_at_ms().unwrap() - at - 5);
        }
        assert_eq!(pauses, [60_000, 100_000, 100_000, 100_000]);
        assert!(pace.connected());
        assert_eq!(pace.limit(), 1);
        (0..3).for_each(|_| pace.succeeded(&LIMITS));
        assert_eq!(pace.limit(), 3);
    }
}
