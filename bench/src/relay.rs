//! What a message costs in the relay: the real program, between a generator and a sink of our own.
//!
//! Sessions speak STARTTLS on both legs and are kept. Messages are counted at the sink, and each round of the relay
//! has its round of going direct beside it, so that the machine's mood is the same for both.

mod load;
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
use serde::Serialize;

use self::{load::Depth, stage::Stage};
use crate::{
    machine::{self, Machine},
    report, say,
    stats::{CONFIDENCE, median},
    targets::{Target, Wanted, differences, ratios},
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

/// Everything.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    load_before: String,
    load_after: String,
    rounds: u32,
    confidence: f64,
    quick: bool,
    took_s: f64,
    /// Messages a second at the sink, 4 KiB, fifty kept sessions.
    relayed_per_s: Vec<f64>,
    /// The same without a relay.
    direct_per_s: Vec<f64>,
    /// Median time of a message at a tenth of the load, milliseconds.
    relayed_ms: Vec<f64>,
    /// The same without a relay.
    direct_ms: Vec<f64>,
    /// Octets a second that the relay joins without looking, eight sessions.
    opaque_octets_per_s: Vec<f64>,
    /// The same by a plain TCP splice.
    splice_octets_per_s: Vec<f64>,
    /// Octets of an idle session.
    idle: Vec<Idle>,
    targets: Vec<Target>,
}

/// Memory of one kind of idle session.
#[derive(Debug, Serialize)]
struct Idle {
    kind: &'static str,
    sessions: usize,
    octets_each: f64,
    target_octets: f64,
}

/// Measures, says what was found, and answers the targets.
pub(crate) fn run(options: &Options) -> Result<Vec<Target>> {
    let report = measure(options)?;
    report::say_out(&text(&report))?;
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
    let stage = Stage::new()?;

    say("messages, through the relay and direct");
    let rates = throughput(&stage, &effort, rounds)?;
    say("latency at a tenth of that");
    let tenth = median(&rates.relayed) / 10.0;
    let latencies = latency(&stage, &effort, rounds, tenth)?;
    say("opaque, beside a plain TCP splice");
    let joined = joining(&stage, &effort, rounds)?;
    let idle = [
        (Depth::Plain, "plain", 20.0),
        (Depth::Tls, "TLS", 40.0),
        (Depth::Recipient, "TLS on both legs", 64.0),
    ];
    let count = effort.idle_sessions.min(stage::sessions_possible()?);
    let mut kinds = Vec::new();
    for (depth, kind, target_kib) in idle {
        say(&format!("{count} idle sessions: {kind}"));
        kinds.push(Idle {
            kind,
            sessions: count,
            octets_each: idle_octets(&stage, count, depth)?,
            target_octets: target_kib * 1024.0,
        });
    }
    let targets = targets(&rates, &latencies, &joined, &kinds, options.quick);
    Ok(Report {
        machine: Machine::look(None)?,
        load_before,
        load_after: machine::load()?,
        rounds,
        confidence: CONFIDENCE,
        quick: options.quick,
        took_s: begun.elapsed().as_secs_f64(),
        relayed_per_s: rates.relayed,
        direct_per_s: rates.direct,
        relayed_ms: latencies.relayed,
        direct_ms: latencies.direct,
        opaque_octets_per_s: joined.relayed,
        splice_octets_per_s: joined.direct,
        idle: kinds,
        targets,
    })
}

/// Rounds of the relay, and of going direct, one after the other.
struct Compared {
    relayed: Vec<f64>,
    direct: Vec<f64>,
}

fn throughput(stage: &Stage, effort: &Effort, rounds: u32) -> Result<Compared> {
    let _relay = stage.relay()?;
    let mut compared = Compared {
        relayed: Vec::new(),
        direct: Vec::new(),
    };
    for _ in 0..rounds {
        for (target, rates) in [
            (stage.relayed(), &mut compared.relayed),
            (stage.direct(), &mut compared.direct),
        ] {
            let counted = stage.counted.clone();
            let (warm, time) = (effort.warm, effort.time);
            rates.push(stage.generate(async move {
                let content = load::content(MESSAGE_OCTETS);
                let sessions = load::open(&target, SESSIONS, Depth::Tls).await?;
                let sessions = load::flood(sessions, content.clone(), warm).await?;
                let (before, begun) = (counted.messages(), Instant::now());
                // The sessions end one by one, so the clock is read when all have.
                drop(load::flood(sessions, content, time).await?);
                per_second(counted.messages() - before, begun.elapsed())
            })?);
        }
    }
    Ok(compared)
}

fn latency(stage: &Stage, effort: &Effort, rounds: u32, rate: f64) -> Result<Compared> {
    let _relay = stage.relay()?;
    let mut compared = Compared {
        relayed: Vec::new(),
        direct: Vec::new(),
    };
    for _ in 0..rounds {
        for (target, medians) in [
            (stage.relayed(), &mut compared.relayed),
            (stage.direct(), &mut compared.direct),
        ] {
            let (warm, time) = (effort.warm, effort.time);
            medians.push(stage.generate(async move {
                let content = load::content(MESSAGE_OCTETS);
                let sessions = load::open(&target, SESSIONS, Depth::Tls).await?;
                let (sessions, _) = load::pace(sessions, content.clone(), rate, warm).await?;
                let (_, times) = load::pace(sessions, content, rate, time).await?;
                Ok(median(&times))
            })?);
        }
    }
    Ok(compared)
}

/// Octets a second, by the relay's opaque treatment and by a plain splice.
fn joining(stage: &Stage, effort: &Effort, rounds: u32) -> Result<Compared> {
    let _relay = stage.relay()?;
    let mut compared = Compared {
        relayed: Vec::new(),
        direct: Vec::new(),
    };
    for _ in 0..rounds {
        for (target, rates) in [
            (stage.opaque(), &mut compared.relayed),
            (stage.spliced(), &mut compared.direct),
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

fn targets(
    rates: &Compared,
    latencies: &Compared,
    joined: &Compared,
    idle: &[Idle],
    quick: bool,
) -> Vec<Target> {
    let most = |name: &str, unit, target, measured| {
        Target::by_one(name, unit, Wanted::AtMost, target, measured)
    };
    let added = differences(&latencies.relayed, &latencies.direct);
    let per_s = |name, target| {
        Target::by_rounds(name, "messages/s", Wanted::AtLeast, target, &rates.relayed)
    };
    let mut targets = vec![
        // No configuration is without a scanner, so this is with patterns, too.
        per_s("cut-through, 4 KiB, 50 kept sessions", 5000.0),
        per_s("the same, with the embedded scanner", 2500.0),
        Target::by_rounds(
            "added latency at a tenth of it, median",
            "ms",
            Wanted::AtMost,
            1.0,
            &added,
        ),
    ];
    let shares = ratios(&joined.relayed, &joined.direct);
    let name = "opaque, of a plain TCP splice's throughput";
    targets.push(Target::by_rounds(
        name,
        "times",
        Wanted::AtLeast,
        0.8,
        &shares,
    ));
    for kind in idle {
        let name = format!(
            "memory of each of {} idle sessions, {}",
            kind.sessions, kind.kind
        );
        let (target, measured) = (kind.target_octets / 1024.0, kind.octets_each / 1024.0);
        let few = kind.sessions < ENOUGH_SESSIONS;
        let few = few.then(|| "too few sessions, see ulimit -Hn".to_owned());
        targets.push(most(&name, "KiB", target, measured).but(few));
    }
    if quick {
        let why = || Some("too short".to_owned());
        targets = targets
            .into_iter()
            .map(|target| target.but(why()))
            .collect();
    }
    targets
}

fn text(report: &Report) -> String {
    let compared = |what: &str, relayed: &[f64], direct: &[f64]| {
        format!(
            "{what}: relay {:.2}, direct {:.2}\n",
            median(relayed),
            median(direct)
        )
    };
    let mut text = format!(
        "{}\nload {} before, {} after; {} rounds, {:.0} s\n\n",
        report.machine.line(),
        report.load_before,
        report.load_after,
        report.rounds,
        report.took_s
    );
    text += &compared("messages/s", &report.relayed_per_s, &report.direct_per_s);
    text += &compared(
        "median latency at a tenth, ms",
        &report.relayed_ms,
        &report.direct_ms,
    );
    let mib = |rates: &[f64]| median(rates) / f64::from(1 << 20);
    text += &format!(
        "joined, MiB/s: opaque {:.0}, plain splice {:.0}\n",
        mib(&report.opaque_octets_per_s),
        mib(&report.splice_octets_per_s)
    );
    text += &format!(
        "\nTargets, each judged by its bound\n\n{}\n",
        report::targets(&report.targets)
    );
    if report.quick {
        text += "\nThis was --quick: too short to be the check.\n";
    }
    text
}

fn per_second(messages: u64, time: Duration) -> Result<f64> {
    let messages = u32::try_from(messages).context("messages of some seconds")?;
    Ok(f64::from(messages) / time.as_secs_f64())
}

/// How long, and how many.
struct Effort {
    warm: Duration,
    time: Duration,
    idle_sessions: usize,
}

const FULL: Effort = Effort {
    warm: Duration::from_secs(1),
    time: Duration::from_secs(5),
    idle_sessions: 10_000,
};
const QUICK: Effort = Effort {
    warm: Duration::from_millis(200),
    time: Duration::from_secs(1),
    idle_sessions: 300,
};
const MESSAGE_OCTETS: usize = 4096;
const SESSIONS: usize = 50;
/// So many that what the relay needs once is nothing to each of them.
const ENOUGH_SESSIONS: usize = 5000;
/// Sessions joined at once.
const JOINED: usize = 8;
const WARM_SESSIONS: usize = 20;
