//! A filter in Python by libmilter, which does what a message's subject says and writes down what it is shown.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::host::{Running, wait_until};

/// A running one, at a Unix socket.
pub(crate) struct PythonMilter {
    directory: TempDir,
    _process: Running,
}

impl PythonMilter {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::write(path.join("filter.py"), FILTER).unwrap();
        let errors = fs::File::create(path.join("errors")).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.arg(path.join("filter.py")).arg(path).stderr(errors);
        let process = Running::start(&mut command);
        let this = Self {
            directory,
            _process: process,
        };
        wait_until("the filter (python3-milter)", || {
            UnixStream::connect(this.socket()).is_ok()
        });
        this
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// As a line of a `[[scanner]]`.
    pub(crate) fn way(&self) -> String {
        format!("socket = \"{}\"", self.socket().display())
    }

    /// What it was shown of messages, line by line.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.directory.path().join("told")).unwrap();
        told.lines().map(str::to_owned).collect()
    }
}

const FILTER: &str = r#"
import os, sys
import Milter

directory = sys.argv[1]
told = open(os.path.join(directory, "told"), "w", buffering=1)

class Filter(Milter.Base):
    def connect(self, name, family, client):
        self.subject = ""
        self.first = "connect %s %s j=%s client_addr=%s" % (
            name, client[0], self.getsymval("j"), self.getsymval("{client_addr}"))
        return Milter.CONTINUE

    def hello(self, name):
        # Whoever only looks whether it is there says nothing.
        told.write(self.first + "\n")
        told.write("hello %s\n" % name)
        return Milter.CONTINUE

    def envfrom(self, *words):
        told.write("mail %s mail_addr=%s\n" % (" ".join(words), self.getsymval("{mail_addr}")))
        return Milter.CONTINUE

    def envrcpt(self, *words):
        told.write("rcpt %s rcpt_addr=%s\n" % (" ".join(words), self.getsymval("{rcpt_addr}")))
        if words[0] == "<no@mx.example>":
            self.setreply("550", "5.1.1", "nobody of that name")
            return Milter.REJECT
        if words[0] == "<later@mx.example>":
            return Milter.TEMPFAIL
        return Milter.CONTINUE

    def data(self):
        told.write("data\n")
        return Milter.CONTINUE

    def header(self, name, value):
        told.write("header %s %r\n" % (name, value))
        if name == "Subject":
            self.subject = value
        return Milter.CONTINUE

    def eoh(self):
        told.write("eoh\n")
        return Milter.CONTINUE

    def body(self, chunk):
        told.write("body %r\n" % chunk)
        return Milter.SKIP if self.subject == "skip" else Milter.CONTINUE

    def eom(self):
        told.write("eom i=%s\n" % bool(self.getsymval("i")))
        if self.subject == "accept":
            return Milter.ACCEPT
        if self.subject == "reject":
            return Milter.REJECT
        if self.subject == "discard":
            return Milter.DISCARD
        if self.subject == "tempfail":
            return Milter.TEMPFAIL
        if self.subject == "quarantine":
            self.quarantine("looks odd")
            return Milter.ACCEPT
        if self.subject == "progress":
            self.progress()
            self.progress()
        if self.subject == "changes":
            self.addheader("X-Filter", "yes")
            self.chgheader("X-Long", 1, "")
            self.chgheader("Subject", 1, "other")
            self.addrcpt("<other@mx.example>")
            self.delrcpt("<b@mx.example>")
            self.chgfrom("<other@customer.example>")
            self.replacebody("other\r\n")
        if self.subject.startswith("reply "):
            code = self.subject.split(" ")[1]
            self.setreply(code, code[0] + ".7.1", "not 100%% wanted here")
            return Milter.REJECT if code[0] == "5" else Milter.TEMPFAIL
        return Milter.CONTINUE

Milter.factory = Filter
Milter.set_flags(Milter.CHGBODY | Milter.CHGHDRS | Milter.ADDHDRS | Milter.ADDRCPT | Milter.DELRCPT
                 | Milter.QUARANTINE | Milter.CHGFROM)
Milter.runmilter("filter", "unix:" + os.path.join(directory, "socket"), 60)
"#;
