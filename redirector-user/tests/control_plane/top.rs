//! `outgate top` on a terminal: a pseudo-terminal that `script` (bsdutils) holds.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    lab::{Lab, deadline},
    screen::Screen,
};

/// A customer that opens connections to port 25 until it is dropped.
pub(crate) struct Sender(Child);

impl Sender {
    pub(crate) fn start(lab: &Lab) -> Self {
        let namespace = lab.relay();
        let ip =
            |arguments: &[&str]| crate::command::ip(&[&["-n", &namespace], arguments].concat());
        ip(&["address", "replace", "192.0.2.10/24", "dev", "cust1"]);
        ip(&["route", "replace", "203.0.113.0/24", "dev", "cust1"]);
        for host in 1..=20 {
            let address = format!("203.0.113.{host}");
            ip(&[
                "neighbour",
                "replace",
                &address,
                "lladdr",
                "02:00:00:00:00:01",
                "dev",
                "cust1",
            ]);
        }
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}"));
        command.args(["python3", "-c", SENDS]).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const SENDS: &str = "
import socket, time
while True:
    for host in range(1, 21):
        it = socket.socket()
        it.setblocking(False)
        it.bind(('192.0.2.10', 0))
        it.connect_ex(('203.0.113.%d' % host, 25))
        it.close()
    time.sleep(0.05)
";

/// `outgate top` on a terminal of 80 by 24, and the shell around it.
struct Session {
    script: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    fn start(lab: &Lab, environment: &[(&str, &str)]) -> Self {
        let program = env!("CARGO_BIN_EXE_outgate");
        let line = format!(
            "stty rows 24 cols 80; sh -c 'echo pid=$$.; exec {program} top --interval 200ms'; echo ended=$?.; stty -a"
        );
        let mut command = lab.inside("script");
        command
            .args([
                "--quiet",
                "--flush",
                "--return",
                "--command",
                &line,
                "/dev/null",
            ])
            .env("OUTGATE_SOCKET", lab.socket())
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied());
        let mut script = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is installed");
        let mut out = script.stdout.take().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&seen);
        thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut octets) {
                writes.lock().unwrap().extend_from_slice(&octets[..count]);
            }
        });
        Self {
            keys: script.stdin.take(),
            script,
            seen,
        }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn type_in(&mut self, keys: &str) {
        let stdin = self.keys.as_mut().unwrap();
        stdin
            .write_all(keys.as_bytes())
            .and_then(|()| stdin.flush())
            .unwrap();
    }

    #[track_caller]
    fn until(&self, what: &str) {
        let deadline = Instant::now() + deadline();
        while !self.seen().contains(what) {
            assert!(
                Instant::now() < deadline,
                "{what}: {}",
                self.seen().escape_debug()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Polls until this is on the screen.
    #[track_caller]
    fn until_shown(&self, what: &str) {
        let deadline = Instant::now() + deadline();
        while !Screen::after(&self.seen()).contains(what) {
            assert!(
                Instant::now() < deadline,
                "{what}:\n{}",
                Screen::after(&self.seen())
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn pid(&self) -> i32 {
        self.until("pid=");
        self.until(".");
        let seen = self.seen();
        let after = seen.split("pid=").nth(1).unwrap();
        after.split('.').next().unwrap().parse().unwrap()
    }

    /// It has ended by itself, and the terminal is what it was.
    #[track_caller]
    fn expect_end(mut self, code: u8) {
        self.until(&format!("ended={code}."));
        self.until("echo ");
        drop(self.keys.take());
        self.script.wait().unwrap();
        let seen = self.seen();
        let (screen, after) = seen.split_once("ended=").unwrap();
        assert!(
            screen.contains("\u{1b}[?1049h") && screen.contains("\u{1b}[?1049l"),
            "{screen:?}"
        );
        assert!(
            screen.rfind("\u{1b}[?25h") > screen.rfind("\u{1b}[?25l"),
            "the cursor is back"
        );
        let modes: Vec<&str> = after.split_whitespace().collect();
        for mode in ["icanon", "echo", "opost"] {
            assert!(modes.contains(&mode), "{mode}: {after}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.script.kill());
        drop(self.script.wait());
    }
}

fn watched() -> Lab {
    let mut lab = Lab::new();
    let text = lab
        .text()
        .replace("[radar]\n", "[radar]\nwindow = \"1s\"\n");
    fs::write(lab.config(), text).unwrap();
    lab.start();
    lab
}

#[test]
fn a_source_that_sends_is_shown_looked_at_and_left() {
    let lab = watched();
    let _sender = Sender::start(&lab);
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "seen on top",
            "--action",
            "observe",
        ],
    );
    let mut top = Session::start(&lab, &[]);
    top.until("\u{1b}[?1049h");
    top.until_shown("192.0.2.10/32");
    top.until_shown("default      relay-1        up");
    top.until_shown("observe");
    top.type_in("\r");
    top.until_shown("flag 1: observe on 192.0.2.10/32, by tester: seen on top");
    top.type_in("q");
    top.expect_end(0);
}

#[test]
fn a_signal_gives_the_terminal_back_and_a_terminal_that_goes_ends_it() {
    let lab = watched();
    let top = Session::start(&lab, &[("NO_COLOR", "1")]);
    let pid = Pid::from_raw(top.pid()).unwrap();
    top.until_shown("SERVING");
    kill_process(pid, Signal::TERM).unwrap();
    top.until("ended=0.");
    let seen = top.seen();
    let foreground = ["\u{1b}[38;5;", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"];
    assert!(
        !foreground.iter().any(|colour| seen.contains(colour)),
        "{}",
        seen.escape_debug()
    );
    top.expect_end(0);

    let top = Session::start(&lab, &[]);
    let pid = top.pid();
    top.until_shown("SERVING");
    drop(top);
    lab.until("it ends with its terminal", |_| {
        !Path::new(&format!("/proc/{pid}")).exists()
    });
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let lab = Lab::started();
    let said = lab.outgate(&["top"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("needs a terminal") && said.err.contains("`outgate top -j`"),
        "{said:?}"
    );
    let once = lab.json(0, &["top"]);
    assert_eq!(once["status"]["flows_max"], 4096);
    assert!(
        once["counters"]["dropped"].is_u64() && once["radar"]["enabled"] == true,
        "{once}"
    );
    let said = lab.outgate(&["top", "--interval", "1ms"]);
    assert!(
        said.code == 1 && said.err.contains("allowed are 200ms to 1m"),
        "{said:?}"
    );
}
