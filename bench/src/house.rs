//! The controller: how long a flag takes from the command line to the kernel, durably stored.
//!
//! The real `outgated` with its store on a disk, in a namespace of its own, and the real `outgate`: one
//! process for each toggle, timed from its start to its end, when the kernel has the flag.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::netns::Netns;

/// Times of so many toggles, in milliseconds.
pub(crate) fn toggles(count: u32, pins: &Path, disk: &Path) -> Result<Vec<f64>> {
    let house = House::open(pins, disk)?;
    let mut times = Vec::new();
    for number in 0..count {
        let target = format!("192.0.2.{}", number / 2 % 250 + 1);
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

/// A controller that runs, and its files.
struct House {
    netns: Netns,
    directory: tempfile::TempDir,
    outgated: Child,
}

impl House {
    fn open(pins: &Path, disk: &Path) -> Result<Self> {
        fs::create_dir_all(disk)?;
        let directory = tempfile::tempdir_in(disk).context("a directory for the store")?;
        let at = directory.path().display();
        let config = directory.path().join("outgated.toml");
        let pins = pins.display();
        fs::write(
            &config,
            format!(
                r#"operator = "Benchmark"
help_url = "https://abuse.example.net/smtp"
socket = "{at}/outgated.sock"
state_dir = "{at}"
customer_prefixes = ["192.0.2.0/24"]

[edge]
pin_dir = "{pins}"

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
        let log = fs::File::create(directory.path().join("outgated.log"))?;
        let netns = Netns::new()?;
        let outgated = netns.inside(|| {
            Command::new(beside("outgated")?)
                .arg("--config")
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .context("starting outgated")
        })?;
        let mut house = Self {
            netns,
            directory,
            outgated,
        };
        house.wait()?;
        Ok(house)
    }

    /// Waits until the controller answers.
    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while let Err(error) = self.outgate(&["status"]) {
            let ended = self.outgated.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.path().join("outgated.log"))?;
                bail!("outgated does not answer: {error:#}\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn outgate(&self, arguments: &[&str]) -> Result<()> {
        let output = self.netns.inside(|| {
            Command::new(beside("outgate")?)
                .arg("--socket")
                .arg(self.directory.path().join("outgated.sock"))
                .args(arguments)
                .output()
                .context("starting outgate")
        })?;
        ensure!(
            output.status.success(),
            "outgate {}: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // The store is thrown away, so there is nothing to end in order.
        drop(self.outgated.kill());
        drop(self.outgated.wait());
    }
}

/// A program that was built with this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(
        path.exists(),
        "{} is not built; `cargo xtask bench dataplane` builds it",
        path.display()
    );
    Ok(path)
}

const START_LIMIT: Duration = Duration::from_secs(20);
