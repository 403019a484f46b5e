//! `openssl s_client` as a customer that looks at the handshake.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use tempfile::NamedTempFile;

use crate::host::Running;

/// A session after STARTTLS; ends with the test.
pub(crate) struct TlsSession {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    shown: NamedTempFile,
    _process: Running,
}

impl TlsSession {
    /// Starts TLS, and hears that it works.
    #[track_caller]
    pub(crate) fn open(relay: SocketAddr, options: &[&str]) -> Self {
        let shown = NamedTempFile::new().unwrap();
        // Quiet, or its words would stand between the relay's.
        let mut command = s_client(relay, options);
        command
            .args(["-quiet", "-nocommands"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(shown.reopen().unwrap());
        let mut process = Running::start(&mut command);
        let mut this = Self {
            input: process.0.stdin.take().unwrap(),
            output: BufReader::new(process.0.stdout.take().unwrap()),
            shown,
            _process: process,
        };
        this.expect("NOOP", "250 ");
        this
    }

    /// What s_client said about the certificate.
    pub(crate) fn shown(&self) -> String {
        std::fs::read_to_string(self.shown.path()).unwrap()
    }

    /// Says a line, and asserts how the answer begins.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, reply: &str) {
        self.input
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
        let mut heard = String::new();
        self.output.read_line(&mut heard).unwrap();
        assert!(
            heard.starts_with(reply),
            "{line}: {heard}\n{}",
            self.shown()
        );
    }
}

/// All that s_client says about a handshake, on which nothing follows.
#[track_caller]
pub(crate) fn handshake(relay: SocketAddr, options: &[&str]) -> String {
    let output = s_client(relay, options)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is not installed");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn s_client(relay: SocketAddr, options: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-starttls", "smtp", "-connect"])
        .arg(relay.to_string())
        .args(options);
    command
}
