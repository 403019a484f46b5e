//! What the service manager is told: only a controller whose kernel thread answers says that it lives.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::lab::{Lab, deadline};

/// The next word, if one comes within that time.
fn word(socket: &UnixDatagram, within: Duration) -> Option<String> {
    socket.set_read_timeout(Some(within)).unwrap();
    let mut octets = [0; 256];
    let count = socket.recv(&mut octets).ok()?;
    Some(String::from_utf8_lossy(&octets[..count]).trim().to_owned())
}

/// The thread of that name.
fn thread(pid: i32, name: &str) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let found = tasks
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
    let found = found.expect("the kernel's thread has its name");
    found.file_name().unwrap().to_str().unwrap().to_owned()
}

struct Traced(Child);

impl Drop for Traced {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_kernel_thread_that_hangs_ends_the_pings_and_one_that_answers_brings_them_back() {
    let mut lab = Lab::new();
    let path = lab.socket().with_file_name("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    lab.start_with(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "30000000"),
    ]);
    let mut told = Vec::new();
    while !(told.contains(&String::from("READY=1")) && told.last().is_some_and(|it| it == PING)) {
        told.push(
            word(&socket, deadline()).unwrap_or_else(|| panic!("{told:?}\n{}", lab.logged())),
        );
    }

    // This one thread is stopped before its next system call on a map, as by a kernel that does not come back.
    let thread = thread(lab.pid(), "edge");
    let strace = Command::new("strace")
        .args([
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=bpf",
            "-e",
            "inject=bpf:delay_enter=3600s",
        ])
        .args(["-p", &thread])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let traced = Traced(strace.expect("strace is installed"));
    let began = Instant::now();
    while word(&socket, SILENCE).is_some() {
        assert!(began.elapsed() < deadline(), "it says that it lives");
    }
    drop(traced);
    assert_eq!(
        word(&socket, deadline()).as_deref(),
        Some(PING),
        "{}",
        lab.logged()
    );
}

const PING: &str = "WATCHDOG=1";
/// Three beats.
const SILENCE: Duration = Duration::from_secs(3);
