//! The proof that nothing is lost: a system that keeps mail is killed and worse, again and again, and the books of both
//! ends are compared.
//!
//! In each run sessions send without a pause and write down what was acknowledged, the far end writes down what has
//! arrived, and a plan, the same for the same seed, kills the system at moments of its own, freezes it, fills its disk,
//! lets syncs and writes fail, makes them slow, and cuts connections at any octet. Then the system is started once more
//! and left alone. Whatever was acknowledged must have arrived, octet for octet, or still be in the queue; and a second
//! copy must be of something that was in flight when something was done.
//!
//! What a kernel keeps when a process is killed it does not keep when the power fails: the spool's own tests have a
//! disk that forgets what was not synced.

mod books;
mod chance;
mod client;
mod letter;
mod pace;
mod plan;
mod report;
mod run;
mod sink;
mod system;
mod trace;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    path::PathBuf,
};

use anyhow::{Context as _, Result};

pub use self::{
    plan::Fault,
    report::{Outcome, Report},
    system::Peer,
};
use self::{plan::Plan, run::Stage, sink::Sink};
use crate::{
    binaries::Binaries,
    host::{Family, Host},
    lab::Lab,
};

/// What a person can ask of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the names of the namespaces begin with.
    pub prefix: String,
    /// Where the product's binaries are; beside this program otherwise.
    pub bin_dir: Option<PathBuf>,
    /// Whom it is about.
    pub peer: Peer,
    /// How many runs.
    pub runs: u64,
    /// Which of all possible ones.
    pub seed: u64,
    /// Destroy something that was acknowledged, in each run, behind the system's back: then every run must fail.
    pub sabotage: bool,
}

/// Does all runs, and tells `each` as it goes.
///
/// # Errors
/// That a run could not be done; what the system did is in the report.
pub fn run(options: &Options, mut each: impl FnMut(&Outcome)) -> Result<Report> {
    let binaries = match &options.bin_dir {
        Some(dir) => Binaries::in_dir(dir),
        None => Binaries::beside_this_executable()?,
    };
    let lab = Lab::up(&options.prefix, binaries)?;
    let full = lab.small_ext4("full", SMALL_DISK_OCTETS)?;
    let sink_address = SocketAddrV4::new(v4(Host::Mx1)?, 25);
    let listener = lab
        .namespace(Host::Mx1)
        .inside(|| Ok(TcpListener::bind(sink_address)?))?;
    let stage = Stage {
        lab: &lab,
        peer: options.peer,
        seed: options.seed,
        sabotage: options.sabotage,
        sink: Sink::serve(listener, options.seed),
        sink_address,
        listen: SocketAddrV4::new(v4(Host::Relay)?, PORT),
        full,
    };
    let mut report = Report::new(options);
    for number in 0..options.runs {
        let plan = Plan::of(options.seed, number);
        let dir = lab.dir().join("run");
        fs::create_dir_all(&dir)?;
        let outcome = stage.run(number, &plan, &dir).with_context(|| {
            format!(
                "run {number} ({}), seed {}",
                plan.fault.name(),
                options.seed
            )
        })?;
        each(&outcome);
        report.add(outcome);
        fs::remove_dir_all(&dir)?;
    }
    Ok(report)
}

fn v4(host: Host) -> Result<Ipv4Addr> {
    match host.address(Family::V4) {
        std::net::IpAddr::V4(address) => Ok(address),
        std::net::IpAddr::V6(address) => anyhow::bail!("{address} is not of IPv4"),
    }
}

const PORT: u16 = 2526;
const SMALL_DISK_OCTETS: u64 = 10 << 20;
