//! What the figures were measured on, and staying on one CPU of it.

use anyhow::{Context as _, Result};
use rustix::{
    system::uname,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde::Serialize;

use crate::netns::run;

/// The machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    kernel: String,
    cpu: String,
    cpus: usize,
    /// The one that everything was measured on; `None` = all of them.
    on_cpu: Option<usize>,
    version: &'static str,
    nft: String,
}

impl Machine {
    /// Looks.
    pub(crate) fn look(on_cpu: Option<usize>) -> Result<Self> {
        let uname = uname();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo")?;
        let cpu = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        let nft = run("nft", "--version").unwrap_or_else(|_absent| "absent".to_owned());
        Ok(Self {
            kernel: format!(
                "{} {}",
                uname.release().to_string_lossy(),
                uname.machine().to_string_lossy()
            ),
            cpu: cpu.to_owned(),
            cpus: cpuinfo.matches("processor\t").count(),
            on_cpu,
            version: env!("CARGO_PKG_VERSION"),
            nft: nft.trim().to_owned(),
        })
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self {
            kernel,
            cpu,
            cpus,
            on_cpu,
            version,
            nft,
        } = self;
        let only = on_cpu.map_or_else(String::new, |cpu| format!(", all on CPU {cpu}"));
        format!("Outgate {version} · Linux {kernel} · {cpu}, {cpus} CPUs{only} · {nft}")
    }
}

/// Keeps this thread on the last CPU that it may use; answers which.
pub(crate) fn settle() -> Result<usize> {
    let allowed = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu));
    let last = last.context("a CPU to run on")?;
    let mut only = CpuSet::new();
    only.set(last);
    sched_setaffinity(None, &only)?;
    Ok(last)
}

/// The load averages of one, five and fifteen minutes.
pub(crate) fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    Ok(averages.join(" "))
}

/// A field of a process's `status`, as `VmRSS:`, in octets.
pub(crate) fn memory_of(pid: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: f64 = found
        .and_then(|found| found.trim().strip_suffix(" kB"))
        .with_context(|| format!("{field} of process {pid}"))?
        .parse()?;
    Ok(kib * 1024.0)
}
