//! Who is compared in keeping mail and sending it on, and how each is started.

use std::{
    ffi::OsString,
    io::Read as _,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use lab::{
    peers::forwarder::{Forwarder, Kind, Route},
    process::Process,
};
use serde::Serialize;

use super::super::{
    SESSIONS, program,
    stage::{FAR, NEAR, PLAIN, PLAIN_DOMAIN, QUEUE_PORT, TLS_DOMAIN},
};
use crate::house;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Contender {
    /// The relay, by its queue.
    Relay,
    /// Debian's Postfix.
    Postfix,
    /// Debian's OpenSMTPD.
    OpenSmtpd,
    /// Nobody: generator and sink alone, which is the most that can be measured here.
    Direct,
}

impl Contender {
    pub(super) const ALL: [Self; 4] = [Self::Relay, Self::Postfix, Self::OpenSmtpd, Self::Direct];

    /// As people call it.
    pub(in super::super) const fn name(self) -> &'static str {
        match self {
            Self::Relay => "Outgate, queue",
            Self::Postfix => "Postfix",
            Self::OpenSmtpd => "OpenSMTPD",
            Self::Direct => "direct (ceiling)",
        }
    }

    /// Where it listens, near the generator.
    pub(in super::super) const fn port(self) -> u16 {
        match self {
            Self::Relay => QUEUE_PORT,
            Self::Postfix => 2530,
            Self::OpenSmtpd => 2531,
            Self::Direct => 25,
        }
    }

    /// Whether it can be asked for this: Debian's OpenSMTPD ends no handshake as a server, because the process that
    /// talks signs by one that has the key, which its OpenSSL does not know.
    pub(super) const fn takes(self, tls: bool) -> bool {
        !(tls && matches!(self, Self::OpenSmtpd))
    }

    /// Starts it in the namespace that the caller is in, in its own directory below `at`; `around` are the words in
    /// front of its command.
    pub(in super::super) fn start(
        self,
        at: &Path,
        sessions: usize,
        around: &[OsString],
    ) -> Result<Option<Process>> {
        // A benchmark that is killed leaves nobody behind.
        let mut base = Command::new("setpriv");
        base.args(["--pdeathsig", "KILL", "--", "env"]).args(around);
        let mut command = match self {
            Self::Relay => program::command(at, at, sessions, "warn", base)?,
            Self::Postfix => self.forwarder(at)?.command(&Kind::Postfix, base)?,
            Self::OpenSmtpd => {
                let programs = house::beside("outgate-bench")?;
                let target = programs.ancestors().nth(2).context("target")?;
                let unpacked = target.join("peers/opensmtpd");
                self.forwarder(at)?
                    .command(&Kind::OpenSmtpd(unpacked), base)?
            }
            Self::Direct => return Ok(None),
        };
        let log = at.join(format!("{}.log", self.port()));
        let mut process = Process::spawn(self.name(), &mut command, &log)?;
        let address = SocketAddr::from((NEAR, self.port()));
        process.wait_until("it to greet", START_LIMIT, || {
            Ok(self.greets(address).then_some(()))
        })?;
        Ok(Some(process))
    }

    fn greets(self, address: SocketAddr) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, START_LIMIT) else {
            return false;
        };
        // The relay waits for a PROXY header before it says anything.
        self == Self::Relay
            || (stream.set_read_timeout(Some(START_LIMIT)).is_ok()
                && stream.read_exact(&mut [0; 3]).is_ok())
    }

    fn forwarder(self, at: &Path) -> Result<Forwarder> {
        let route = |domain: &str, sink| Route {
            domain: domain.to_owned(),
            to: SocketAddr::from((sink, 25)),
        };
        Ok(Forwarder {
            dir: at.join(self.name()),
            listen: SocketAddr::from((NEAR, self.port())),
            routes: vec![route(TLS_DOMAIN, FAR), route(PLAIN_DOMAIN, PLAIN)],
            connections: u16::try_from(SESSIONS)?,
            message_octets_max: 100 << 20,
            certificate: Some(at.to_owned()),
        })
    }
}

const START_LIMIT: Duration = Duration::from_secs(30);
