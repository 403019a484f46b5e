//! `outgated` in the edge's namespace, and `outgate` talking to it.

mod answer;
mod config;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::config::config_text;
pub use self::{
    answer::Answer,
    config::{HELP_URL, Health, INTERFACES, RELAY_NAME, RELAY_PORT},
};
use crate::{host::Host, lab::Lab, pool::Pool, process::Process};

/// A controller that runs.
#[derive(Debug)]
pub struct Gate<'lab> {
    lab: &'lab Lab,
    files: Files,
    process: Option<Process>,
}

/// Paths of one controller.
#[derive(Clone, Debug)]
pub struct Files {
    /// The configuration.
    pub config: PathBuf,
    /// The API's socket.
    pub socket: PathBuf,
    /// The store.
    pub state: PathBuf,
    /// What the program wrote.
    pub log: PathBuf,
}

impl Files {
    /// The paths of the lab's controller.
    #[must_use]
    pub fn new(lab: &Lab) -> Self {
        let dir = lab.dir();
        Self {
            config: dir.join("outgated.toml"),
            socket: dir.join("outgated.sock"),
            state: dir.join("outgated.state"),
            log: dir.join("outgated.log"),
        }
    }
}

impl<'lab> Gate<'lab> {
    /// Starts the controller: every interface of the edge attached in native mode, one pool of one
    /// relay, failure policy `closed`.
    ///
    /// # Errors
    /// That it does not answer in time, with its log.
    pub fn start(lab: &'lab Lab) -> Result<Self> {
        Self::start_with_pools(lab, &[Pool::REWRITE])
    }

    /// As [`Self::start`], with other health checks and pools.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(lab: &'lab Lab, health: &Health, pools: &[Pool]) -> Result<Self> {
        Self::start_on(lab, health, &INTERFACES, pools)
    }

    /// As [`Self::start`], with these pools.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_pools(lab: &'lab Lab, pools: &[Pool]) -> Result<Self> {
        Self::start_on(lab, &Health::default(), &INTERFACES, pools)
    }

    /// As [`Self::start`], with no interface attached.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_detached(lab: &'lab Lab) -> Result<Self> {
        Self::start_on(lab, &Health::default(), &[], &[Pool::REWRITE])
    }

    /// As [`Self::start`], with more lines in `[edge]`, and health checks that a flood does not fail.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_edge(lab: &'lab Lab, lines: &str) -> Result<Self> {
        let mut gate = Self::written(lab, &Health::PATIENT, &INTERFACES, &[Pool::REWRITE])?;
        gate.configure("[edge]\n", &format!("[edge]\n{lines}\n"))?;
        gate.launch()?;
        Ok(gate)
    }

    fn start_on(
        lab: &'lab Lab,
        health: &Health,
        interfaces: &[(Host, &str)],
        pools: &[Pool],
    ) -> Result<Self> {
        let mut gate = Self::written(lab, health, interfaces, pools)?;
        gate.launch()?;
        Ok(gate)
    }

    /// Its files, without the program.
    fn written(
        lab: &'lab Lab,
        health: &Health,
        interfaces: &[(Host, &str)],
        pools: &[Pool],
    ) -> Result<Self> {
        let files = Files::new(lab);
        fs::write(
            &files.config,
            config_text(&files, &lab.pin_dir(), health, interfaces, pools),
        )?;
        fs::create_dir_all(&files.state)?;
        Ok(Self {
            lab,
            files,
            process: None,
        })
    }

    /// Writes other text into the configuration; the next [`Self::launch`] reads it.
    ///
    /// # Errors
    /// That the configuration does not hold `from`.
    pub fn configure(&self, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(&self.files.config)?;
        ensure!(text.contains(from), "no {from:?} in\n{text}");
        fs::write(&self.files.config, text.replace(from, to))?;
        Ok(())
    }

    /// Starts the controller again, after [`Self::kill`] or [`Self::stop`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn launch(&mut self) -> Result<()> {
        let outgated = self.lab.binaries().outgated()?;
        let command = self.lab.namespace(Host::Edge).command(outgated);
        self.launch_by(command)
    }

    /// As [`Self::launch`], with no other of root's powers than these, as `setpriv --bounding-set` takes them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn launch_confined(&mut self, capabilities: &str) -> Result<()> {
        let mut command = self.lab.namespace(Host::Edge).command("setpriv");
        command
            .arg(format!("--bounding-set=-all,{capabilities}"))
            .args(["--inh-caps=-all", "--no-new-privs"])
            .arg(self.lab.binaries().outgated()?);
        self.launch_by(command)
    }

    fn launch_by(&mut self, mut command: Command) -> Result<()> {
        command.arg("--config").arg(&self.files.config);
        let process =
            self.process
                .insert(Process::spawn("outgated", &mut command, &self.files.log)?);
        let (lab, socket) = (self.lab, &self.files.socket);
        process.wait_until("outgated to answer", START_LIMIT, || {
            let answer = ask(lab, socket, &["status"])?;
            Ok((answer.code == 0).then_some(()))
        })
    }

    /// Waits until every relay is up and, unless it is a third party's, has acknowledged a generation.
    ///
    /// # Errors
    /// The deadline, with the controller's log.
    pub fn wait_for_relay(&mut self) -> Result<()> {
        let (lab, socket) = (self.lab, &self.files.socket);
        let process = self.process.as_mut().context("outgated is not running")?;
        process.wait_until("the relay to be up", START_LIMIT, || {
            let status = ask(lab, socket, &["status", "-j"])?.json()?;
            let pools = status["pools"].as_array().context("no pools")?;
            for pool in pools {
                let relays = pool["relays"].as_array().context("no relays")?;
                let ready = relays.iter().all(|relay| {
                    let told = pool["third_party"] == true || relay["acknowledged"].is_u64();
                    relay["state"] == "up" && told
                });
                if !ready {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// Runs `outgate` with these arguments.
    ///
    /// # Errors
    /// Only that it cannot be started.
    pub fn outgate(&self, arguments: &[&str]) -> Result<Answer> {
        ask(self.lab, &self.files.socket, arguments)
    }

    /// Runs `outgate`, which must succeed.
    ///
    /// # Errors
    /// Another exit status than 0, with its words.
    pub fn must(&self, arguments: &[&str]) -> Result<Answer> {
        let answer = self.outgate(arguments)?;
        ensure!(
            answer.code == 0,
            "outgate {}: {answer}",
            arguments.join(" ")
        );
        Ok(answer)
    }

    /// What `outgate -j` prints, which must succeed.
    ///
    /// # Errors
    /// Another exit status than 0, or no JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.must(&[arguments, &["-j"]].concat())?.json()
    }

    /// One counter.
    ///
    /// # Errors
    /// That there is none of this name.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let counters = self.json(&["counters"])?;
        counters[name]
            .as_u64()
            .with_context(|| format!("counter {name} in {counters}"))
    }

    /// Ends the controller as a crash would.
    ///
    /// # Errors
    /// That it was not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .context("outgated is not running")?
            .kill()
    }

    /// Asks the controller to end.
    ///
    /// # Errors
    /// That it was not running, or did not end well.
    pub fn stop(&mut self) -> Result<()> {
        let status = self
            .process
            .take()
            .context("outgated is not running")?
            .stop()?;
        ensure!(status.success(), "outgated, asked to end: {status}");
        Ok(())
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        crate::process::tail(&self.files.log)
    }

    /// Lets it outlive this guard.
    pub fn keep(&mut self) {
        if let Some(process) = &mut self.process {
            process.keep();
        }
    }
}

/// Runs `outgate` against a socket, in the edge's namespace.
fn ask(lab: &Lab, socket: &Path, arguments: &[&str]) -> Result<Answer> {
    let mut command = lab.namespace(Host::Edge).command(lab.binaries().outgate()?);
    command.arg("--socket").arg(socket).args(arguments);
    let begun = Instant::now();
    let output = command.output().context("starting outgate")?;
    Ok(Answer::from((output, begun.elapsed())))
}

const START_LIMIT: Duration = Duration::from_secs(20);
