//! Keeping mail and sending it on: the relay's queue beside mail servers that do the same, on the same disk.
//!
//! Everybody takes mail from fifty kept sessions and hands it to the same sink, in turn: a round of one follows a
//! round of the other, and begins when nothing of the one before is on its way any more. What counts is what has
//! arrived at the sink, until all has that was acknowledged; who acknowledges faster than it delivers gains nothing.
//! What an acknowledgement of each is worth is found out by [`syncs`].

mod contender;
pub(super) mod dead;
pub(super) mod recovery;
pub(super) mod syncs;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

pub(super) use self::contender::Contender;
use super::{
    Effort, SESSIONS,
    load::{self, Depth, Load, Target},
    per_second,
    sink::Counted,
    stage::Stage,
};
use crate::{say, stats::quantile};

/// A kind of message and of session, and what each contender made of it.
#[derive(Debug, Serialize)]
pub(super) struct Case {
    pub(super) octets: usize,
    pub(super) tls: bool,
    pub(super) figures: Vec<Figures>,
}

/// A contender's rounds.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) contender: Contender,
    /// At the sink, over the time until all had arrived.
    pub(super) delivered_per_s: Vec<f64>,
    /// While they were sent.
    pub(super) accepted_per_s: Vec<f64>,
    /// From the octets with the dot to the answer.
    pub(super) answer_p99_ms: Vec<f64>,
    /// Of every round, what had not arrived when patience ended.
    pub(super) missing: u64,
}

impl Case {
    /// As people call it.
    pub(super) fn name(&self) -> String {
        let size = if self.octets < MIB {
            format!("{} KiB", self.octets / 1024)
        } else {
            format!("{} MiB", self.octets / MIB)
        };
        format!("{size}, {}", if self.tls { "STARTTLS" } else { "plain" })
    }

    /// A contender's rounds; none if it took no part.
    pub(super) fn of(&self, contender: Contender) -> Option<&Figures> {
        self.figures
            .iter()
            .find(|figures| figures.contender == contender)
    }
}

/// Measures all of them.
pub(super) fn measure(stage: &Stage, effort: &Effort, rounds: u32) -> Result<Vec<Case>> {
    let mut running = Vec::new();
    for contender in Contender::ALL {
        running.push((contender, stage.contender(contender, &[])?));
    }
    let mut gone = Vec::new();
    let mut cases: Vec<Case> = CASES.into_iter().map(empty).collect();
    for round in 1..=rounds {
        for case in &mut cases {
            say(&format!("round {round} of {rounds}: {}", case.name()));
            let (octets, tls) = (case.octets, case.tls);
            for figures in &mut case.figures {
                if gone.contains(&figures.contender) {
                    continue;
                }
                let target = stage.contended(figures.contender, tls);
                let counted = if tls {
                    stage.counted.clone()
                } else {
                    stage.counted_plain.clone()
                };
                let (warm, time) = (effort.warm, effort.kept_time);
                let once = stage
                    .generate(once(target, counted, octets, tls, [warm, time]))
                    .with_context(|| figures.contender.name())?;
                figures.delivered_per_s.push(once.delivered_per_s);
                figures.accepted_per_s.push(once.accepted_per_s);
                figures.answer_p99_ms.push(once.answer_p99_ms);
                figures.missing += once.missing;
                if once.missing > 0 {
                    // What it still has would be counted for the next.
                    gone.push(figures.contender);
                    running.retain(|(contender, _)| *contender != figures.contender);
                }
            }
        }
    }
    drop(running);
    for case in &mut cases {
        case.figures
            .retain(|figures| !figures.delivered_per_s.is_empty());
    }
    Ok(cases)
}

fn empty((octets, tls): (usize, bool)) -> Case {
    let taking = Contender::ALL.into_iter().filter(|who| who.takes(tls));
    Case {
        octets,
        tls,
        figures: taking
            .map(|contender| Figures {
                contender,
                delivered_per_s: Vec::new(),
                accepted_per_s: Vec::new(),
                answer_p99_ms: Vec::new(),
                missing: 0,
            })
            .collect(),
    }
}

/// A round of one of them.
struct Once {
    delivered_per_s: f64,
    accepted_per_s: f64,
    answer_p99_ms: f64,
    missing: u64,
}

async fn once(
    target: Target,
    counted: Counted,
    octets: usize,
    tls: bool,
    [warm, time]: [Duration; 2],
) -> Result<Once> {
    let load = Load::new(&target, octets);
    let depth = if tls { Depth::Tls } else { Depth::Plain };
    let sessions = load::open(&target, SESSIONS, depth).await?;
    let before = counted.messages();
    let (sessions, warmed) = load::timed_flood(sessions, load.clone(), warm).await?;
    settled(&counted, before + u64::try_from(warmed.len())?).await;

    let (before, begun) = (counted.messages(), Instant::now());
    let (sessions, times) = load::timed_flood(sessions, load, time).await?;
    let accepting = begun.elapsed();
    let accepted = u64::try_from(times.len())?;
    settled(&counted, before + accepted).await;
    let took = begun.elapsed();
    let delivered = counted.messages() - before;
    drop(sessions);
    Ok(Once {
        delivered_per_s: per_second(delivered.min(accepted), took)?,
        accepted_per_s: per_second(accepted, accepting)?,
        answer_p99_ms: quantile(&times, 0.99),
        missing: accepted.saturating_sub(delivered),
    })
}

/// Waits until so many have arrived, or nothing arrives any more.
async fn settled(counted: &Counted, wanted: u64) {
    let (mut last, begun) = (counted.messages(), Instant::now());
    let mut moved = begun;
    while last < wanted && moved.elapsed() < PATIENCE && begun.elapsed() < PATIENCE_IN_ALL {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = counted.messages();
        if now != last {
            (last, moved) = (now, Instant::now());
        }
    }
}

const MIB: usize = 1 << 20;
/// Octets, and whether both legs are in TLS.
const CASES: [(usize, bool); 4] = [(4096, false), (4096, true), (MIB, false), (MIB, true)];
/// Without one more message; a deferred one is tried again after seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// However many still come.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(60);
