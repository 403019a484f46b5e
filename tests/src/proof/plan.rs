//! What is done to the system in a run, and when; the same for the same seed.

use std::time::Duration;

use serde::Serialize;

use super::chance::Chance;

/// What goes wrong in a run besides being killed, which happens in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing else.
    Kill,
    /// It is stopped for a while, again and again (SIGSTOP).
    Freeze,
    /// The far end cuts connections at any octet.
    Cut,
    /// The far end is closed, and the disk gets full.
    Full,
    /// A sync fails now and then (EIO).
    SyncError,
    /// A write fails now and then (ENOSPC), as on a file system that others fill.
    WriteError,
    /// Every sync takes long.
    SlowDisk,
}

impl Fault {
    /// All, in the order of runs.
    pub const ALL: [Self; 7] = [
        Self::Kill,
        Self::Freeze,
        Self::Cut,
        Self::Full,
        Self::SyncError,
        Self::WriteError,
        Self::SlowDisk,
    ];

    /// As people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "kill, freeze",
            Self::Cut => "kill, cut connections",
            Self::Full => "kill, full disk",
            Self::SyncError => "kill, EIO of syncs",
            Self::WriteError => "kill, ENOSPC of writes",
            Self::SlowDisk => "kill, slow disk",
        }
    }
}

/// What the system is told by a kernel that does not mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Injection {
    /// An error at a call, and at every so many after it, of each thread.
    Failing { fault: Fault, first: u64, step: u64 },
    /// So much time before each sync.
    Slow { micros: u64 },
}

impl Injection {
    /// As strace wants it; `writes` are the calls that a system takes room on the disk by.
    pub(super) fn expression(self, writes: &str) -> String {
        match self {
            Self::Failing { fault, first, step } => {
                let (calls, error) = if fault == Fault::SyncError {
                    ("fsync,fdatasync", "EIO")
                } else {
                    (writes, "ENOSPC")
                };
                format!("inject={calls}:error={error}:when={first}+{step}")
            }
            Self::Slow { micros } => format!("inject=fsync,fdatasync:delay_enter={micros}"),
        }
    }
}

/// SIGSTOP, and SIGCONT so much later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freeze {
    pub(super) after: Duration,
    pub(super) time: Duration,
}

/// From a start of the system to its SIGKILL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Its time runs from when its port is open, not from when it greets: it may still look at what the one before has
    /// left.
    pub(super) early: bool,
    pub(super) freezes: Vec<Freeze>,
    /// What strace injects, if it must.
    pub(super) injection: Option<Injection>,
    /// How much longer it lives: after its freezes, or after the first call that was made to fail.
    pub(super) time: Duration,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) fault: Fault,
    pub(super) lives: Vec<Life>,
}

impl Plan {
    /// The plan of a run.
    pub(super) fn of(seed: u64, number: u64) -> Self {
        let mut chance = Chance::new(seed, number);
        let kinds = Fault::ALL.len();
        let at = usize::try_from(number).unwrap_or_default() % kinds;
        let fault = Fault::ALL.get(at).copied().unwrap_or(Fault::Kill);
        let lives = 0..chance.within(12..20);
        Self {
            fault,
            lives: lives.map(|_| Life::of(fault, &mut chance)).collect(),
        }
    }
}

impl Life {
    fn of(fault: Fault, chance: &mut Chance) -> Self {
        let injection = Self::injection(fault, chance);
        let failing = matches!(injection, Some(Injection::Failing { .. }));
        // One whose calls fail may end by itself at the start, and then nothing would be killed.
        let early = chance.once_in(3) && !failing;
        let freezes = if fault == Fault::Freeze { 1..3 } else { 0..1 };
        let freezes = 0..chance.within(freezes);
        let freezes = freezes.map(|_| Freeze {
            after: chance.millis(10..300),
            time: chance.millis(10..600),
        });
        Self {
            early,
            freezes: freezes.collect(),
            injection,
            time: chance.millis(if early || failing { 0..100 } else { 0..700 }),
        }
    }

    fn injection(fault: Fault, chance: &mut Chance) -> Option<Injection> {
        match fault {
            Fault::Kill | Fault::Freeze | Fault::Cut | Fault::Full => None,
            Fault::SyncError | Fault::WriteError => Some(Injection::Failing {
                fault,
                // Some from the start on; most behind what it takes to start, when it has something to lose.
                first: if chance.once_in(5) {
                    chance.within(1..8)
                } else {
                    chance.within(8..20)
                },
                step: chance.within(3..20),
            }),
            Fault::SlowDisk => Some(Injection::Slow {
                micros: chance.within(20_000..150_000),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_take_every_fault_in_turn_and_all_kill() {
        for number in 0..50 {
            let plan = Plan::of(1, number);
            assert_eq!(plan, Plan::of(1, number));
            assert!((12..20).contains(&plan.lives.len()));
            let at = usize::try_from(number).unwrap() % Fault::ALL.len();
            assert_eq!(plan.fault, Fault::ALL[at]);
        }
        assert_ne!(Plan::of(1, 0), Plan::of(2, 0));
    }

    #[test]
    fn every_life_of_an_injected_fault_has_its_injection() {
        for number in 0..70 {
            let plan = Plan::of(3, number);
            let failing = matches!(plan.fault, Fault::SyncError | Fault::WriteError);
            let injected = failing || plan.fault == Fault::SlowDisk;
            for life in plan.lives {
                assert_eq!(life.injection.is_some(), injected);
                assert!(!(failing && life.early));
                assert_eq!(life.freezes.is_empty(), plan.fault != Fault::Freeze);
            }
        }
    }
}
