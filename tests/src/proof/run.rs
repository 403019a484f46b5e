//! One run: a plan carried out on a new system, and what the books say afterwards.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    books::{Book, Disturbance, Verdict},
    client::{Client, Counts},
    plan::{Fault, Plan, Step},
    report::Outcome,
    sink::{Mood, Sink},
    system::{Peer, System},
};
use crate::{
    host::Host,
    lab::Lab,
    process::{Process, checked, tail},
    wait::patient,
};

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

/// A run that is on.
struct Running<'a> {
    stage: &'a Stage<'a>,
    plan: &'a Plan,
    system: System,
    begun: Instant,
    acknowledged: Arc<Book>,
    trace: PathBuf,
    disturbances: Vec<Disturbance>,
}

impl Stage<'_> {
    /// Does it, with its files in `dir`.
    pub(super) fn run(&self, number: u64, plan: &Plan, dir: &Path) -> Result<Outcome> {
        let begun = Instant::now();
        let queue = if plan.fault == Fault::Full {
            &self.full
        } else {
            dir
        };
        let mut running = Running {
            stage: self,
            plan,
            system: System {
                peer: self.peer,
                namespace: self.lab.namespace(Host::Relay),
                binaries: self.lab.binaries().clone(),
                dir: dir.to_owned(),
                queue: queue.join("queue"),
                listen: self.listen,
                sink: self.sink_address,
                octets_max: OCTETS_MAX * 2,
            },
            begun,
            acknowledged: Arc::new(Book::create(&dir.join(ACKNOWLEDGED), begun)?),
            trace: dir.join("strace"),
            disturbances: Vec::new(),
        };
        let arrived = Arc::new(Book::create(&dir.join(ARRIVED), begun)?);
        self.sink.write_to(Some(Arc::clone(&arrived)));
        self.sink.become_(match plan.fault {
            _ if self.sabotage => Mood::Closed,
            Fault::Cut => Mood::Cutting,
            Fault::Full => Mood::Closed,
            Fault::Kill
            | Fault::Freeze
            | Fault::SyncError
            | Fault::WriteError
            | Fault::SlowDisk => Mood::Open,
        });
        let counts = Counts::default();
        running.under_load(number, &counts)?;
        if self.sabotage {
            destroy_one(dir, &running.system.queue)?;
        }
        self.sink.become_(Mood::Open);
        let cuts = self.sink.cuts(begun);
        let count = cuts.len();
        running.disturbances.extend(cuts);
        let queued = running.drained(dir)?;
        self.sink.write_to(None);
        for book in [&running.acknowledged, &arrived] {
            book.sync()?;
        }
        let lines = Book::read(&dir.join(ACKNOWLEDGED))?;
        if lines.is_empty() {
            let ended = counts.ended.into_inner().unwrap_or_default();
            bail!(
                "nothing was acknowledged; a session ended with {}; the log ends in\n{}",
                ended.unwrap_or_default(),
                tail(&running.system.log())
            );
        }
        let verdict = Verdict::of(
            &lines,
            &Book::read(&dir.join(ARRIVED))?,
            &queued,
            &running.disturbances,
        );
        let kept = (!verdict.is_good())
            .then(|| self.keep(number, dir))
            .transpose()?;
        let surprise = counts.surprise.into_inner().unwrap_or_default();
        let outcome = Outcome {
            number,
            fault: plan.fault,
            kills: plan.kills(),
            hits: running.hits(count, counts.refused.load(Ordering::SeqCst))?,
            refused: counts.refused.into_inner(),
            verdict,
            surprise,
            kept,
        };
        if running.system.queue.exists() {
            fs::remove_dir_all(&running.system.queue)?;
        }
        Ok(outcome)
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

impl Running<'_> {
    /// Sends, and does what the plan says meanwhile; in the end the system is dead.
    fn under_load(&mut self, number: u64, counts: &Counts) -> Result<()> {
        let around = self.around();
        let process = self.system.start(&around)?;
        let acknowledged = Arc::clone(&self.acknowledged);
        let ended = AtomicBool::new(false);
        let client = Client {
            system: self.system.listen.into(),
            destination: self.system.destination(),
            book: &acknowledged,
            ended: &ended,
            counts,
            run: number,
            seed: self.stage.seed,
            octets_max: usize::try_from(OCTETS_MAX)?,
        };
        let namespace = self.system.namespace.clone();
        let process = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                namespace.inside(|| {
                    client.send(SESSIONS);
                    Ok(())
                })
            });
            let outcome = self.steps(process, &around);
            ended.store(true, Ordering::SeqCst);
            let sent = sending.join();
            sent.map_err(|_panic| anyhow::anyhow!("the client panicked"))??;
            outcome
        })?;
        self.kill(process)
    }

    fn steps(&mut self, mut process: Process, around: &[OsString]) -> Result<Process> {
        for (number, step) in self.plan.steps.iter().enumerate() {
            match *step {
                Step::Freeze { after, time } => {
                    thread::sleep(after);
                    let from = self.begun.elapsed();
                    process.freeze(true);
                    thread::sleep(time);
                    process.freeze(false);
                    let to = self.begun.elapsed();
                    self.disturbances.push(Disturbance { from, to });
                }
                Step::Kill { after, .. } => {
                    thread::sleep(after);
                    let from = self.begun.elapsed();
                    process.kill()?;
                    let next = self.plan.steps.get(number + 1);
                    process = match next {
                        Some(Step::Kill { early: true, .. }) => self.system.begin(around)?,
                        Some(_) | None => self.system.start(around)?,
                    };
                    let to = self.begun.elapsed();
                    self.disturbances.push(Disturbance { from, to });
                }
            }
        }
        // Whatever the last start brought back is under way by now.
        thread::sleep(Duration::from_millis(200));
        Ok(process)
    }

    fn kill(&mut self, process: Process) -> Result<()> {
        let from = self.begun.elapsed();
        process.kill()?;
        let to = self.begun.elapsed();
        self.disturbances.push(Disturbance { from, to });
        Ok(())
    }

    /// Starts the system, leaves it alone until everything has arrived or nothing more does, and asks what it still has.
    fn drained(&self, dir: &Path) -> Result<BTreeSet<String>> {
        let process = self.system.start(&[])?;
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
            let _asked = self.system.flush().is_ok();
            thread::sleep(Duration::from_millis(250));
        }
        let queued = self.system.queued()?;
        process.stop()?;
        Ok(queued)
    }

    /// The words in front of the system's command.
    fn around(&self) -> Vec<OsString> {
        let Some(injection) = self.plan.injection else {
            return Vec::new();
        };
        let writes = self.system.peer.writes();
        let mut words: Vec<OsString> = ["strace", "-f", "-qq", "--seccomp-bpf", "-A", "-o"]
            .map(OsString::from)
            .into();
        words.push(self.trace.clone().into());
        let traced = format!("trace=fsync,fdatasync,{writes}");
        for expression in [traced, injection.expression(writes)] {
            words.extend(["-e".into(), expression.into()]);
        }
        words
    }

    /// How often what the plan is about really happened, besides kills.
    fn hits(&self, cuts: usize, refused: u64) -> Result<u64> {
        let freezes = |step: &&Step| matches!(step, Step::Freeze { .. });
        Ok(match self.plan.fault {
            Fault::Kill => u64::try_from(self.plan.kills())?,
            Fault::Freeze => u64::try_from(self.plan.steps.iter().filter(freezes).count())?,
            Fault::Cut => u64::try_from(cuts)?,
            Fault::Full => refused,
            Fault::SyncError | Fault::WriteError | Fault::SlowDisk => {
                let trace = fs::read_to_string(&self.trace).context("what strace wrote")?;
                let injected =
                    |line: &&str| line.contains("(INJECTED)") || line.contains("(DELAYED)");
                u64::try_from(trace.lines().filter(injected).count())?
            }
        })
    }
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

const SESSIONS: u64 = 8;
const ACKNOWLEDGED: &str = "acknowledged";
const ARRIVED: &str = "arrived";
/// Of a message's body: some are kept in a file of their own.
const OCTETS_MAX: u64 = 3 << 19;
/// Without one more arrival, what is missing does not come.
const QUIET: Duration = Duration::from_secs(8);
const DRAIN_LIMIT: Duration = Duration::from_secs(120);
