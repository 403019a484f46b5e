//! schemathesis: requests made of the API's own description, thousands of them, sound and unsound; no answer may be a fault
//! of ours, and none may be one that the description does not know.
//!
//! It is a Python program that `cargo xtask setup` installs. What it makes up follows from the description alone, so that it asks the same each time.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    command::said,
    lab::Lab,
    precheck::names::Names,
    remote::{Remote, SERVER, bearer},
};

#[test]
fn no_request_that_the_description_allows_finds_a_fault() {
    let remote = Remote::started(ASKED);
    // Everything that is asked is answered at once: by a resolver that knows all names that there are, and, of customers, that
    // nobody is there.
    let _names = Names::start(&remote.lab, &[], &[]);
    for prefix in ["192.0.2.0/24", "2001:db8:a::/48"] {
        let route = ["route", "replace", "unreachable", prefix];
        let done = said(remote.lab.inside("ip").args(route));
        assert_eq!(done.code, 0, "{done:?}");
    }
    let admin = remote.token("fuzzer", "admin");
    // As relay-1 would, so that redirects come into force, and no answer waits for it.
    let acknowledging = Acknowledging::begin(&remote.lab);
    let report = remote.file("report.txt");
    let mut command = remote.lab.inside(program().to_str().unwrap());
    command
        .arg("run")
        .arg(format!("{SERVER}/v1/openapi.json"))
        .args(["--header", &bearer(&admin)])
        .arg(format!("--tls-verify={}", remote.file("ca.pem").display()))
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "15", "--generation-deterministic"])
        // With two, Python 3.11's parser of itself ends one of them now and then ("AST constructor recursion depth mismatch").
        .args(["--workers", "1", "--request-timeout", "30", "--no-color"])
        // It ends when its caller goes, which a caller that waits for its end never does.
        .args(["--exclude-path", "/v1/capture"])
        .env("HYPOTHESIS_STORAGE_DIRECTORY", remote.file("hypothesis"))
        .current_dir(remote.file("."));
    let output = fs::File::create(&report).unwrap();
    let child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn();
    let mut child = child.unwrap();
    let deadline = Instant::now() + LONGEST;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it goes on: {}", fs::read_to_string(&report).unwrap());
        }
        thread::sleep(Duration::from_millis(100));
    };
    acknowledging.end();
    let report = fs::read_to_string(&report).unwrap();
    assert!(status.success(), "{report}\n{}", faults(&remote.lab));
    assert!(report.contains("passed"), "{report}");
    assert_eq!(faults(&remote.lab), "");
    assert_eq!(remote.lab.outgate(&["status"]).code, 0);
}

/// What the controller has logged as its own fault.
fn faults(lab: &Lab) -> String {
    let log = lab.logged();
    let faults = log
        .lines()
        .filter(|line| line.contains(" ERROR ") || line.contains("panicked"));
    faults.collect::<Vec<_>>().join("\n")
}

/// Where `cargo xtask setup` has put it.
fn program() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_outgated"));
    let target = own.ancestors().nth(2).unwrap();
    let program = target.join("peers/schemathesis/bin/schemathesis");
    assert!(
        program.is_file(),
        "{}: `cargo xtask setup` installs it",
        program.display()
    );
    program
}

/// Acknowledges every generation in relay-1's name, until it is told to end.
struct Acknowledging {
    going_on: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Acknowledging {
    fn begin(lab: &Lab) -> Self {
        let going_on = Arc::new(AtomicBool::new(true));
        let (goes_on, socket) = (Arc::clone(&going_on), lab.socket());
        let thread = thread::spawn(move || {
            let mut have = 0;
            while goes_on.load(Ordering::Relaxed) {
                have = newest(&socket, have).unwrap_or(have);
            }
        });
        Self { going_on, thread }
    }

    fn end(self) {
        self.going_on.store(false, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Acknowledges a generation, and waits a second for the next.
fn newest(socket: &Path, have: u64) -> Option<u64> {
    let mut stream = UnixStream::connect(socket).ok()?;
    write!(
        stream,
        "GET /v1/relays/relay-1/snapshot?have={have}&wait_s=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let snapshot: serde_json::Value = serde_json::from_str(body).ok()?;
    snapshot["generation"].as_u64()
}

const ASKED: &str = "[precheck]
resolvers = [\"127.0.0.1\"]
lists = [\"ip.list.example\"]
[listings]
resolvers = [\"127.0.0.1\"]
rate = 1000
[[listings.zone]]
name = \"ip.list.example\"
families = [\"ipv4\", \"ipv6\"]";
/// Every one that is about us; those about how freely unsound requests are refused are the description's author's taste.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth";
/// Some four thousand requests on a slow machine that does other things too.
const LONGEST: Duration = Duration::from_secs(600);
