//! `outgate-relay scan`: files instead of sessions, and nobody asked whom the configuration does not name.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::clamd::{Clamd, SIGNATURE, sample, with_attachment};
use crate::gate::{Options, config_text};
use crate::host::{Running, free_address, wait_until};
use crate::spam::GTUBE;

const CLEAN: &str = "Subject: hello\nFrom: a@customer.example\n\nSee https://www.example.org/ and ask b@mx.example.\n";

/// A directory for messages and a configuration.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A configuration with these scanners.
    fn configuration(&self, scanners: String) -> PathBuf {
        let options = Options {
            scanners,
            ..Options::to(free_address())
        };
        let text = config_text(self.0.path(), &options);
        self.file("relay.toml", &text)
    }
}

fn scan() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate-relay"));
    command.arg("scan");
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn assert_exit(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}", text(output));
}

/// Each message's line of JSON.
#[track_caller]
fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let line = |line| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

/// What these scanners say of a message with this subject, from a customer on loopback.
pub(crate) fn json(scanners: &str, subject: &str) -> Value {
    message(scanners, &format!("Subject: {subject}\n\nx\n"))
}

/// What they say of this message.
pub(crate) fn message(scanners: &str, content: &str) -> Value {
    let desk = Desk::new();
    let config = desk.configuration(scanners.to_owned());
    let message = desk.file("message.eml", content);
    let output = scan()
        .args(["-j", "--ip", "127.0.0.1", "--helo", "client.example"])
        .args([
            "--from",
            "a@customer.example",
            "--to",
            "b@mx.example",
            "--config",
        ])
        .args([&config, &message])
        .output()
        .unwrap();
    let mut told = lines(&output);
    assert_eq!(told.len(), 1, "{}", text(&output));
    told.remove(0)
}

#[test]
fn files_are_judged_without_a_configuration() {
    let desk = Desk::new();
    let clean = desk.file("clean.eml", CLEAN);
    let spam = desk.file(
        "spam.eml",
        &format!("From a@b.example Sat Jan  3 01:05:34 1996\nSubject: x\n\n{GTUBE}\n"),
    );
    let output = scan().arg(&clean).output().unwrap();
    assert_exit(&output, 0);
    let told = text(&output);
    assert!(
        told.contains("accept") && told.contains("  builtin "),
        "{told}"
    );

    let output = scan().args([&clean, &spam]).output().unwrap();
    assert_exit(&output, 1);
    let told = text(&output);
    assert!(
        told.contains("reject") && told.contains("GTUBE test pattern"),
        "{told}"
    );

    let output = scan().arg("-j").args([&clean, &spam]).output().unwrap();
    assert_exit(&output, 1);
    let told = lines(&output);
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["verdict"], "accept");
    assert_eq!(told[0]["reason"], Value::Null);
    assert_eq!(told[1]["file"], spam.display().to_string());
    assert!(
        told[1]["verdict"].as_str().unwrap().starts_with("reject"),
        "{told:?}"
    );
    // They stand in the order in which they spoke.
    let words = told[1]["scanners"].as_array().unwrap();
    let builtin = words.iter().find(|word| word["name"] == "builtin").unwrap();
    assert_eq!(builtin["finding"], "spam");
    assert!(builtin["elapsed_ms"].is_number());

    let mut child = scan()
        .args(["--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(CLEAN.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(lines(&output)[0]["file"], "-");
}

#[test]
fn what_cannot_be_scanned_is_named_and_the_rest_is_scanned() {
    let desk = Desk::new();
    let clean = desk.file("clean.eml", CLEAN);
    let absent = desk.0.path().join("absent.eml");
    let output = scan().args([&absent, &clean]).output().unwrap();
    assert_exit(&output, 2);
    let told = text(&output);
    assert!(
        told.contains("absent.eml") && told.contains("clean.eml"),
        "{told}"
    );

    let mistakes: [(&[&str], &str); 5] = [
        (&["--from", "a b"], "--from"),
        (&["--to", "nobody@"], "--to"),
        (&["--ip", "localhost"], "--ip"),
        (&["--helo", ""], "visible ASCII"),
        (&["--scanner", "rspamd"], "there are: builtin"),
    ];
    for (arguments, expected) in mistakes {
        let output = scan().args(arguments).arg(&clean).output().unwrap();
        assert_exit(&output, 2);
        let told = text(&output);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    let output = scan().output().unwrap();
    assert_exit(&output, 2);
    let wrong = desk.file("wrong.toml", "name = 5");
    let output = scan()
        .arg("--config")
        .args([&wrong, &clean])
        .output()
        .unwrap();
    assert_exit(&output, 78);
}

#[test]
fn a_configurations_scanners_are_asked_and_one_of_them_alone_if_wanted() {
    let desk = Desk::new();
    let clamd = Clamd::start();
    let down = format!(
        "[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{}/checkv2\"\non_error = \"defer\"\n",
        free_address()
    );
    let config = desk.configuration(clamd.scanner() + &down);
    let malware = desk.file(
        "malware.eml",
        &with_attachment("clam.zip", &sample("clam.zip")).replace("\r\n", "\n"),
    );
    let clean = desk.file("clean.eml", CLEAN);
    let run = |scanner: &str, file: &Path| {
        let mut command = scan();
        command.arg("-j").arg("--config").arg(&config);
        if !scanner.is_empty() {
            command.args(["--scanner", scanner]);
        }
        let envelope = ["--from", "<a@customer.example>", "--to", "b@mx.example"];
        let client = ["--ip", "2001:db8::10", "--helo", "client.example"];
        command
            .args(envelope)
            .args(client)
            .arg(file)
            .output()
            .unwrap()
    };
    let output = run("clamd", &malware);
    assert_exit(&output, 1);
    let told = lines(&output).remove(0);
    assert!(
        told["reason"].as_str().unwrap().contains(SIGNATURE),
        "{told}"
    );
    assert_eq!(told["scanners"].as_array().unwrap().len(), 1);
    assert_eq!(told["scanners"][0]["finding"], "malware");

    let output = run("clamd", &clean);
    assert_exit(&output, 0);
    // The other one is down.
    let output = run("", &clean);
    assert_exit(&output, 1);
    assert_eq!(lines(&output)[0]["verdict"], "defer");
    let output = run("builtin", &clean);
    assert_exit(&output, 2);
    assert!(
        text(&output).contains("there are: clamd, rspamd"),
        "{}",
        text(&output)
    );
}

/// What a process and its children say to the network, until it ends or this is dropped.
struct Strace {
    log: PathBuf,
    process: Running,
}

impl Strace {
    fn attach(desk: &Desk, id: u32) -> Self {
        let log = desk.0.path().join("strace.clamd");
        let mut strace = Command::new("strace");
        strace.args(TRACE).arg(&log).args(["-p", &id.to_string()]);
        let process = Running::start(strace.stderr(Stdio::null()));
        let status = format!("/proc/{id}/status");
        wait_until("strace", || {
            let status = fs::read_to_string(&status).unwrap();
            status
                .lines()
                .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        });
        Self { log, process }
    }

    fn said(self) -> String {
        drop(self.process);
        fs::read_to_string(self.log).unwrap()
    }
}

const TRACE: [&str; 4] = [
    "-f",
    "-e",
    "trace=socket,connect,sendto,sendmsg,sendmmsg",
    "-o",
];

#[test]
fn nobody_is_asked_about_what_stands_in_a_message() {
    let desk = Desk::new();
    let clamd = Clamd::start();
    let links: String = (0..50)
        .map(|number| {
            format!("http://host{number}.example.org/x and c{number}@mail{number}.example\n")
        })
        .collect();
    let message = desk.file("links.eml", &format!("{CLEAN}{links}"));
    let run = |scanners: String| {
        let config = desk.configuration(scanners);
        let log = desk.0.path().join("strace.scan");
        let output = Command::new("strace")
            .args(TRACE)
            .arg(&log)
            .arg(env!("CARGO_BIN_EXE_outgate-relay"))
            .args([
                "scan",
                "--ip",
                "198.51.100.77",
                "--helo",
                "client.example.com",
            ])
            .args([
                "--from",
                "a@customer.example",
                "--to",
                "b@mx.example",
                "--config",
            ])
            .args([&config, &message])
            .output()
            .expect("strace is not installed");
        assert_exit(&output, 0);
        fs::read_to_string(log).unwrap()
    };
    let embedded = "[[scanner]]\nkind = \"builtin\"\n[[scanner]]\nkind = \"classifier\"\n";
    let of_clamd = Strace::attach(&desk, clamd.id());
    let of_scan = run(format!("{embedded}{}", clamd.scanner()));
    let of_clamd = of_clamd.said();
    for (who, said) in [("the relay", &of_scan), ("clamd", &of_clamd)] {
        assert!(!said.contains("AF_INET"), "{who}: {said}");
    }
    assert!(of_scan.contains("clamd.ctl"), "{of_scan}");
    assert!(of_clamd.contains("sendto"), "{of_clamd}");
    // Were it otherwise, it would show.
    let of_scan = run(format!(
        "[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{}/checkv2\"\non_error = \"open\"\n",
        free_address()
    ));
    assert!(of_scan.contains("AF_INET"), "{of_scan}");
}
