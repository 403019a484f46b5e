//! One run: a plan carried out on a new system, and what the books say afterwards.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    books::{Book, Disturbance, Verdict},
    client::Counts,
    pace::{Neighbour, Pace},
    plan::{Fault, Plan},
    report::Outcome,
    sink::{Mood, Sink},
    system::{Peer, System},
    trace::Trace,
};
use crate::{
    host::Host,
    lab::Lab,
    process::{Process, checked, tail},
    wait::patient,
};

mod lives;

use lives::Lives;

/// What all runs share.
#[derive(Debug)]
pub(super) struct Stage<'lab> {
    pub(super) lab: &'lab Lab,
    pub(super) peer: Peer,
    pub(super) seed: u64,
    pub(super) sabotage: bool,
    pub(super) sink: Sink,
    pub(super) sink_address: SocketAddrV4,
    pub(super) listen: SocketAddrV4,
    /// A small disk.
    pub(super) full: PathBuf,
}

impl Stage<'_> {
    /// Does it, with its files in `dir`.
    pub(super) fn run(&self, number: u64, plan: &Plan, dir: &Path) -> Result<Outcome> {
        let begun = Instant::now();
        let trace = Trace::new(dir.join("strace"));
        let disk = if plan.fault == Fault::Full {
            self.full.as_path()
        } else {
            dir
        };
        let system = self.system(dir, disk);
        let acknowledged = Arc::new(Book::create(&dir.join(ACKNOWLEDGED), begun)?);
        let arrived = Arc::new(Book::create(&dir.join(ARRIVED), begun)?);
        self.sink.write_to(Some(Arc::clone(&arrived)));
        self.sink.become_(self.mood(plan.fault));
        let neighbour = Neighbour::begin(&disk.join("neighbour"), begun)?;
        let counts = Counts::default();
        let mut lives = Lives {
            system: &system,
            trace: &trace,
            neighbour: &neighbour,
            sink: &self.sink,
            begun,
            disturbances: Vec::new(),
            died: None,
        };
        lives.under_load(plan, number, self.seed, &acknowledged, &counts)?;
        let Lives {
            mut disturbances,
            died,
            ..
        } = lives;
        let beats = neighbour.end()?;
        if self.sabotage {
            destroy_one(dir, &system.queue)?;
        }
        self.sink.become_(Mood::Open);
        let cuts = self.sink.cuts(begun);
        let count = cuts.len();
        disturbances.extend(cuts);
        let from = begun.elapsed();
        let process = system.start(&[])?;
        // What a life had sent when it was killed may have been read only now.
        disturbances.push(Disturbance {
            from,
            to: begun.elapsed(),
        });
        let queued = drained(&system, process, dir)?;
        self.sink.write_to(None);
        for book in [&acknowledged, &arrived] {
            book.sync()?;
        }
        let lines = Book::read(&dir.join(ACKNOWLEDGED))?;
        if lines.is_empty() {
            let ended = counts.ended.into_inner().unwrap_or_default();
            bail!(
                "nothing was acknowledged; a session ended with {}; the log ends in\n{}",
                ended.unwrap_or_default(),
                tail(&system.log())
            );
        }
        let hits = trace.hits()?;
        let refused = counts.refused.load(Ordering::SeqCst);
        let freezes = plan.lives.iter().map(|life| life.freezes.len());
        let happened = match plan.fault {
            Fault::Kill => plan.lives.len(),
            Fault::Freeze => freezes.sum(),
            Fault::Cut => count,
            Fault::Full => usize::try_from(refused)?,
            Fault::SyncError | Fault::WriteError | Fault::SlowDisk => hits.len(),
        };
        let arrivals = Book::read(&dir.join(ARRIVED))?;
        let pace = Pace { beats, hits };
        let verdict = Verdict::of(&lines, &arrivals, &queued, &disturbances, &pace);
        let surprise = counts.surprise.into_inner().unwrap_or_default().or(died);
        let kept = (!verdict.is_good() || surprise.is_some())
            .then(|| self.keep(number, dir))
            .transpose()?;
        let outcome = Outcome {
            number,
            fault: plan.fault,
            kills: plan.lives.len(),
            hits: u64::try_from(happened)?,
            refused,
            verdict,
            surprise,
            kept,
        };
        if system.queue.exists() {
            fs::remove_dir_all(&system.queue)?;
        }
        Ok(outcome)
    }

    fn system(&self, dir: &Path, disk: &Path) -> System {
        System {
            peer: self.peer,
            namespace: self.lab.namespace(Host::Relay),
            binaries: self.lab.binaries().clone(),
            dir: dir.to_owned(),
            queue: disk.join("queue"),
            listen: self.listen,
            sink: self.sink_address,
            octets_max: OCTETS_MAX * 2,
        }
    }

    fn mood(&self, fault: Fault) -> Mood {
        match fault {
            _ if self.sabotage => Mood::Closed,
            Fault::Cut => Mood::Cutting,
            Fault::Full => Mood::Closed,
            Fault::Kill
            | Fault::Freeze
            | Fault::SyncError
            | Fault::WriteError
            | Fault::SlowDisk => Mood::Open,
        }
    }

    /// Puts the files of a run that failed where a person finds them.
    fn keep(&self, number: u64, dir: &Path) -> Result<PathBuf> {
        let kept = std::env::temp_dir().join(format!("outgate-ledger-{}-{number}", self.seed));
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        checked(Command::new("cp").arg("-a").args([dir, &kept]))?;
        Ok(kept)
    }
}

/// Leaves the system alone until everything has arrived or nothing more does, and asks what it still has.
fn drained(system: &System, process: Process, dir: &Path) -> Result<BTreeSet<String>> {
    let entries = |name| -> Result<BTreeSet<String>> {
        let lines = Book::read(&dir.join(name))?;
        let whole = lines.into_iter().filter(|line| line.whole);
        Ok(whole.map(|line| line.entry).collect())
    };
    let acknowledged = entries(ACKNOWLEDGED)?;
    let begun = Instant::now();
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let arrived = entries(ARRIVED)?;
        if acknowledged.is_subset(&arrived) {
            break;
        }
        if arrived.len() != last {
            (last, moved) = (arrived.len(), Instant::now());
        }
        if moved.elapsed() > patient(QUIET) || begun.elapsed() > patient(DRAIN_LIMIT) {
            break;
        }
        // It may not be as far as to take orders; whoever is not asked tries by itself, later.
        let _asked = system.flush().is_ok();
        thread::sleep(Duration::from_millis(250));
    }
    let queued = system.queued()?;
    process.stop()?;
    Ok(queued)
}

/// Removes a file in which the system keeps an acknowledged entry.
fn destroy_one(dir: &Path, queue: &Path) -> Result<()> {
    let acknowledged = Book::read(&dir.join(ACKNOWLEDGED))?;
    let last = acknowledged.last().context("nothing was acknowledged")?;
    let grep = Command::new("grep")
        .args(["-rlF", "--", &last.entry])
        .arg(queue)
        .output()?;
    let found = String::from_utf8_lossy(&grep.stdout).into_owned();
    let found: Vec<&str> = found.lines().collect();
    anyhow::ensure!(!found.is_empty(), "{} is in no file", last.entry);
    for path in found {
        fs::remove_file(path)?;
    }
    Ok(())
}

const ACKNOWLEDGED: &str = "acknowledged";
const ARRIVED: &str = "arrived";
/// Of a message's body: some are kept in a file of their own.
const OCTETS_MAX: u64 = 3 << 19;
/// Without one more arrival, what is missing does not come.
const QUIET: Duration = Duration::from_secs(8);
const DRAIN_LIMIT: Duration = Duration::from_secs(120);
