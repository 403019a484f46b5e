//! Two namespaces joined by veth (edge and relay), a controller in the first, a greeter in the second.
//!
//! Everything is named after this process, and goes when the [`Lab`] is dropped.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use redirector_common::abi::ABI_VERSION;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    command::{Said, ip, said},
    greeter::Greeter,
};

/// A controller and what it needs.
pub(crate) struct Lab {
    name: String,
    directory: tempfile::TempDir,
    outgated: Option<Child>,
    greeter: Option<Greeter>,
}

impl Lab {
    /// Namespaces and a relay's port, and a controller that has not started.
    pub(crate) fn new() -> Self {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("ogc{}x{number}", std::process::id());
        let mut lab = Self {
            directory: tempfile::tempdir().unwrap(),
            outgated: None,
            greeter: None,
            name,
        };
        let (edge, relay) = (lab.edge(), lab.relay());
        ip(&["netns", "add", &edge]);
        ip(&["netns", "add", &relay]);
        ip(&["-n", &edge, "link", "set", "lo", "up"]);
        for (link, peer) in [("cust0", "cust1"), ("relay0", "relay1")] {
            ip(&[
                "-n", &edge, "link", "add", link, "type", "veth", "peer", "name", peer, "netns",
                &relay,
            ]);
            ip(&["-n", &edge, "link", "set", link, "up"]);
            ip(&["-n", &relay, "link", "set", peer, "up"]);
        }
        ip(&[
            "-n",
            &edge,
            "address",
            "add",
            "198.51.100.1/24",
            "dev",
            "relay0",
        ]);
        ip(&[
            "-n",
            &relay,
            "address",
            "add",
            "198.51.100.2/24",
            "dev",
            "relay1",
        ]);
        ip(&["-n", &edge, "route", "add", "default", "dev", "cust0"]);
        fs::write(lab.config(), lab.text()).unwrap();
        lab.greeter = Some(Greeter::start(Path::new("/run/netns").join(relay)));
        lab
    }

    /// The same, with a controller that answers.
    pub(crate) fn started() -> Self {
        let mut lab = Self::new();
        lab.start();
        lab
    }

    /// Starts the controller and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(&mut self, environment: &[(&str, &str)]) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let mut command = self.inside(env!("CARGO_BIN_EXE_outgated"));
        let command = command.arg("--config").arg(self.config());
        let command = command.envs(environment.iter().copied());
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.outgated = Some(child);
        self.until("outgated answers", |lab| lab.outgate(&["status"]).code == 0);
    }

    /// Ends the controller with a signal; answers with its exit code, if it had one.
    pub(crate) fn end(&mut self, signal: Signal) -> Option<i32> {
        let mut child = self.outgated.take().expect("the controller runs");
        // Whoever has ended by other hands is only waited for.
        if child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
        child.wait().unwrap().code()
    }

    /// Whether the controller ends in time, by itself or by somebody else's hand.
    pub(crate) fn has_ended_within(&mut self, patience: Duration) -> bool {
        let child = self.outgated.as_mut().expect("the controller was started");
        let begun = Instant::now();
        loop {
            if child.try_wait().unwrap().is_some() {
                return true;
            }
            if begun.elapsed() >= patience {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The controller's process.
    pub(crate) fn pid(&self) -> i32 {
        let child = self.outgated.as_ref().expect("the controller runs");
        Pid::from_child(child).as_raw_nonzero().get()
    }

    /// Runs `outgate` on the edge, as the person `tester`.
    pub(crate) fn outgate(&self, arguments: &[&str]) -> Said {
        let mut command = self.inside(env!("CARGO_BIN_EXE_outgate"));
        command
            .env("OUTGATE_SOCKET", self.socket())
            .env("USER", "tester")
            .env_remove("SUDO_USER");
        said(command.args(arguments))
    }

    /// Runs `outgate -j`, expects this exit code, and reads what it said.
    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let said = self.outgate(&[&["-j"], arguments].concat());
        assert_eq!(
            said.code,
            code,
            "{arguments:?}: {said:?}\n{}",
            self.logged()
        );
        serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said:?}"))
    }

    /// One request over the socket, written by hand; answers with status and body.
    pub(crate) fn http(&self, request: &str, body: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(deadline())).unwrap();
        let length = body.len();
        let head = "Host: outgated\r\nConnection: close\r\nContent-Type: application/json";
        write!(
            stream,
            "{request} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{request}: {answer:?}"));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap();
        (
            status,
            if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(body).unwrap()
            },
        )
    }

    /// Asks as relay-1 does.
    pub(crate) fn poll(&self, query: &str) -> (u16, Value) {
        self.http(&format!("GET /v1/relays/relay-1/snapshot?{query}"), "")
    }

    /// Acknowledges whatever is there now.
    pub(crate) fn acknowledge(&self) {
        let generation = self.poll("").1["generation"].as_u64().unwrap();
        assert_eq!(self.poll(&format!("have={generation}&wait_s=0")).0, 204);
    }

    /// Polls until something holds, or fails with the controller's log.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl FnMut(&Self) -> bool) {
        self.until_within(deadline(), what, holds);
    }

    /// The same for what may take longer.
    #[track_caller]
    pub(crate) fn until_within(
        &self,
        patience: Duration,
        what: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(
                begun.elapsed() < patience,
                "{what}: not within {patience:?}\n{}",
                self.logged()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the controller holds relay-1 for `state`.
    #[track_caller]
    pub(crate) fn until_relay_is(&self, state: &str) {
        self.until(state, |lab| {
            lab.json(0, &["status"])["pools"][0]["relays"][0]["state"] == state
        });
    }

    /// A command in the edge's namespace. `ip netns exec` would hide bpffs.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.edge()))
            .arg(program);
        command
    }

    /// A command in the namespace of the relay and the customers.
    pub(crate) fn outside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.relay()))
            .arg(program);
        command
    }

    /// Takes the relay's port away.
    pub(crate) fn silence_relay(&mut self) {
        drop(self.greeter.take());
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("outgated.toml")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("outgated.sock")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("state/outgate.db")
    }

    pub(crate) fn pin_dir(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(&self.name)
    }

    /// Where in there the maps and links are.
    pub(crate) fn pinned(&self) -> PathBuf {
        self.pin_dir().join(format!("v{ABI_VERSION}"))
    }

    /// What the controller has written so far.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The configuration.
    pub(crate) fn text(&self) -> String {
        let directory = self.directory.path().display();
        let pin_dir = self.pin_dir();
        format!(
            r#"operator = "Example Hosting"
help_url = "https://abuse.example.net/smtp"
socket = "{directory}/outgated.sock"
state_dir = "{directory}/state"
customer_prefixes = ["192.0.2.0/24", "2001:db8:a::/48"]
log = "debug"

[edge]
pin_dir = "{}"
flows_max = 4096

[[interface]]
name = "cust0"
role = "customer"

[[interface]]
name = "relay0"
role = "relay"

[[pool]]
name = "default"
on_failure = "closed"

[[pool.relay]]
name = "relay-1"
address = ["198.51.100.2"]
port = 2525

[radar]
sources_max = 1024

[health]
interval = "200ms"
timeout = "200ms"
"#,
            pin_dir.display()
        )
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("outgated.log")
    }

    pub(crate) fn edge(&self) -> String {
        format!("{}-edge", self.name)
    }

    /// The namespace of the relay, where the customers' wire ends, too.
    pub(crate) fn relay(&self) -> String {
        format!("{}-relay", self.name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut child) = self.outgated.take() {
            drop(child.kill());
            drop(child.wait());
        }
        self.silence_relay();
        // The pins first: they hold the programs on the interfaces.
        drop(fs::remove_dir_all(self.pin_dir()));
        for namespace in [self.edge(), self.relay()] {
            drop(
                Command::new("ip")
                    .args(["netns", "del", &namespace])
                    .output(),
            );
        }
    }
}

static LABS: AtomicU32 = AtomicU32::new(0);
/// Until when something must have happened: long against a usual machine, and `OUTGATE_LAB_PATIENCE` times that on a busy one.
pub(crate) fn deadline() -> Duration {
    let patience = std::env::var("OUTGATE_LAB_PATIENCE").ok();
    Duration::from_secs(15) * patience.map_or(1, |patience| patience.parse().unwrap())
}
