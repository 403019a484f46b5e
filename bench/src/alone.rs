//! The program alone, by test runs: no driver, no sink, one frame over and over.
//!
//! Only frames that no program changes can be repeated, because a test run does not restore them. The
//! time is taken around the system call, because what the kernel itself reports is rounded to nanoseconds,
//! a fifth of what is to be told apart here. So slices are short: most are over before anything else wants
//! the CPU, and the median is one of those. The call's own cost adds less than a nanosecond to a run.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};

use crate::{
    live::Stage,
    scene::{Deed, Scene},
    stats::median,
    traffic::{Family, SYN, Traffic},
};

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// For people, and for [`crate::targets`].
    pub(crate) name: String,
    /// Whose program; `None` = the empty one.
    pub(crate) scene: Option<usize>,
    /// What is done with the source; `None` = it is not flagged.
    pub(crate) deed: Option<Deed>,
    /// Port that the frame goes to.
    pub(crate) port: u16,
    /// Whether the radar counts.
    pub(crate) radar: bool,
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Alone {
    /// Of what.
    pub(crate) case: Case,
    /// Nanoseconds a run in each round: the median of its slices.
    pub(crate) rounds: Vec<f64>,
}

/// Measures all cases, round after round.
pub(crate) fn measure(stage: &mut Stage, cases: Vec<Case>, rounds: u32) -> Result<Vec<Alone>> {
    let mut all: Vec<Alone> = cases
        .into_iter()
        .map(|case| Alone {
            case,
            rounds: Vec::new(),
        })
        .collect();
    for _ in 0..rounds {
        for alone in &mut all {
            let slice = one(stage, &alone.case).with_context(|| alone.case.name.clone())?;
            alone.rounds.push(slice);
        }
    }
    Ok(all)
}

fn one(stage: &mut Stage, case: &Case) -> Result<f64> {
    let Some(scene) = case.scene else {
        let empty = stage.programs.xdp("pass")?;
        return timed(empty, &elsewhere().frame(), PASS);
    };
    let Stage {
        programs, scenes, ..
    } = stage;
    let scene: &mut Scene = &mut scenes[scene];
    scene.prepare(programs, case.deed, case.radar)?;
    let (traffic, verdict) = match case.deed {
        Some(deed @ Deed::Drop) => (scene.traffic(deed, false), DROP),
        Some(deed) => (scene.traffic(deed, false), PASS),
        None => (scene.unflagged(case.port, false), PASS),
    };
    timed(&scene.program()?, &traffic.frame(), verdict)
}

/// The median of some slices.
fn timed(program: &Xdp, frame: &[u8], verdict: u32) -> Result<f64> {
    let mut times = Vec::new();
    for slice in 0..=SLICES {
        let begun = Instant::now();
        let result = program.test_run(TestRunOptions {
            data_in: Some(frame),
            repeat: REPEAT,
            ..TestRunOptions::default()
        })?;
        let elapsed = begun.elapsed();
        ensure!(
            result.return_value == verdict,
            "verdict {}, not {verdict}",
            result.return_value
        );
        // The first one warms up.
        if slice > 0 {
            times.push(elapsed.as_secs_f64() * 1e9 / f64::from(REPEAT));
        }
    }
    Ok(median(&times))
}

/// A frame that the empty program does not read.
fn elsewhere() -> Traffic {
    Traffic {
        family: Family::V4,
        flags: SYN,
        port: 443,
        first: 0,
        customers: 1,
        ports: 1,
    }
}

/// Runs of a slice.
const REPEAT: u32 = 4000;
const SLICES: u32 = 101;
/// `XDP_DROP`.
const DROP: u32 = 1;
/// `XDP_PASS`.
const PASS: u32 = 2;
