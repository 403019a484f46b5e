//! Debian's postgrey: a policy service that defers whoever it does not know, and takes who comes back.

use std::{fs, os::unix::fs::chown, time::Duration};

use anyhow::Result;

use super::maildir::OWNER;
use crate::{host::Host, lab::Lab, process::Process};

/// One that runs; it ends with this guard.
#[derive(Debug)]
pub struct Greylist {
    _process: Process,
}

impl Greylist {
    /// Starts it on the loopback of a host; who comes back after `delay_seconds` is taken.
    ///
    /// # Errors
    /// That it is not installed, or does not listen in time, with its log.
    pub fn start(lab: &Lab, host: Host, delay_seconds: u32) -> Result<Self> {
        let dir = lab.dir().join(format!("{}-greylist", host.name()));
        fs::create_dir_all(&dir)?;
        chown(&dir, Some(OWNER), Some(OWNER))?;
        let namespace = lab.namespace(host);
        let mut postgrey = namespace.command("postgrey");
        postgrey
            .arg(format!("--inet=127.0.0.1:{PORT}"))
            .arg(format!("--delay={delay_seconds}"))
            .arg(format!("--dbdir={}", dir.display()))
            .args(["--user=nobody", "--group=nogroup"]);
        let log = lab.dir().join(format!("{}-greylist.log", host.name()));
        let mut process = Process::spawn("postgrey", &mut postgrey, &log)?;
        process.wait_until("postgrey to listen", Duration::from_secs(15), || {
            let connected = namespace.inside(|| {
                let own = ([127, 0, 0, 1], PORT).into();
                let patience = Duration::from_secs(2);
                Ok(std::net::TcpStream::connect_timeout(&own, patience).is_ok())
            });
            Ok(connected?.then_some(()))
        })?;
        Ok(Self { _process: process })
    }

    /// What a Postfix on the same host is told to ask it.
    #[must_use]
    pub fn main_cf() -> String {
        format!("smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{PORT}\n")
    }
}

const PORT: u16 = 10_023;
