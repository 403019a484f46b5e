//! The real `outgate-relay`, started beside generator and sink, and looked at from outside.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use super::stage::{
    self, FAR, NAME, NEAR, OPAQUE_PORT, PLAIN, PLAIN_DOMAIN, PORT, QUEUE_PORT, TLS_DOMAIN,
};
use crate::{house, machine};

/// A relay that runs; it ends with this.
pub(super) struct Relay {
    child: Child,
    log: PathBuf,
}

impl Relay {
    /// Starts it in the namespace that the caller is in, with what it keeps in `dir`; `cert.pem` and `key.pem` are in
    /// `at`, and it takes so many sessions; `log` is how much it says.
    pub(super) fn start(at: &Path, dir: &Path, sessions: usize, log: &str) -> Result<Self> {
        let mut command = command(at, dir, sessions, log, Command::new("env"))?;
        let log = at.join("relay.log");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut relay = Self { child, log };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect((NEAR, PORT)).is_err() {
            let ended = relay.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!(
                    "outgate-relay does not listen ({ended:?}): {}",
                    fs::read_to_string(&relay.log)?
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(relay)
    }

    /// Anonymous memory in use, octets: what the program itself has taken.
    pub(super) fn octets(&self) -> Result<f64> {
        machine::memory_of(self.child.id(), "RssAnon:")
    }

    /// Memory in use, octets, with its own code.
    pub(super) fn resident_octets(&self) -> Result<f64> {
        machine::memory_of(self.child.id(), "VmRSS:")
    }

    /// Waits until it says how many messages of an earlier run it has taken in.
    pub(super) fn said_messages(&self, limit: Duration) -> Result<u64> {
        let deadline = Instant::now() + limit;
        loop {
            let log = fs::read_to_string(&self.log)?;
            let said = log
                .lines()
                .find(|line| line.contains("of an earlier run are in the queue"));
            let count = said.and_then(|line| line.split_once("messages="));
            if let Some((_, count)) = count {
                let digits = count.chars().take_while(char::is_ascii_digit);
                return Ok(digits.collect::<String>().parse()?);
            }
            ensure!(
                Instant::now() < deadline,
                "outgate-relay takes in no queue: {log}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Only errors that say that it has ended by itself.
        let _asked = kill_process(Pid::from_child(&self.child), Signal::KILL).is_ok();
        let _reaped = self.child.wait().is_ok();
    }
}

/// Lets this process, and the relay after it, have as many files as it may; answers how many sessions a relay takes
/// then.
pub(super) fn sessions_possible() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or_else(|| u64::from(u32::MAX));
    let limit = Rlimit {
        current: Some(most),
        ..limit
    };
    setrlimit(Resource::Nofile, limit).context("the limit of open files")?;
    let possible = usize::try_from(most)?.saturating_sub(OTHER_FILES) / FILES_EACH;
    Ok(possible.min(SESSIONS_MOST))
}

/// What starts it; `base` takes the words to run.
pub(super) fn command(
    at: &Path,
    dir: &Path,
    sessions: usize,
    log: &str,
    mut base: Command,
) -> Result<Command> {
    let config = dir.join("relay.toml");
    fs::create_dir_all(dir.join("spool"))?;
    fs::write(&config, config_text(at, dir, sessions, log))?;
    base.arg(house::beside("outgate-relay")?)
        .arg("--config")
        .arg(config);
    Ok(base)
}

fn config_text(at: &Path, dir: &Path, sessions: usize, log: &str) -> String {
    let (at, dir) = (at.display(), dir.display());
    let mut text = format!(
        r#"name = "bench"
operator = "Benchmark"
hostname = "{NAME}"
help_url = "https://bench.test/"
log = "{log}"
state_dir = "{dir}"

[[authorised]]
listen = ["{NEAR}:{PORT}"]
from = ["192.0.2.0/24"]
destination = "proxy-v2"
proxies = ["{NEAR}/32"]

[[authorised]]
listen = ["{NEAR}:{OPAQUE_PORT}"]
from = ["192.0.2.0/24"]
destination = "proxy-v2"
proxies = ["{NEAR}/32"]
treatment = "opaque"

[[authorised]]
listen = ["{NEAR}:{QUEUE_PORT}"]
from = ["192.0.2.0/24"]
destination = "proxy-v2"
proxies = ["{NEAR}/32"]
delivery = "queue"

[spool]
dir = "{dir}/spool"

# Everybody's destinations are written down here, and no contender looks anything up.
[dns]
servers = []

[mta_sts]
off = true

[splice]
max_octets = 1000000000000
# Who shakes hands and goes would be taken for a sender that verifies its destination.
learnt_per_customer = 0

[tls]
certificate = "{at}/cert.pem"
key = "{at}/key.pem"

[message]
spill_dir = "{dir}"

[limits]
connections = {sessions}
connections_per_customer = {sessions}

[behaviour]
enforce = false

[[scanner]]
kind = "builtin"
"#
    );
    let sinks = [
        (TLS_DOMAIN.to_owned(), FAR),
        (PLAIN_DOMAIN.to_owned(), PLAIN),
        (stage::NOBODYS_DOMAIN.to_owned(), stage::NOBODY),
    ];
    for (domain, sink) in sinks.into_iter().chain(stage::twenty()) {
        text += &format!("\n[[route]]\ndomain = \"{domain}\"\nto = [\"{sink}\"]\n");
    }
    text
}

/// Both legs, and four ends of pipes where they are joined.
const FILES_EACH: usize = 6;
/// Logs, listeners, libraries.
const OTHER_FILES: usize = 1000;
/// As many as are needed to have ten thousand idle and most places free.
const SESSIONS_MOST: usize = 20_000;
const START_LIMIT: Duration = Duration::from_secs(20);
