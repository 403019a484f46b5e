//! clamav-milter, which asks a clamd of the test's own.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::clamd::{Clamd, unpacked};
use crate::host::{Running, free_address, wait_until};

/// Two of them, at a Unix socket and at a port of IPv6.
pub(crate) struct ClamavMilter {
    socket: PathBuf,
    port: u16,
    _processes: [Running; 2],
    _clamd: Clamd,
}

impl ClamavMilter {
    pub(crate) fn start() -> Self {
        let clamd = Clamd::start();
        let directory = clamd.directory().to_owned();
        let socket = directory.join("milter.ctl");
        let port = free_address().port();
        let start = |name: &str, listens: &str| {
            let config = format!(
                "Foreground yes\nLogFile {shown}/{name}.log\nTemporaryDirectory {shown}\nMilterSocket {listens}\n\
                 ClamdSocket unix:{clamd}\nOnInfected Reject\nRejectMsg found %v\nAddHeader Replace\n",
                shown = directory.display(),
                clamd = clamd.socket().display(),
            );
            let file = directory.join(format!("{name}.conf"));
            fs::write(&file, config).unwrap();
            let mut command = Command::new(unpacked("clamav").join("usr/sbin/clamav-milter"));
            command.arg(format!("--config-file={}", file.display()));
            Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
        };
        let unix = start("unix", &format!("unix:{}", socket.display()));
        let tcp = start("tcp", &format!("inet6:{port}@[::1]"));
        wait_until("clamav-milter", || {
            UnixStream::connect(&socket).is_ok() && TcpStream::connect(("::1", port)).is_ok()
        });
        Self {
            socket,
            port,
            _processes: [unix, tcp],
            _clamd: clamd,
        }
    }

    /// Every way to it, as lines of a `[[scanner]]`.
    pub(crate) fn ways(&self) -> [String; 2] {
        [
            format!("socket = \"{}\"", self.socket.display()),
            format!("address = \"[::1]:{}\"", self.port),
        ]
    }
}
