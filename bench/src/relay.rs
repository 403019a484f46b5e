//! What a message costs in the relay: the real program, between a generator and a sink of our own.
//!
//! Sessions are kept, and messages are counted at the sink. Each round of the relay has its round of going direct beside
//! it, or of the mail servers that one would use instead, so that the machine's mood is the same for all.

mod durable;
mod figures;
mod load;
mod program;
mod sink;
mod splice;
mod stage;
mod wire;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;

use self::{
    figures::{Compared, Idle, Report},
    load::{Depth, Load},
    stage::Stage,
};
use crate::{
    machine::{self, Machine},
    report, say,
    stats::{CONFIDENCE, median},
    targets::Target,
};

/// Arguments of `relay`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 if a target is missed, and name it
    #[arg(long, conflicts_with = "quick")]
    pub(crate) check: bool,
    /// Measure everything so many times; five give bounds
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Few messages and sessions: to see that it works; no figure of it counts
    #[arg(long)]
    quick: bool,
}

/// Measures, says what was found, and answers the targets.
pub(crate) fn run(options: &Options) -> Result<Vec<Target>> {
    let report = measure(options)?;
    report::say_out(&figures::text(&report))?;
    if let Some(path) = &options.json {
        report::write_json(&report, path)?;
    }
    Ok(report.targets)
}

fn measure(options: &Options) -> Result<Report> {
    let begun = Instant::now();
    let load_before = machine::load()?;
    let effort = if options.quick { QUICK } else { FULL };
    let rounds = if options.quick { 1 } else { options.rounds };
    let possible = program::sessions_possible()?;
    let stage = Stage::new(possible)?;

    say("messages, through the relay and direct");
    let rates = throughput(&stage, &effort, rounds)?;
    say("what is kept and sent on, beside mail servers");
    let kept = durable::measure(&stage, &effort, rounds)?;
    let worth = durable::syncs::measure(&stage)?;
    say("one dead destination of twenty");
    let of_twenty = durable::dead::measure(&stage, &effort, rounds)?;
    say(&format!("a queue of {} messages", effort.queued));
    let recovery = durable::recovery::measure(&stage, effort.queued)?;
    let idle_relay_octets = stage.relay()?.resident_octets()?;
    say("latency at a tenth of that");
    let tenth = median(&rates.relay) / 10.0;
    let latencies = latency(&stage, &effort, rounds, tenth)?;
    say("opaque, beside a plain TCP splice");
    let joined = joining(&stage, &effort, rounds)?;
    // A relay is stingier when most of its places are taken.
    let count = effort.idle_sessions.min(possible / 4 * 3);
    let mut kinds = Vec::new();
    for (depth, kind, target_kib) in IDLE {
        say(&format!("{count} idle sessions: {kind}"));
        kinds.push(Idle {
            kind,
            sessions: count,
            kib_each: idle_octets(&stage, count, depth)? / 1024.0,
            target_kib,
        });
    }
    let mut report = Report {
        machine: Machine::look(None)?,
        load_before,
        load_after: machine::load()?,
        rounds,
        confidence: CONFIDENCE,
        quick: options.quick,
        took_s: begun.elapsed().as_secs_f64(),
        messages_per_s: rates,
        latency_ms: latencies,
        joined_octets_per_s: joined,
        kept,
        worth,
        of_twenty,
        recovery,
        idle_relay_octets,
        idle: kinds,
        targets: Vec::new(),
    };
    report.targets = figures::targets(&report);
    Ok(report)
}

fn throughput(stage: &Stage, effort: &Effort, rounds: u32) -> Result<Compared> {
    let _relay = stage.relay()?;
    let mut compared = Compared::default();
    for _ in 0..rounds {
        for (target, rates) in [
            (stage.relayed(), &mut compared.relay),
            (stage.direct(), &mut compared.rival),
        ] {
            let counted = stage.counted.clone();
            let (warm, time) = (effort.warm, effort.time);
            rates.push(stage.generate(async move {
                let load = Load::new(&target, MESSAGE_OCTETS);
                let sessions = load::open(&target, SESSIONS, Depth::Tls).await?;
                let sessions = load::flood(sessions, load.clone(), warm).await?;
                let (before, begun) = (counted.messages(), Instant::now());
                // The sessions end one by one, so the clock is read when all have.
                drop(load::flood(sessions, load, time).await?);
                per_second(counted.messages() - before, begun.elapsed())
            })?);
        }
    }
    Ok(compared)
}

fn latency(stage: &Stage, effort: &Effort, rounds: u32, rate: f64) -> Result<Compared> {
    let _relay = stage.relay()?;
    let mut compared = Compared::default();
    for _ in 0..rounds {
        for (target, medians) in [
            (stage.relayed(), &mut compared.relay),
            (stage.direct(), &mut compared.rival),
        ] {
            let (warm, time) = (effort.warm, effort.time);
            medians.push(stage.generate(async move {
                let load = Load::new(&target, MESSAGE_OCTETS);
                let sessions = load::open(&target, SESSIONS, Depth::Tls).await?;
                let (sessions, _) = load::pace(sessions, load.clone(), rate, warm).await?;
                let (_, times) = load::pace(sessions, load, rate, time).await?;
                Ok(median(&times))
            })?);
        }
    }
    Ok(compared)
}

/// Octets a second, by the relay's opaque treatment and by a plain splice.
fn joining(stage: &Stage, effort: &Effort, rounds: u32) -> Result<Compared> {
    let _relay = stage.relay()?;
    let mut compared = Compared::default();
    for _ in 0..rounds {
        for (target, rates) in [
            (stage.opaque(), &mut compared.relay),
            (stage.spliced(), &mut compared.rival),
        ] {
            let arrived = stage.arrived.clone();
            rates.push(stage.generate(splice::flood(
                target,
                JOINED,
                arrived,
                effort.warm,
                effort.time,
            ))?);
        }
    }
    Ok(compared)
}

/// What a relay grows by, for each session.
fn idle_octets(stage: &Stage, count: usize, depth: Depth) -> Result<f64> {
    let relay = stage.relay()?;
    let target = stage.relayed();
    let first = target.clone();
    // What is made once, on first use, is no session's.
    let warm = stage.generate(async move { load::open(&first, WARM_SESSIONS, depth).await })?;
    let before = relay.octets()?;
    let sessions = stage.generate(async move { load::open(&target, count, depth).await })?;
    let grown = relay.octets()? - before;
    drop((warm, sessions));
    Ok(grown / f64::from(u32::try_from(count)?))
}

fn per_second(messages: u64, time: Duration) -> Result<f64> {
    let messages = u32::try_from(messages).context("messages of some seconds")?;
    Ok(f64::from(messages) / time.as_secs_f64())
}

/// How long, and how many.
struct Effort {
    warm: Duration,
    time: Duration,
    /// Of sending to who keeps it; what is left then takes time, too.
    kept_time: Duration,
    /// Messages that a relay starts with.
    queued: u64,
    idle_sessions: usize,
}

const FULL: Effort = Effort {
    warm: Duration::from_secs(1),
    time: Duration::from_secs(5),
    kept_time: Duration::from_secs(3),
    queued: MILLION,
    idle_sessions: 10_000,
};
const QUICK: Effort = Effort {
    warm: Duration::from_millis(200),
    time: Duration::from_secs(1),
    kept_time: Duration::from_millis(500),
    queued: 5000,
    idle_sessions: 300,
};
/// What a long queue is.
const MILLION: u64 = 1_000_000;
const MESSAGE_OCTETS: usize = 4096;
const SESSIONS: usize = 50;
/// Sessions joined at once.
const JOINED: usize = 8;
const WARM_SESSIONS: usize = 20;
/// How far idle sessions have gone, and what each may cost in KiB.
const IDLE: [(Depth, &str, f64); 3] = [
    (Depth::Plain, "plain", 20.0),
    (Depth::Tls, "TLS", 40.0),
    (Depth::Recipient, "TLS on both legs", 64.0),
];
