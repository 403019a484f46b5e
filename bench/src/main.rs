//! `cargo xtask bench`: what a packet costs, beside what one would use instead, what a message costs, how well mail is
//! filtered, and what the controller costs.
//!
//! Needs root: it makes network namespaces without names, loads BPF, and pins maps below /sys/fs/bpf, all of
//! which goes with it (the pins of one that was killed go with the next). While it runs, connection tracking of
//! the whole machine has room for more.
//!
//! Exit codes: 0 done, 1 what was asked could not be measured, 2 usage; with `--check` also 1 if a target
//! was missed.

mod alone;
mod controller;
mod device;
mod filter;
mod house;
mod live;
mod machine;
mod netns;
#[path = "../../redirector-ebpf/src/bench/plan.rs"]
mod plan;
mod plans;
mod programs;
mod relay;
mod report;
mod rivals;
mod scene;
mod stats;
mod targets;
mod traffic;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand};
use redirector_common::abi::map;

use crate::{
    device::Device,
    live::{Effort, Measured, Stage},
    machine::Machine,
    netns::Netns,
    plans::{MANY, MILLION, Most},
    programs::Programs,
    report::{AloneLine, Line, Report},
    rivals::{Conntrack, Rival},
    scene::{Scene, Size},
    targets::{Target, Wanted},
};

/// What Outgate costs.
#[derive(Debug, Parser)]
#[command(name = "outgate-bench", bin_name = "cargo xtask bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a packet costs, what a policy weighs, how long a flag takes
    #[command(after_help = EXAMPLES)]
    Dataplane(Dataplane),
    /// What a message costs in the relay: messages a second, latency, memory of idle sessions
    #[command(after_help = RELAY_EXAMPLES)]
    Relay(relay::Options),
    /// How well mail is filtered, and what that costs: the embedded classifier, rspamd, both together
    #[command(after_help = FILTER_EXAMPLES)]
    Filter(filter::Options),
    /// What the controller costs: a start with a million policies, durable changes a second, questions
    #[command(after_help = CONTROLLER_EXAMPLES)]
    Controller(controller::Options),
}

#[derive(Debug, Args)]
struct Dataplane {
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the live path as bars
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Exit with 1 if a target is missed, and name it
    #[arg(long, conflicts_with = "quick")]
    check: bool,
    /// Measure everything so many times; five give bounds
    #[arg(long, default_value_t = FULL.rounds, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Few frames, policies and flows, in one minute: to see that it works; no figure of it counts
    #[arg(long)]
    quick: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench dataplane
  cargo xtask bench dataplane --check --json bench.json --svg bench.svg
  cargo xtask bench dataplane --quick

Let the machine do nothing else meanwhile. All that is measured runs on one CPU.";

const RELAY_EXAMPLES: &str = "\
Examples:
  cargo xtask bench relay
  cargo xtask bench relay --check --json relay.json

Let the machine do nothing else meanwhile. The relay shares all CPUs with generator and sink.";

const FILTER_EXAMPLES: &str = "\
Examples:
  cargo xtask bench filter
  cargo xtask bench filter --corpus /srv/mail/2025 --corpus /srv/mail/2026 --rspamd --json filter.json

Without --corpus it fetches a public one by npm.";

const CONTROLLER_EXAMPLES: &str = "\
Examples:
  cargo xtask bench controller
  cargo xtask bench controller --check --json controller.json
  cargo xtask bench controller --quick

Let the machine do nothing else meanwhile. Controller and writers share all CPUs.";

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dataplane(options) => run(&options),
        Command::Relay(options) => {
            relay::run(&options).map(|targets| judge(options.check, &targets))
        }
        Command::Filter(options) => {
            filter::run(&options).map(|targets| judge(options.check, &targets))
        }
        Command::Controller(options) => {
            controller::run(&options).map(|targets| judge(options.check, &targets))
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Dataplane) -> Result<ExitCode> {
    let report = measure(options)?;
    report::say_out(&report::text(&report))?;
    if let Some(path) = &options.json {
        report::write_json(&report, path)?;
    }
    if let Some(path) = &options.svg {
        report.write_chart(path)?;
    }
    Ok(judge(options.check, &report.targets))
}

/// Names what was missed, and fails for it, if that was asked for.
fn judge(check: bool, targets: &[Target]) -> ExitCode {
    let missed: Vec<&Target> = targets.iter().filter(|target| !target.met).collect();
    if !check || missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    for target in missed {
        let bound = target
            .bound
            .map_or_else(|| "not measured".to_owned(), |bound| format!("{bound:.2}"));
        say(&format!(
            "missed: {}: {} {} {}, bound {bound} {}",
            target.name,
            target.wanted.sign(),
            target.target,
            target.unit,
            target.note
        ));
    }
    ExitCode::FAILURE
}

fn measure(options: &Dataplane) -> Result<Report> {
    let quick = options.quick;
    let begun = Instant::now();
    let load_before = machine::load()?;
    let pins = Pins::new()?;

    say("toggling flags by the command line");
    let disk = house::beside("outgated")?.with_file_name("bench-state");
    let toggles = house::toggles(if quick { 20 } else { 200 }, &pins.dir("toggles"), &disk)?;

    let on_cpu = machine::settle()?;
    let wanted = if quick { MILLION / 50 } else { MILLION };
    let most = Most {
        policies: wanted,
        flows: wanted,
    };
    let effort = if quick {
        QUICK
    } else {
        Effort {
            rounds: options.rounds,
            ..FULL
        }
    };
    let conntrack = Conntrack::make_room(most.flows)?;
    let outside = Netns::new()?;
    let (sizes, rivals) = (plans::scenes(most), plans::rivals(most));
    let report = outside.inside(|| {
        let mut stage = set_up(&outside, &pins, &sizes, &rivals)?;
        let variants = plans::variants(&sizes, &rivals);
        let live = stage.measure(variants, effort)?;
        say("the program alone");
        let alone = alone::measure(&mut stage, plans::cases(), effort.rounds)?;

        let mut targets = plans::alone_targets(&sizes, &alone)?;
        targets.extend(plans::live_targets(&sizes, &rivals, &live)?);
        targets.extend(house_targets(&mut stage, &toggles)?);
        let floor = live
            .iter()
            .find(|measured| measured.variant.name == plans::FLOOR)
            .context("the floor was measured")?;
        Ok(Report {
            machine: Machine::look(Some(on_cpu))?,
            load_before,
            load_after: machine::load()?,
            rounds: effort.rounds,
            confidence: stats::CONFIDENCE,
            quick,
            took_s: begun.elapsed().as_secs_f64(),
            live: live
                .iter()
                .map(|measured| Line::new(measured, floor))
                .collect(),
            alone: alone.iter().map(AloneLine::from).collect(),
            notes: notes(&live),
            targets,
        })
    });
    drop(conntrack);
    report
}

/// Every device, filled.
fn set_up(
    outside: &Netns,
    pins: &Pins,
    sizes: &[Size],
    rivals: &[plans::RivalPlan],
) -> Result<Stage> {
    let mut programs = Programs::load()?;
    let mut stage = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        say(&format!(
            "filling scene {} of {}: {size:?}",
            number + 1,
            sizes.len()
        ));
        let device = Device::new(&mut programs, outside, number)?;
        let pins = pins.dir(&format!("scene-{number}"));
        stage.push(Scene::new(&mut programs, device, *size, &pins)?);
    }
    let mut others = Vec::new();
    for (number, (kind, family, policies, flows)) in rivals.iter().copied().enumerate() {
        say(&format!(
            "setting up {} of {}: {kind:?}, {policies} members",
            number + 1,
            rivals.len()
        ));
        let device = Device::new(&mut programs, outside, sizes.len() + number)?;
        let rival = Rival::new(&mut programs, device, kind, family, policies, flows);
        others.push(rival.with_context(|| format!("{kind:?}"))?);
    }
    Ok(Stage {
        programs,
        scenes: stage,
        rivals: others,
    })
}

/// Targets that are about the controller and the memory.
fn house_targets(stage: &mut Stage, toggles: &[f64]) -> Result<Vec<Target>> {
    let many = &mut stage.scenes[MANY];
    let policies = many.size.policies;
    let few = || plans::fewer(policies, 0, false);
    let mut writes = Vec::new();
    for _ in 0..WRITES {
        writes.push(many.toggle()?.as_secs_f64() * 1e6);
    }
    let loading = many.loading.as_secs_f64();
    let policy_octets = many.octets_each(map::HOSTS4, policies)?;
    let flowing = &stage.scenes[plans::FLOWING];
    let flows = flowing.flows();
    let flow_octets = flowing.octets_each(map::FLOWS, flows)?;
    let most =
        |name, unit, target, measured| Target::by_one(name, unit, Wanted::AtMost, target, measured);
    Ok(vec![
        most("loading a million host policies", "s", 3.0, loading).but(few()),
        most(
            "toggling a flag, command line to kernel, median",
            "ms",
            5.0,
            stats::median(toggles),
        ),
        most(
            "the same, 99th percentile",
            "ms",
            20.0,
            stats::quantile(toggles, 0.99),
        ),
        most(
            "the map update of it, median",
            "us",
            50.0,
            stats::median(&writes),
        )
        .but(few()),
        most("kernel memory of a flow", "octets", 200.0, flow_octets),
        most(
            "kernel memory of a host policy",
            "octets",
            128.0,
            policy_octets,
        ),
    ])
}

/// What a reader of the figures must know.
fn notes(live: &[Measured]) -> Vec<String> {
    let lost = live
        .iter()
        .filter(|measured| measured.ended_percent() < 99.0);
    lost.map(|measured| {
        format!(
            "! {}: {:.1} % of its frames ended where they should",
            measured.variant.name,
            measured.ended_percent()
        )
    })
    .collect()
}

/// A directory on bpffs, while this lives.
struct Pins(PathBuf);

impl Pins {
    fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        ensure!(
            mounts
                .lines()
                .any(|line| line.contains(" /sys/fs/bpf bpf ")),
            "no BPF file system at /sys/fs/bpf; `cargo xtask setup` mounts it"
        );
        let bpffs = Path::new("/sys/fs/bpf");
        for entry in fs::read_dir(bpffs)? {
            let left = entry?.path();
            if Self::is_left(&left) {
                fs::remove_dir_all(&left).with_context(|| left.display().to_string())?;
            }
        }
        let dir = bpffs.join(format!("{PINS}{}", std::process::id()));
        fs::create_dir(&dir).context("a pin directory needs root")?;
        Ok(Self(dir))
    }

    /// Whether it is of a benchmark that was killed: its maps would stay in memory for ever.
    fn is_left(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let of = name.and_then(|name| name.strip_prefix(PINS));
        of.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(&format!("remove {} by hand: {error}", self.0.display()));
        }
    }
}

/// Progress, and what went wrong.
pub(crate) fn say(line: &str) {
    // Without a standard error there is nobody to tell.
    drop(writeln!(std::io::stderr(), "bench: {line}"));
}

const FULL: Effort = Effort {
    rounds: 5,
    slices_checked: 20,
    slices: 3,
    frames: 100_000,
};
const QUICK: Effort = Effort {
    rounds: 1,
    slices_checked: 2,
    slices: 1,
    frames: 20_000,
};
/// Pin directories, with the number of the process behind it.
const PINS: &str = "outgate-bench-";
/// Of a single policy into the kernel.
const WRITES: u32 = 1000;
