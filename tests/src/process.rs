//! Programs that the lab runs: for an answer, or as a server that ends with its guard.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::wait::until;

/// Runs a command to its end.
///
/// # Errors
/// That it could not start, or failed; with its words.
pub fn checked(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

/// A running server, the leader of its own process group; dropping it ends the group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Kept processes outlive their guard.
    kept: bool,
}

impl Process {
    /// Starts a server; what it writes is appended to `log`.
    ///
    /// # Errors
    /// That it could not be started. That it ended at once is for the caller's wait to notice.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // A group of its own: a terminal's ^C reaches the lab, and the lab ends its servers.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            kept: false,
        })
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// Only the kernel's.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| self.name.clone())
    }

    /// Waits until `question` answers `Some`; fails at once if the server has ended meanwhile.
    ///
    /// # Errors
    /// The deadline or the end of the server, with the tail of its log.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut question: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let outcome = until(what, limit, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.name);
            }
            question()
        });
        outcome.map_err(|error| {
            anyhow!(
                "{error:#}; the log of {} ends in\n{}",
                self.name,
                tail(&self.log)
            )
        })
    }

    /// Asks it to end (SIGTERM), waits, insists after five seconds.
    ///
    /// # Errors
    /// Only the kernel's.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.end()?;
        self.child.wait().with_context(|| self.name.clone())
    }

    /// Ends it without a chance to say goodbye (SIGKILL).
    ///
    /// # Errors
    /// Only the kernel's.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL);
        self.child.wait().with_context(|| self.name.clone())?;
        Ok(())
    }

    /// Stops it where it is, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { Signal::STOP } else { Signal::CONT });
    }

    /// Lets it outlive this guard.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// All that it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        text(&self.log)
    }

    fn end(&mut self) -> Result<()> {
        self.signal(Signal::TERM);
        let pid = self.pid();
        // NOWAIT leaves it a zombie: until it is reaped, its number, and with it the number of
        // the group, cannot become somebody else's.
        let ended = until("its end", Duration::from_secs(5), || {
            Ok(waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
            )?)
        });
        // Whatever of the group is left, or all of it.
        self.signal(Signal::KILL);
        if ended.is_err() {
            self.child.wait()?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // SRCH, it has ended, is the only error that there can be: the group is our own.
        let (Ok(()) | Err(_)) = kill_process_group(self.pid(), signal);
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let reaped = matches!(self.child.try_wait(), Ok(Some(_)));
        if !self.kept && !reaped && self.end().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// The last lines of a log.
#[must_use]
pub fn tail(log: &Path) -> String {
    let text = text(log);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines
        .get(from..)
        .unwrap_or_default()
        .iter()
        .map(|line| format!("  | {line}\n"))
        .collect()
}

fn text(log: &Path) -> String {
    fs::read(log).map_or_else(
        |error| format!("{}: {error}", log.display()),
        |octets| String::from_utf8_lossy(&octets).into_owned(),
    )
}

const TAIL_LINES: usize = 25;
