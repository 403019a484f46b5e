//! Network namespaces without a name, and programs run inside of them.
//!
//! The benchmark has one thread, which goes from namespace to namespace; what a namespace holds goes when
//! the last descriptor of it is closed, so a benchmark that is killed leaves nothing behind.

use std::{fs::File, os::fd::AsFd as _, process::Command, sync::mpsc, thread};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{
    LinkNameSpaceType, Pid, UnshareFlags, gettid, move_into_link_name_space, unshare_unsafe,
};

/// A network namespace, while this lives.
pub(crate) struct Netns {
    file: File,
    tid: Pid,
    /// Dropped, it lets the thread end that others name the namespace by.
    _lives: mpsc::Sender<()>,
}

impl Netns {
    /// A new one.
    pub(crate) fn new() -> Result<Self> {
        let (lives, ends) = mpsc::channel::<()>();
        let (told, tells) = mpsc::channel();
        thread::spawn(move || {
            let entered = unshared().and_then(|()| Ok((here()?, gettid())));
            // Nobody listens if the benchmark has just ended.
            drop(told.send(entered));
            // Until the other end is dropped.
            let Err(mpsc::RecvError) = ends.recv() else {
                return;
            };
        });
        let (file, tid) = tells.recv().context("the thread of a namespace")??;
        let netns = Self {
            file,
            tid,
            _lives: lives,
        };
        netns.inside(|| {
            run("ip", "link set lo up")?;
            // What the kernel says by itself (router solicitations) would be counted at the sink.
            for (path, value) in QUIET {
                std::fs::write(path, value).with_context(|| format!("{path} = {value}"))?;
            }
            Ok(())
        })?;
        Ok(netns)
    }

    /// A name for `ip link set netns`.
    pub(crate) fn pid(&self) -> i32 {
        self.tid.as_raw_nonzero().get()
    }

    /// Does this inside; what it starts is inside, too.
    pub(crate) fn inside<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let home = here()?;
        enter(&self.file)?;
        let outcome = work();
        enter(&home)?;
        outcome
    }
}

/// Runs a program in the namespace that we are in; arguments have no spaces.
pub(crate) fn run(program: &str, arguments: &str) -> Result<String> {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {arguments}: {}", complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Index of an interface of the namespace that we are in.
pub(crate) fn index_of(interface: &str) -> Result<u32> {
    let shown = run("ip", &format!("-j link show dev {interface}"))?;
    let links: serde_json::Value = serde_json::from_str(&shown)?;
    let index = links[0]["ifindex"].as_u64();
    let index = index.with_context(|| format!("{interface} has no index: {shown}"))?;
    Ok(u32::try_from(index)?)
}

fn here() -> Result<File> {
    File::open("/proc/thread-self/ns/net").context("the network namespace that we are in")
}

fn enter(namespace: &File) -> Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("entering a network namespace")
}

fn unshared() -> Result<()> {
    // SAFETY: NEWNET changes the network namespace of this thread alone; descriptors stay shared, so none
    // of another thread becomes invalid.
    let made = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    made.context("a network namespace needs root")
}

const QUIET: [(&str, &str); 5] = [
    ("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0"),
    ("/proc/sys/net/ipv6/conf/default/accept_dad", "0"),
    ("/proc/sys/net/ipv6/conf/default/dad_transmits", "0"),
    ("/proc/sys/net/ipv6/conf/default/router_solicitations", "0"),
    ("/proc/sys/net/ipv6/conf/default/autoconf", "0"),
];
