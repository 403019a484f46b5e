//! What a lab has made, on disk before it is made, so that it can be unmade by anybody.
//!
//! One file per prefix under `/run/outgate-lab`. A lab whose owner died is taken down by the next
//! lab of the same prefix; a lab whose owner lives is never touched; a kept lab has no owner.
//! Processes are not listed: whatever runs in one of the lab's namespaces is the lab's, and the
//! kernel knows those.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{process::checked, wait::until};

/// The list, as it stands on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    prefix: String,
    /// None: kept for a person.
    owner: Option<Owner>,
    /// Sockets, logs, state, mail.
    dir: Option<PathBuf>,
    pin_dir: PathBuf,
    namespaces: Vec<String>,
    mounts: Vec<PathBuf>,
}

/// A process, told from a later one with the same number by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    pid: u32,
    start_ticks: u64,
}

impl Ledger {
    /// Claims a prefix: takes down a dead or kept lab that holds it.
    pub(crate) fn claim(prefix: &str, pin_dir: PathBuf) -> Result<Self> {
        if let Some(old) = read(prefix)? {
            old.ensure_not_foreign()?;
            old.take_down()?;
        }
        let pid = process::id();
        let start_ticks = start_ticks(pid).context("own start time")?;
        let ledger = Self {
            prefix: prefix.to_owned(),
            owner: Some(Owner { pid, start_ticks }),
            dir: None,
            pin_dir,
            namespaces: Vec::new(),
            mounts: Vec::new(),
        };
        fs::create_dir_all(LEDGERS)?;
        // Two processes that find no lab at the same time: one of them makes the file.
        fs::File::create_new(path(prefix)).with_context(|| format!("claiming lab {prefix}"))?;
        ledger.write()?;
        Ok(ledger)
    }

    pub(crate) fn add_dir(&mut self, dir: &Path) -> Result<()> {
        self.dir = Some(dir.to_owned());
        self.write()
    }

    pub(crate) fn add_namespace(&mut self, name: &str) -> Result<()> {
        self.namespaces.push(name.to_owned());
        self.write()
    }

    pub(crate) fn add_mount(&mut self, target: &Path) -> Result<()> {
        self.mounts.push(target.to_owned());
        self.write()
    }

    /// From now on nobody takes this lab down but [`down`] or the next lab of its prefix.
    pub(crate) fn disown(&mut self) -> Result<()> {
        self.owner = None;
        self.write()
    }

    /// Unmakes everything on the list, then the list. Goes on after an error and returns the first.
    pub(crate) fn take_down(&self) -> Result<()> {
        // A signal's thread and the guard may want this at the same moment; the later one finds
        // the work done.
        let _one_at_a_time = TAKING_DOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if !path(&self.prefix).exists() {
            return Ok(());
        }
        let mut first_error = None;
        let mut attempt = |outcome: Result<()>| {
            if let Err(error) = outcome {
                first_error.get_or_insert(error);
            }
        };
        attempt(self.end_processes());
        for name in self.existing_namespaces() {
            attempt(checked(Command::new("ip").args(["netns", "del", name])).map(drop));
        }
        for target in &self.mounts {
            if is_mounted(target) {
                attempt(checked(Command::new("umount").arg(target)).map(drop));
            }
        }
        for dir in self.dir.iter().chain([&self.pin_dir]) {
            // Somebody may still be writing there: the story, when a signal ends it.
            attempt(
                until("an empty directory", Duration::from_secs(3), || {
                    let removed = fs::remove_dir_all(dir);
                    Ok((removed.is_ok() || !dir.exists()).then_some(()))
                })
                .with_context(|| dir.display().to_string()),
            );
        }
        match first_error {
            None => fs::remove_file(path(&self.prefix)).context("removing the lab's ledger"),
            Some(error) => Err(error.context(format!("taking down lab {}", self.prefix))),
        }
    }

    fn ensure_not_foreign(&self) -> Result<()> {
        match self.owner.filter(|owner| owner.lives()) {
            Some(owner) if owner.pid != process::id() => {
                bail!("lab {} is in use by process {}", self.prefix, owner.pid)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn end_processes(&self) -> Result<()> {
        for signal in [Signal::TERM, Signal::KILL] {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                match kill_process(pid, signal) {
                    // SRCH: it has ended by itself since.
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(error) => {
                        return Err(error)
                            .with_context(|| format!("ending {}", pid.as_raw_nonzero()));
                    }
                }
            }
            let gone = until("the lab's processes to end", Duration::from_secs(3), || {
                Ok(self.pids()?.is_empty().then_some(()))
            });
            if gone.is_ok() {
                return Ok(());
            }
        }
        bail!("processes of lab {} survive SIGKILL", self.prefix)
    }

    fn pids(&self) -> Result<Vec<Pid>> {
        let mut pids = Vec::new();
        for name in self.existing_namespaces() {
            let listed = checked(Command::new("ip").args(["netns", "pids", name]))?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            pids.extend(
                listed
                    .split_whitespace()
                    .filter_map(|pid| Pid::from_raw(pid.parse().ok()?)),
            );
        }
        Ok(pids)
    }

    fn existing_namespaces(&self) -> impl Iterator<Item = &String> {
        self.namespaces
            .iter()
            .filter(|name| Path::new("/run/netns").join(name).exists())
    }

    fn write(&self) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(LEDGERS)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.persist(path(&self.prefix))
            .context("writing the lab's ledger")?;
        Ok(())
    }
}

/// Takes down the lab of a prefix: kept, dead, or this process's own. Returns whether there was one.
///
/// # Errors
/// That it is another living process's; what could not be removed (a second call tries again).
pub fn down(prefix: &str) -> Result<bool> {
    let Some(ledger) = read(prefix)? else {
        return Ok(false);
    };
    ledger.ensure_not_foreign()?;
    ledger.take_down().map(|()| true)
}

impl Owner {
    fn lives(self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }
}

fn read(prefix: &str) -> Result<Option<Ledger>> {
    let path = path(prefix);
    match fs::read(&path) {
        // Claimed and not yet written: its owner died in between, before it made anything.
        Ok(octets) if octets.is_empty() => {
            fs::remove_file(&path)?;
            Ok(None)
        }
        Ok(octets) => serde_json::from_slice(&octets)
            .map(Some)
            .with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn path(prefix: &str) -> PathBuf {
    Path::new(LEDGERS).join(format!("{prefix}.json"))
}

/// Field 22 of `/proc/PID/stat`, counted after the name, which may hold spaces and parentheses.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

fn is_mounted(target: &Path) -> bool {
    let Ok(mounts) = fs::read_to_string("/proc/self/mounts") else {
        return false;
    };
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1).map(Path::new) == Some(target))
}

static TAKING_DOWN: Mutex<()> = Mutex::new(());

const LEDGERS: &str = "/run/outgate-lab";
