//! A relay with a quarantine, a desk with a key, and the program between them.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use contract::{Delivery, Snapshot};
use tempfile::{TempDir, tempdir};
use tokio::task::block_in_place;

use crate::gate::{Gate, Options, delivered_by};
use crate::host::wait_until;
use crate::swaks::{self, Transcript};

pub(super) struct Scene {
    pub(super) gate: Gate,
    pub(super) state: TempDir,
    /// The desk's identity file.
    pub(super) key: String,
    spool: TempDir,
    desk: TempDir,
    destination: SocketAddr,
    snapshot: Snapshot,
    tables: String,
    tending: tokio::task::JoinHandle<()>,
}

impl Scene {
    /// For a cut-through customer of everything, with more tables of TOML.
    pub(super) fn with(destination: SocketAddr, tables: &str) -> Self {
        Self::of(destination, delivered_by(Delivery::Cutthrough), tables)
    }

    pub(super) fn of(destination: SocketAddr, snapshot: Snapshot, tables: &str) -> Self {
        let (desk, recipient) = desk();
        let quarantine = format!("[quarantine]\nrecipients = [\"{recipient}\"]\n{tables}");
        Self::build(destination, snapshot, desk, quarantine)
    }

    /// With a line inside of `[quarantine]`.
    pub(super) fn limited(destination: SocketAddr, line: &str) -> Self {
        Self::with(destination, line)
    }

    /// Nobody could open what is sealed.
    pub(super) fn without_recipients(destination: SocketAddr) -> Self {
        let snapshot = delivered_by(Delivery::Cutthrough);
        Self::build(destination, snapshot, desk().0, "[quarantine]\n".into())
    }

    fn build(destination: SocketAddr, snapshot: Snapshot, desk: TempDir, tables: String) -> Self {
        let (spool, state) = (tempdir().unwrap(), tempdir().unwrap());
        Self::start(destination, snapshot, desk, tables, spool, state)
    }

    fn start(
        destination: SocketAddr,
        snapshot: Snapshot,
        desk: TempDir,
        tables: String,
        spool: TempDir,
        state: TempDir,
    ) -> Self {
        let options = Options::with_spool(destination, Delivery::Cutthrough, spool.path());
        let gate = Gate::start(Options {
            more: format!("{}{tables}", options.more),
            snapshot: Some(snapshot.clone()),
            state_dir: Some(state.path().to_owned()),
            ..options
        });
        let tending = tokio::spawn(gate.relay.tend());
        Self {
            gate,
            state,
            key: desk.path().join("desk.key").display().to_string(),
            spool,
            desk,
            destination,
            snapshot,
            tables,
            tending,
        }
    }

    pub(super) async fn stop(self) {
        self.gate.stop().await;
        self.tending.abort();
    }

    /// Another process with the same files.
    pub(super) async fn restart(self) -> Self {
        let Self {
            gate,
            state,
            spool,
            desk,
            destination,
            snapshot,
            tables,
            tending,
            ..
        } = self;
        gate.stop().await;
        tending.abort();
        let again = Self::start(destination, snapshot, desk, tables, spool, state);
        again.wait_for_door();
        wait_until("the quarantine to be read", || {
            again.post("list", b"{}").contains("\"complete\":true")
        });
        again
    }

    pub(super) async fn send(&self, content: &[u8]) -> Transcript {
        swaks::send(self.gate.address, content, &[]).await
    }

    /// Sends what must be refused; its name.
    pub(super) async fn refused(&self, content: &[u8]) -> String {
        let transcript = self.send(content).await;
        transcript.assert_heard("550 5.7.1 ");
        let (_, id) = transcript.text.split_once(" id=").unwrap();
        id.split_whitespace().next().unwrap().to_owned()
    }

    pub(super) fn program(&self, command: &str, words: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_outgate-relay"));
        program.arg("--config").arg(&self.gate.config_file);
        self.wait_for_door();
        block_in_place(|| program.arg(command).args(words).output().unwrap())
    }

    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.program("quarantine", words)
    }

    /// What is said with success.
    #[track_caller]
    pub(super) fn hear(&self, words: &[&str]) -> String {
        heard(words, self.run(words))
    }

    #[track_caller]
    pub(super) fn json(&self, words: &[&str]) -> serde_json::Value {
        let words = [words, &["-j"]].concat();
        serde_json::from_str(&self.hear(&words)).unwrap()
    }

    /// The answer to a question at the door, status line first.
    pub(super) fn post(&self, verb: &str, body: &[u8]) -> String {
        let mut door = UnixStream::connect(self.state.path().join("admin.sock")).unwrap();
        let head = format!(
            "POST /v1/quarantine/{verb} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        door.write_all(head.as_bytes()).unwrap();
        // A relay that has heard enough answers, and may close before the rest.
        drop(door.write_all(body));
        let mut answer = Vec::new();
        block_in_place(|| door.read_to_end(&mut answer)).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(super) fn store(&self) -> PathBuf {
        self.state.path().join("quarantine")
    }

    /// The kinds of things that are kept.
    pub(super) fn folders(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// One file of a kind.
    pub(super) fn only_file(&self, folder: &str) -> PathBuf {
        files(&self.store().join(folder)).remove(0)
    }

    #[track_caller]
    pub(super) fn assert_nowhere(&self, text: &str) {
        for file in files(self.state.path()) {
            let octets = fs::read(&file).unwrap();
            let found = memchr::memmem::find(&octets, text.as_bytes());
            assert_eq!(found, None, "{text} is in {}", file.display());
        }
    }

    fn wait_for_door(&self) {
        let door = self.state.path().join("admin.sock");
        block_in_place(|| wait_until("the door", || UnixStream::connect(&door).is_ok()));
    }
}

#[track_caller]
pub(super) fn heard(words: &[&str], output: Output) -> String {
    let heard = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words:?}: {heard}{error}");
    heard
}

/// All files below a directory.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false if path.extension().is_some_and(|it| it == "sock") => {}
            false => files.push(path),
        }
    }
    files
}

/// A value of text in a line of JSON.
pub(super) fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":\"")).unwrap();
    rest.split_once('"').unwrap().0
}

/// A directory with `desk.key`, and for whom it is.
fn desk() -> (TempDir, String) {
    let desk = tempdir().unwrap();
    let key = desk.path().join("desk.key");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output();
    made.expect("age-keygen is not installed; `cargo xtask setup` installs age");
    let text = fs::read_to_string(&key).unwrap();
    let recipient = text
        .split_whitespace()
        .find(|word| word.starts_with("age1"));
    (desk, recipient.unwrap().to_owned())
}
