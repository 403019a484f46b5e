//! The real `outgated` with its store on a disk, in a namespace of its own, and the real `outgate` beside it.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::netns::Netns;

/// Times of so many toggles, in milliseconds, of a controller that knows of no other flags.
pub(crate) fn toggles(count: u32, pins: &Path, disk: &Path) -> Result<Vec<f64>> {
    let terms = Terms {
        customer_prefixes: &["192.0.2.0/24"],
        policies_max: 1 << 18,
    };
    let mut house = House::build(pins, disk, &terms)?;
    house.start()?;
    toggles_in(&house, count, Ipv4Addr::new(192, 0, 2, 1))
}

/// Times of so many toggles, in milliseconds: one process for each, from its start to its end, when the kernel has the
/// flag. They are about this address and those that follow.
pub(crate) fn toggles_in(house: &House, count: u32, first: Ipv4Addr) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for number in 0..count {
        let target = Ipv4Addr::from(u32::from(first) + number / 2 % 250).to_string();
        let begun = Instant::now();
        if number % 2 == 0 {
            house.outgate(&[
                "flag",
                "add",
                &target,
                "--action",
                "drop",
                "--reason",
                "benchmark",
                "--for",
                "1h",
            ])?;
        } else {
            house.outgate(&["flag", "rm", &target, "--reason", "benchmark"])?;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// What differs between controllers.
pub(crate) struct Terms<'a> {
    /// Whom flags may be about.
    pub(crate) customer_prefixes: &'a [&'a str],
    /// How many there may be.
    pub(crate) policies_max: u32,
}

/// A controller and its files, which go with this.
pub(crate) struct House {
    netns: Netns,
    directory: tempfile::TempDir,
    outgated: Option<Child>,
}

impl House {
    /// Writes the configuration; nothing runs yet.
    pub(crate) fn build(pins: &Path, disk: &Path, terms: &Terms<'_>) -> Result<Self> {
        fs::create_dir_all(disk)?;
        let directory = tempfile::tempdir_in(disk).context("a directory for the store")?;
        let (at, pins) = (directory.path().display(), pins.display());
        let Terms {
            customer_prefixes,
            policies_max,
        } = terms;
        fs::write(
            directory.path().join(CONFIG),
            format!(
                r#"operator = "Benchmark"
help_url = "https://abuse.example.net/smtp"
socket = "{at}/{SOCKET}"
state_dir = "{at}"
customer_prefixes = {customer_prefixes:?}

[edge]
pin_dir = "{pins}"
policies_max = {policies_max}

[[pool]]
name = "default"
on_failure = "closed"

[[pool.relay]]
name = "relay-1"
address = ["198.51.100.2"]
port = 2525
"#
            ),
        )?;
        Ok(Self {
            netns: Netns::new()?,
            directory,
            outgated: None,
        })
    }

    /// Starts the controller, and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log = fs::File::create(self.log())?;
        let config = self.directory.path().join(CONFIG);
        let outgated = self.netns.inside(|| {
            Command::new(beside("outgated")?)
                .arg("--config")
                .arg(config)
                // As the service has it.
                .env("MIMALLOC_PURGE_DELAY", "0")
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .context("starting outgated")
        })?;
        self.outgated = Some(outgated);
        let deadline = Instant::now() + START_LIMIT;
        while let Err(error) = self.outgate(&["status"]) {
            let ended = self.outgated.as_mut().map(Child::try_wait).transpose()?;
            if ended.flatten().is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.log())?;
                bail!("outgated does not answer: {error:#}\n{log}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends the controller by a signal, and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<()> {
        if let Some(mut outgated) = self.outgated.take() {
            kill_process(Pid::from_child(&outgated), signal)?;
            outgated.wait()?;
        }
        Ok(())
    }

    /// What the command line says.
    pub(crate) fn outgate(&self, arguments: &[&str]) -> Result<String> {
        let output = self.netns.inside(|| {
            Command::new(beside("outgate")?)
                .arg("--socket")
                .arg(self.socket())
                .args(arguments)
                .output()
                .context("starting outgate")
        })?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "outgate {}: {said}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said.into_owned())
    }

    /// Where the API listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }

    /// A file beside the store.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The controller's process.
    pub(crate) fn pid(&self) -> Result<u32> {
        let outgated = self.outgated.as_ref().context("outgated does not run")?;
        Ok(outgated.id())
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("outgated.log")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // The store is thrown away, so there is nothing to end in order.
        drop(self.end(Signal::KILL));
    }
}

/// A program that was built with this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(
        path.exists(),
        "{} is not built; `cargo xtask bench` builds it",
        path.display()
    );
    Ok(path)
}

const CONFIG: &str = "outgated.toml";
const SOCKET: &str = "outgated.sock";
/// A million policies that the kernel has lost take their time.
const START_LIMIT: Duration = Duration::from_secs(60);
