//! A real Dante as SOCKS5 proxy. It lets its connections leave from the address that the client came to, and knows one
//! user, whose password is laid over the machine's in a mount namespace of its own.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::host::{Running, wait_until};
use crate::steer::at;

/// A running danted.
pub(crate) struct Dante {
    _process: Running,
    directory: TempDir,
}

impl Dante {
    /// At port 1080 of all these addresses of the caller's network namespace.
    pub(crate) fn at(addresses: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let hash = Command::new("openssl")
            .args(["passwd", "-6", PASSWORD])
            .output()
            .unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        let with = |file: &str, line: &str| {
            let text = fs::read_to_string(format!("/etc/{file}")).unwrap();
            fs::write(path(file), format!("{text}{line}\n")).unwrap();
        };
        with(
            "passwd",
            &format!("{USER}:x:65000:65534::/nonexistent:/usr/sbin/nologin"),
        );
        with(
            "shadow",
            &format!("{USER}:{}:20000:0:99999:7:::", hash.trim()),
        );
        let places: String = addresses
            .iter()
            .map(|address| format!("internal: {address} port = 1080\nexternal: {address}\n"))
            .collect();
        let config = format!(
            "logoutput: {log}\n{places}external.rotation: same-same\nclientmethod: none\nsocksmethod: username\n\
             user.privileged: root\nuser.unprivileged: nobody\n\
             client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\nclient pass {{ from: ::/0 to: ::/0 }}\n\
             socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\nsocks pass {{ from: ::/0 to: ::/0 }}\n",
            log = path("danted.log")
        );
        fs::write(path("danted.conf"), config).unwrap();
        let script = format!(
            "mount --bind {passwd} /etc/passwd && mount --bind {shadow} /etc/shadow && exec danted -f {config} -p {pid}",
            passwd = path("passwd"),
            shadow = path("shadow"),
            config = path("danted.conf"),
            pid = path("danted.pid"),
        );
        let process = Running::start(
            Command::new("unshare")
                .args(["--mount", "sh", "-c", &script])
                .stderr(Stdio::null()),
        );
        wait_until("danted to listen", || {
            let listens = |address: &&str| TcpStream::connect(at(address, 1080)).is_ok();
            addresses.iter().all(listens)
        });
        Self {
            _process: process,
            directory,
        }
    }

    /// What it has to say.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("danted.log")).unwrap()
    }
}

pub(crate) const USER: &str = "outgate";
pub(crate) const PASSWORD: &str = "correct horse";
