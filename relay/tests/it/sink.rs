//! Postfix's smtp-sink as destination: says what it is told to, and keeps what it took.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::host::{Running, free_address, wait_for_greeting};

/// A running smtp-sink.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    messages: TempDir,
    log: std::path::PathBuf,
    _process: Running,
}

/// One transaction as smtp-sink saw it.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What smtp-sink noted: client, HELO, MAIL and RCPT.
    pub(crate) envelope: String,
    /// The message with CRLF line ends, trace fields on top.
    pub(crate) message: Vec<u8>,
}

impl Sink {
    /// Takes everything.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these options, and waits until it greets.
    pub(crate) fn with(options: &[&str]) -> Self {
        let sink = Self::spawn(options);
        wait_for_greeting(sink.address);
        sink
    }

    /// With these options; the greeting may be a refusal.
    pub(crate) fn spawn(options: &[&str]) -> Self {
        Self::at(free_address(), options)
    }

    /// At this address of the caller's network namespace.
    pub(crate) fn at(address: SocketAddr, options: &[&str]) -> Self {
        let messages = tempfile::tempdir().unwrap();
        // smtp-sink writes as another user.
        fs::set_permissions(messages.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let template = messages.path().join("message.");
        let log = messages.path().join("dialogue.log");
        let process = Running::start(
            Command::new("/usr/sbin/smtp-sink")
                .args(["-u", "nobody", "-v", "-d"])
                .arg(template)
                .args(options)
                .args([&address.to_string(), "100"])
                .stderr(Stdio::from(fs::File::create(&log).unwrap())),
        );
        crate::host::wait_until("smtp-sink to listen", || {
            std::net::TcpStream::connect(address).is_ok()
        });
        Self {
            address,
            messages,
            log,
            _process: process,
        }
    }

    /// All transactions, in the order in which the relay named them.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        let mut taken: Vec<_> = fs::read_dir(self.messages.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| *path != self.log)
            .map(|path| parse(&fs::read(path).unwrap()))
            .collect();
        taken.sort_by_key(|taken| taken.id().to_owned());
        taken
    }

    /// How many transactions it has written down. It writes a small one at once, when that has ended.
    pub(crate) fn written(&self) -> usize {
        let files = fs::read_dir(self.messages.path()).unwrap();
        let paths = files.map(|entry| entry.unwrap().path());
        let paths = paths.filter(|path| *path != self.log);
        let is_whole = |path: &std::path::PathBuf| fs::read(path).unwrap().ends_with(b"\n");
        paths.filter(is_whole).count()
    }

    /// The only complete transaction.
    #[track_caller]
    pub(crate) fn only(&self) -> Taken {
        let mut taken = self.taken();
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0)
    }

    /// The dialogue, as smtp-sink logs it.
    pub(crate) fn dialogue(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Taken {
    /// The trace fields that the relay added.
    #[track_caller]
    pub(crate) fn trace(&self) -> &str {
        std::str::from_utf8(&self.message[..self.trace_octets()]).unwrap()
    }

    /// All that the customer wrote.
    #[track_caller]
    pub(crate) fn content(&self) -> &[u8] {
        &self.message[self.trace_octets()..]
    }

    /// The relay's name of it; names sort by time.
    #[track_caller]
    fn id(&self) -> &str {
        let (_, id) = self.trace().rsplit_once(": ").unwrap();
        id.trim_end()
    }

    fn trace_octets(&self) -> usize {
        let field = b"\r\nX-Outgate-Id: ";
        let start = find(&self.message, field).expect("no X-Outgate-Id");
        let first: [&[u8]; 2] = [b"Received: from ", b"DKIM-Signature: v=1;"];
        let is_ours = first.iter().any(|field| self.message.starts_with(field));
        assert!(is_ours, "{self:?}");
        let value = start + field.len();
        value + find(&self.message[value..], b"\r\n").unwrap() + 2
    }
}

/// Takes smtp-sink's own lines off. It writes LF for CRLF, and what it took has no other LF.
fn parse(dump: &[u8]) -> Taken {
    let (mut envelope, mut rest) = (Vec::new(), dump);
    // X-Client-Addr, X-Client-Proto, X-Helo-Args, X-Mail-Args, X-Rcpt-Args, then its Received with
    // two continuation lines.
    while rest.starts_with(b"X-") {
        let (line, after) = split_line(rest);
        envelope.extend_from_slice(line);
        rest = after;
    }
    assert!(
        rest.starts_with(b"Received: "),
        "{}",
        String::from_utf8_lossy(dump)
    );
    rest = split_line(rest).1;
    while rest.starts_with(b"\t") {
        rest = split_line(rest).1;
    }
    // smtp-sink ends the file with a line end of its own.
    rest = rest.strip_suffix(b"\n").expect("the end of a message");
    let mut message = Vec::with_capacity(rest.len());
    for line in rest.split_inclusive(|&octet| octet == b'\n') {
        message.extend_from_slice(line.strip_suffix(b"\n").unwrap());
        message.extend_from_slice(b"\r\n");
    }
    Taken {
        envelope: String::from_utf8(envelope).unwrap(),
        message,
    }
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(find(text, b"\n").expect("a line") + 1)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
