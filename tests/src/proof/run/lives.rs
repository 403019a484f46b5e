//! The system's lives under load, one after the other, each ended as its plan says.

use std::{
    ffi::OsString,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::OCTETS_MAX;
use crate::{
    process::Process,
    proof::{
        books::{Book, Disturbance},
        client::{Client, Counts},
        pace::Neighbour,
        plan::{Fault, Injection, Life, Plan},
        sink::Sink,
        system::{Peer, System},
        trace::Trace,
    },
    wait::patient,
};

/// Lives of one system, and what was done to it.
#[derive(Debug)]
pub(super) struct Lives<'a> {
    pub(super) system: &'a System,
    pub(super) trace: &'a Trace,
    pub(super) neighbour: &'a Neighbour,
    pub(super) sink: &'a Sink,
    pub(super) begun: Instant,
    pub(super) disturbances: Vec<Disturbance>,
    /// How it ended by itself, if it did: nobody may lose more than an answer to a disk that fails.
    pub(super) died: Option<String>,
}

impl Lives<'_> {
    /// Sends, and does what the plan says meanwhile; in the end the system is dead.
    pub(super) fn under_load(
        &mut self,
        plan: &Plan,
        number: u64,
        seed: u64,
        book: &Book,
        counts: &Counts,
    ) -> Result<()> {
        let ended = AtomicBool::new(false);
        let client = Client {
            system: self.system.listen.into(),
            destination: self.system.destination(),
            book,
            ended: &ended,
            counts,
            run: number,
            seed,
            octets_max: usize::try_from(OCTETS_MAX)?,
        };
        let namespace = self.system.namespace.clone();
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                namespace.inside(|| {
                    client.send(SESSIONS);
                    Ok(())
                })
            });
            let outcome = plan.lives.iter().try_for_each(|life| self.live(plan, life));
            ended.store(true, Ordering::SeqCst);
            let sent = sending.join();
            sent.map_err(|_panic| anyhow::anyhow!("the client panicked"))??;
            outcome
        })
    }

    /// One life, from its start to its end.
    fn live(&mut self, plan: &Plan, life: &Life) -> Result<()> {
        let writes = self.system.peer.writes();
        let around = self.trace.around(life.injection, writes);
        if let Some(Injection::Slow { micros }) = life.injection {
            self.neighbour.slow_down(micros);
        }
        let hits = self.trace.hits()?.len();
        let from = self.begun.elapsed();
        let mut process = self.start(life, &around)?;
        self.disturbed_since(from);
        for freeze in &life.freezes {
            thread::sleep(freeze.after);
            let from = self.begun.elapsed();
            process.freeze(true);
            thread::sleep(freeze.time);
            process.freeze(false);
            self.disturbed_since(from);
        }
        match plan.fault {
            // Killed on the way out of it. Some have met it at the start, and live on undisturbed.
            Fault::SyncError | Fault::WriteError => {
                until_met(|| Ok(self.trace.hits()?.len() > hits))?;
            }
            // Once is enough: a site that cuts everything is taken for dead soon.
            Fault::Cut => until_met(|| Ok(self.sink.has_cut()))?,
            Fault::Kill | Fault::Freeze | Fault::Full | Fault::SlowDisk => {}
        }
        thread::sleep(life.time);
        let from = self.begun.elapsed();
        if self.system.peer == Peer::Relay
            && let Some(status) = process.ended()?
        {
            self.died = Some(format!("it has ended by itself: {status}"));
        }
        process.kill()?;
        self.disturbed_since(from);
        Ok(())
    }

    fn start(&self, life: &Life, around: &[OsString]) -> Result<Process> {
        if life.early {
            return self.system.begin(around);
        }
        self.system.start(around)
    }

    fn disturbed_since(&mut self, from: Duration) {
        let to = self.begun.elapsed();
        self.disturbances.push(Disturbance { from, to });
    }
}

/// Waits until the fault of a run was met; what never happens is missed in the end.
fn until_met(met: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + patient(HIT_LIMIT);
    while !met()? && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

const SESSIONS: u64 = 8;
/// In which a system under load writes often enough.
const HIT_LIMIT: Duration = Duration::from_secs(5);
