//! What the proof is about: the relay in queue mode, or, to see that the proof is fair, Debian's Postfix.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, SocketAddrV4, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::{client::proxy_header, letter::DOMAIN};
use crate::{
    binaries::Binaries,
    netns::Namespace,
    peers::forwarder::{Forwarder, Kind, Route},
    process::{Process, checked},
    wait::until,
};

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// `outgate-relay`, whose customers are in queue mode.
    Relay,
    /// Debian's Postfix.
    Postfix,
}

impl Peer {
    /// The calls that it takes room on the disk by, and does nothing else by.
    pub(super) const fn writes(self) -> &'static str {
        match self {
            Self::Relay => "fallocate,pwrite64,pwritev",
            // It writes to files and to sockets alike; a file system may also say so at the sync.
            Self::Postfix => "fsync",
        }
    }
}

/// One that may run.
#[derive(Debug)]
pub(super) struct System {
    pub(super) peer: Peer,
    /// Where it runs.
    pub(super) namespace: Namespace,
    pub(super) binaries: Binaries,
    /// Its files but the queue's, of this run.
    pub(super) dir: PathBuf,
    /// The queue's.
    pub(super) queue: PathBuf,
    pub(super) listen: SocketAddrV4,
    pub(super) sink: SocketAddrV4,
    pub(super) octets_max: u64,
}

impl System {
    /// Starts it, and waits until it greets; `around` are the words in front of its command. If it does not start among
    /// calls that fail, it is started once more without them, as systemd would on a disk that is well again.
    pub(super) fn start(&self, around: &[OsString]) -> Result<Process> {
        match self.started(around) {
            Err(_) if !around.is_empty() => self.started(&[]),
            outcome => outcome,
        }
    }

    fn started(&self, around: &[OsString]) -> Result<Process> {
        let mut process = self.begin(around)?;
        process.wait_until("it to greet", START_LIMIT, || {
            Ok(self.greets()?.then_some(()))
        })?;
        Ok(process)
    }

    /// Starts it, and waits until its port is open, which it may be long before it has looked at what it has.
    pub(super) fn begin(&self, around: &[OsString]) -> Result<Process> {
        let mut base = self.namespace.command("env");
        base.args(around);
        let mut command = match self.peer {
            Peer::Relay => self.relay(base)?,
            Peer::Postfix => self.postfix()?.command(&Kind::Postfix, base)?,
        };
        // Whoever was killed may still be on its way out.
        until("its port to be free", START_LIMIT, || {
            Ok((!self.listens()?).then_some(()))
        })?;
        let mut process = Process::spawn("the system", &mut command, &self.log())?;
        until("it to listen, or to end", START_LIMIT, || {
            Ok((process.ended()?.is_some() || self.listens()?).then_some(()))
        })?;
        Ok(process)
    }

    /// What it wrote to its own log.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Makes it try everything now.
    pub(super) fn flush(&self) -> Result<()> {
        match self.peer {
            Peer::Relay => {
                let relay = self.binaries.relay()?;
                let mut command = self.namespace.command(relay);
                command.arg("--config").arg(self.config());
                checked(command.args(["queue", "flush", "--all"])).map(drop)
            }
            Peer::Postfix => checked(self.postfix_command("postqueue").arg("-f")).map(drop),
        }
    }

    /// Which entries it says it still has.
    pub(super) fn queued(&self) -> Result<BTreeSet<String>> {
        let output = match self.peer {
            Peer::Relay => self
                .namespace
                .command(self.binaries.relay()?)
                .arg("--config")
                .arg(self.config())
                .args(["spool", "ls", "-j"])
                .output()?,
            Peer::Postfix => self.postfix_command("postqueue").arg("-j").output()?,
        };
        Ok(entries(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Where to, in a PROXY header, if it wants one.
    pub(super) fn destination(&self) -> Option<SocketAddrV4> {
        (self.peer == Peer::Relay).then_some(self.sink)
    }

    fn listens(&self) -> Result<bool> {
        let address = SocketAddr::from(self.listen);
        let patience = Duration::from_secs(2);
        self.namespace
            .inside(|| Ok(TcpStream::connect_timeout(&address, patience).is_ok()))
    }

    fn greets(&self) -> Result<bool> {
        let address = SocketAddr::from(self.listen);
        let patience = Duration::from_secs(2);
        self.namespace.inside(|| {
            let greeting = || -> std::io::Result<[u8; 3]> {
                let mut stream = TcpStream::connect_timeout(&address, patience)?;
                stream.set_read_timeout(Some(patience))?;
                if let Some(destination) = self.destination() {
                    stream.write_all(&proxy_header(0, destination))?;
                }
                let mut code = [0; 3];
                stream.read_exact(&mut code)?;
                Ok(code)
            };
            Ok(greeting().is_ok_and(|code| &code == b"220"))
        })
    }

    fn config(&self) -> PathBuf {
        self.dir.join("relay.toml")
    }

    fn relay(&self, mut base: Command) -> Result<Command> {
        fs::create_dir_all(&self.queue)?;
        let config = self.config();
        fs::write(&config, self.relay_config()).with_context(|| config.display().to_string())?;
        base.arg(self.binaries.relay()?)
            .arg("--config")
            .arg(&config);
        Ok(base)
    }

    fn relay_config(&self) -> String {
        let (dir, queue) = (self.dir.display(), self.queue.display());
        let (listen, own, sink) = (self.listen, self.listen.ip(), self.sink);
        format!(
            r#"name = "ledger"
operator = "Ledger"
hostname = "relay.test"
help_url = "https://relay.test/"
log = "info"
state_dir = "{dir}"

[[authorised]]
listen = ["{listen}"]
from = ["192.0.2.0/24"]
destination = "proxy-v2"
proxies = ["{own}/32"]
delivery = "queue"

# The smallest segments, so that they are filled, freed and used again in a run.
[spool]
dir = "{queue}"
segment_octets = 1048576
large_octets = 262144

[queue]
first_retry = "10s"
longest_retry = "10s"
initial_connections = 20
admin = "{dir}/queue.sock"

[dns]
servers = []

[mta_sts]
off = true

[[route]]
domain = "{DOMAIN}"
to = ["{sink}"]

[message]
spill_dir = "{dir}"

[behaviour]
enforce = false

[[scanner]]
kind = "builtin"
"#
        )
    }

    fn postfix(&self) -> Result<Forwarder> {
        Ok(Forwarder {
            dir: self.queue.clone(),
            listen: self.listen.into(),
            routes: vec![Route {
                domain: DOMAIN.to_owned(),
                to: self.sink.into(),
            }],
            connections: 20,
            message_octets_max: self.octets_max,
            certificate: None,
        })
    }

    fn postfix_command(&self, program: &str) -> Command {
        let mut command = self.namespace.command(program);
        command.arg("-c").arg(self.queue.join("conf"));
        command
    }
}

/// The recipients that a text names.
fn entries(text: &str) -> BTreeSet<String> {
    let at = format!("@{DOMAIN}");
    let mut pieces: Vec<&str> = text.split(at.as_str()).collect();
    // Behind the last one stands no address.
    pieces.pop();
    let ends = pieces.into_iter().map(|piece| {
        let from = piece
            .rfind(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
            .map_or(0, |at| at + 1);
        piece.get(from..).unwrap_or_default().to_owned()
    });
    let mut found: BTreeSet<String> = ends.collect();
    found.retain(|entry| entry.starts_with('r') && entry.contains('-'));
    found
}

const START_LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_found_in_what_a_queue_lists() {
        let text = r#"{"queue_name": "deferred", "sender": "sender@sink.test", "recipients": [{"address": "r1s2m3-0@sink.test"}, {"address":"r1s2m3-1@sink.test","delay_reason":"r9"}]}"#;
        let found: Vec<String> = entries(text).into_iter().collect();
        assert_eq!(found, ["r1s2m3-0", "r1s2m3-1"]);
        assert!(entries("nothing r1-2").is_empty());
    }
}
