//! What the tests stand on: namespaces, veth pairs, pin directories. All of it goes with its owner.

use std::{
    net::IpAddr,
    panic,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use redirector_common::abi::ABI_VERSION;
use redirector_user::edge::{Edge, EdgeConfig};
use rustix::thread::{Pid, UnshareFlags, gettid, unshare_unsafe};

/// Runs a test in a new network namespace; that goes with the thread that is in it.
pub(crate) fn isolated(test: impl FnOnce() + Send) {
    let outcome = thread::scope(|scope| {
        scope
            .spawn(|| {
                leave_namespace();
                ip("link set lo up");
                test();
            })
            .join()
    });
    if let Err(panicked) = outcome {
        panic::resume_unwind(panicked);
    }
}

/// A thread in another new network namespace, that does what it is told.
pub(crate) struct Elsewhere {
    tid: Pid,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Elsewhere {
    pub(crate) fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (tid_out, tid) = mpsc::channel();
        let thread = thread::spawn(move || {
            leave_namespace();
            ip("link set lo up");
            tid_out.send(gettid()).unwrap();
            for job in inbox {
                job();
            }
        });
        let tid = tid.recv().expect("the thread entered its namespace");
        Self {
            tid,
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    /// Runs a job over there and waits for what it returns.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        let job = Box::new(move || answer.send(job()).unwrap());
        self.jobs
            .as_ref()
            .expect("runs until dropped")
            .send(job)
            .unwrap();
        answered.recv().expect("the job over there did not panic")
    }

    /// Joins the two namespaces: `here` with `here_address`, `eth0` over there with `there_address`.
    pub(crate) fn wire(&self, here: &str, here_address: &[&str], there_address: &[&str]) {
        veth(here, "peer");
        ip(&format!(
            "link set peer netns {}",
            self.tid.as_raw_nonzero()
        ));
        for address in here_address {
            add_address(here, address);
        }
        let there: Vec<String> = there_address
            .iter()
            .map(|text| (*text).to_owned())
            .collect();
        self.run(move || {
            ip("link set peer name eth0");
            for address in there {
                add_address("eth0", &address);
            }
            ip("link set eth0 up");
        });
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has already failed the run() that caused it.
            drop(thread.join());
        }
    }
}

/// A pin directory of one test.
pub(crate) struct PinDir(PathBuf);

impl PinDir {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        mount_bpffs();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("outgate-test-{}-{number}", std::process::id());
        Self(Path::new("/sys/fs/bpf").join(name))
    }

    /// Where maps are pinned.
    pub(crate) fn maps(&self) -> PathBuf {
        self.0.join(format!("v{ABI_VERSION}"))
    }

    pub(crate) fn config(&self) -> EdgeConfig {
        EdgeConfig {
            pin_dir: self.0.clone(),
            flows_max: 1024,
            policies_max: 1024,
            syn_rate: 20,
            syn_burst: 100,
            heartbeat_limit_s: 300,
            debug_lines: false,
            radar_sources_max: 1024,
        }
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Edge {
        Edge::open(self.config()).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for PinDir {
    fn drop(&mut self) {
        if self.0.exists() {
            std::fs::remove_dir_all(&self.0).expect("the pins of a test go with it");
        }
    }
}

/// A veth pair, up.
pub(crate) fn veth(one: &str, other: &str) {
    ip(&format!("link add {one} type veth peer name {other}"));
    ip(&format!("link set {one} up"));
    ip(&format!("link set {other} up"));
}

/// Runs `ip` in the namespace of this thread.
#[track_caller]
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("`ip` is installed (package iproute2)");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
}

/// What `ip` prints.
#[track_caller]
pub(crate) fn ip_shows(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Without `nodad` an IPv6 address is not usable for a second.
fn add_address(interface: &str, address: &str) {
    let nodad = if address.contains(':') { "nodad" } else { "" };
    ip(&format!("address add {address} dev {interface} {nodad}"));
}

fn leave_namespace() {
    // SAFETY: NEWNET changes the network namespace of this thread alone; descriptors stay shared,
    // so none of another thread becomes invalid.
    let outcome = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    outcome.expect("these tests need root: they make network namespaces and load BPF");
}

fn mount_bpffs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        if !mounts
            .lines()
            .any(|line| line.contains(" /sys/fs/bpf bpf "))
        {
            let arguments = ["-t", "bpf", "bpf", "/sys/fs/bpf"];
            let status = Command::new("mount").args(arguments).status().unwrap();
            assert!(
                status.success(),
                "these tests need root: mount {arguments:?}"
            );
        }
    });
}
