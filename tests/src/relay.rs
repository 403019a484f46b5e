//! `outgate-relay` in the relay's namespace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    dialogue::{Dialogue, any_port},
    gate::{Files, HELP_URL},
    host::{Family, HOST_INTERFACE, Host},
    lab::Lab,
    pool::{Pool, Via},
    process::{Process, checked},
};

/// A relay that runs.
#[derive(Debug)]
pub struct RelayNode<'lab> {
    lab: &'lab Lab,
    config: PathBuf,
    pool: Pool,
    log: PathBuf,
    process: Option<Process>,
}

/// What a test wants otherwise than usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The URL of an rspamd that scans as well as the built-in scanner.
    pub rspamd: Option<String>,
    /// Where messages go that are larger than the memory for one; the lab's directory otherwise.
    pub spill_dir: Option<PathBuf>,
    /// The pool that it serves.
    pub pool: Pool,
    /// Memory for one message, in octets.
    pub memory_octets: Option<u64>,
    /// More of its configuration: whole tables.
    pub more: String,
}

impl<'lab> RelayNode<'lab> {
    /// Starts the relay against the lab's controller, which need not run yet.
    ///
    /// # Errors
    /// That it does not listen in time, with its log.
    pub fn start(lab: &'lab Lab, options: &Options) -> Result<Self> {
        let dir = lab.dir();
        let name = options.pool.relay;
        let config = dir.join(format!("{name}.toml"));
        fs::write(&config, config_text(lab, options))?;
        fs::create_dir_all(state_dir(lab, options))?;
        fs::create_dir_all(spill_dir(lab, options))?;
        for family in Family::ALL {
            let address = options.pool.address(family);
            if address != Host::Relay.address(family) {
                lab.add_address(Host::Relay, address)?;
            }
        }
        if options.pool.via == Via::Steer {
            prepare_for_steering(lab)?;
        }
        let mut node = Self {
            lab,
            config,
            pool: options.pool,
            log: dir.join(format!("{name}.log")),
            process: None,
        };
        node.launch()?;
        Ok(node)
    }

    /// Starts it again, after [`Self::kill`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn launch(&mut self) -> Result<()> {
        let namespace = self.lab.namespace(Host::Relay);
        let mut command = namespace.command(self.lab.binaries().relay()?);
        command.arg("--config").arg(&self.config);
        let process =
            self.process
                .insert(Process::spawn("outgate-relay", &mut command, &self.log)?);
        let (own, port) = (self.pool.address(Family::V4), self.pool.port());
        process.wait_until("the relay to greet", Duration::from_secs(10), || {
            let listener = (own, port).into();
            let greeting =
                Dialogue::open(&namespace, any_port(own), listener, Duration::from_secs(2))
                    .and_then(|mut dialogue| dialogue.reply());
            Ok(greeting.ok().map(drop))
        })
    }

    /// Ends it as a crash would.
    ///
    /// # Errors
    /// That it was not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .context("the relay is not running")?
            .kill()
    }

    /// Ends it as an operator would.
    ///
    /// # Errors
    /// That it was not running.
    pub fn stop(&mut self) -> Result<()> {
        let process = self.process.take().context("the relay is not running")?;
        process.stop().map(drop)
    }

    /// Stops it where it is: its kernel still accepts connections, and nothing answers them.
    ///
    /// # Errors
    /// That it was not running.
    pub fn freeze(&self) -> Result<()> {
        self.process
            .as_ref()
            .context("the relay is not running")?
            .freeze(true);
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// That it was not running.
    pub fn thaw(&self) -> Result<()> {
        self.process
            .as_ref()
            .context("the relay is not running")?
            .freeze(false);
        Ok(())
    }

    /// What `outgate-relay` says to a person who asks this.
    ///
    /// # Errors
    /// That it fails, with its words.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let namespace = self.lab.namespace(Host::Relay);
        let mut command = namespace.command(self.lab.binaries().relay()?);
        let output = checked(command.arg("--config").arg(&self.config).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// All that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        crate::process::tail(&self.log)
    }

    /// Lets it outlive this guard.
    pub fn keep(&mut self) {
        if let Some(process) = &mut self.process {
            process.keep();
        }
    }
}

/// What an operator does to the relay's host, with the script that an operator is given.
fn prepare_for_steering(lab: &Lab) -> Result<()> {
    let script = lab.dir().join("steer-relay.sh");
    fs::write(&script, include_str!("../../deploy/steer-relay.sh"))?;
    let mut command: Command = lab.namespace(Host::Relay).command("sh");
    checked(command.arg(&script).args(["up", HOST_INTERFACE]))?;
    Ok(())
}

fn state_dir(lab: &Lab, options: &Options) -> PathBuf {
    lab.dir().join(format!("{}.state", options.pool.relay))
}

fn spill_dir(lab: &Lab, options: &Options) -> PathBuf {
    options
        .spill_dir
        .clone()
        .unwrap_or_else(|| lab.dir().join("spill"))
}

fn config_text(lab: &Lab, options: &Options) -> String {
    let pool = &options.pool;
    let [v4, v6] = Family::ALL.map(|family| pool.address(family));
    let socket = Files::new(lab).socket;
    let cache = state_dir(lab, options).join("snapshot.json");
    let memory_octets = options.memory_octets.unwrap_or(262_144);
    let (name, port) = (pool.relay, pool.port());
    let listeners = match pool.via {
        Via::Rewrite => format!(r#"listen = ["{v4}:{port}", "[{v6}]:{port}"]"#),
        Via::Steer => format!(r#"transparent = ["0.0.0.0:{port}", "[::]:{port}"]"#),
    };
    let mut text = format!(
        r#"name = "{name}"
operator = "Example Hosting"
hostname = "{name}.example.net"
help_url = "{HELP_URL}"
{listeners}

[controller]
socket = {}
cache = {}

[origin]
pin_dir = {}

[message]
memory_octets = {memory_octets}
spill_dir = {}

[[scanner]]
kind = "builtin"
"#,
        quoted(&socket),
        quoted(&cache),
        quoted(&lab.pin_dir()),
        quoted(&spill_dir(lab, options)),
    );
    // Nobody in the lab answers for domains, unless a test brings a resolver along.
    if !options.more.contains("[dns]") {
        text.push_str("\n[dns]\nservers = []\n");
    }
    text.push_str(&options.more);
    if let Some(url) = &options.rspamd {
        text.push_str(&format!(
            "\n[[scanner]]\nkind = \"rspamd\"\nurl = \"{url}\"\ndeadline = \"10s\"\non_error = \"defer\"\n"
        ));
    }
    text
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}
