//! Debian's HAProxy, which passes connections on with a PROXY header.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use tempfile::TempDir;

use crate::host::{Running, wait_until};

/// A running HAProxy that has found its servers alive; ends with the test.
pub(crate) struct HaProxy {
    directory: TempDir,
    _process: Running,
}

impl HaProxy {
    /// From each first address to each second one, and checks on the second whether anybody lives there.
    pub(crate) fn start(ways: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = format!(
            "global\n  stats socket {}\n\
             defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 60s\n  timeout server 60s\n",
            directory.path().join("stats.sock").display()
        );
        for (number, (bind, server)) in ways.iter().enumerate() {
            config += &format!(
                "listen way{number}\n  bind {bind}\n  option tcp-check\n  tcp-check expect rstring ^220\n  \
                 server relay {server} send-proxy-v2 check check-send-proxy inter 1s\n"
            );
        }
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let process = Running::start(Command::new("/usr/sbin/haproxy").arg("-f").arg(&file));
        let this = Self {
            directory,
            _process: process,
        };
        wait_until("HAProxy to find the relay alive", || {
            this.checks() == ways.len()
        });
        this
    }

    /// How many of its health checks say that what they expect came.
    fn checks(&self) -> usize {
        let mut said = String::new();
        let asked = UnixStream::connect(self.directory.path().join("stats.sock"))
            .and_then(|mut socket| {
                socket.write_all(b"show stat\n")?;
                socket.read_to_string(&mut said)
            })
            .is_ok();
        if asked {
            said.matches(",L7OK,").count()
        } else {
            0
        }
    }
}
