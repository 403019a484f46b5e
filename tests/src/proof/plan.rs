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

/// Something that happens so long after what happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// SIGKILL to all of it, and a new start at once; `early`: the time runs from when its port is open, not from when
    /// it greets.
    Kill { after: Duration, early: bool },
    /// SIGSTOP, and SIGCONT so much later.
    Freeze { after: Duration, time: Duration },
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

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) fault: Fault,
    pub(super) steps: Vec<Step>,
    /// What strace injects, if it must.
    pub(super) injection: Option<Injection>,
}

impl Plan {
    /// The plan of a run.
    pub(super) fn of(seed: u64, number: u64) -> Self {
        let mut chance = Chance::new(seed, number);
        let kinds = Fault::ALL.len();
        let at = usize::try_from(number).unwrap_or_default() % kinds;
        let fault = Fault::ALL.get(at).copied().unwrap_or(Fault::Kill);
        let kills = chance.within(4..8);
        let mut steps = Vec::new();
        for _ in 0..kills {
            if fault == Fault::Freeze {
                for _ in 0..chance.within(1..3) {
                    steps.push(Step::Freeze {
                        after: chance.millis(10..300),
                        time: chance.millis(10..600),
                    });
                }
            }
            // Some right after the start, while it still looks at what the one before has left.
            let early = chance.once_in(3);
            let after = chance.millis(if early { 0..100 } else { 0..700 });
            steps.push(Step::Kill { after, early });
        }
        let injection = match fault {
            Fault::Kill | Fault::Freeze | Fault::Cut | Fault::Full => None,
            Fault::SyncError | Fault::WriteError => Some(Injection::Failing {
                fault,
                // Behind what it takes to start: whoever never starts loses nothing.
                first: chance.within(8..20),
                step: chance.within(7..40),
            }),
            Fault::SlowDisk => Some(Injection::Slow {
                micros: chance.within(20_000..150_000),
            }),
        };
        Self {
            fault,
            steps,
            injection,
        }
    }

    /// How often it kills.
    pub(super) fn kills(&self) -> usize {
        let kills = |step: &&Step| matches!(step, Step::Kill { .. });
        self.steps.iter().filter(kills).count()
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
            assert!((4..8).contains(&plan.kills()));
            let at = usize::try_from(number).unwrap() % Fault::ALL.len();
            assert_eq!(plan.fault, Fault::ALL[at]);
        }
        assert_ne!(Plan::of(1, 0), Plan::of(2, 0));
    }
}
