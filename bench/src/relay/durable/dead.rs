//! One dead destination of twenty, and what it costs the other nineteen.

use std::time::Instant;

use anyhow::Result;

use super::settled;
use crate::relay::{
    Effort,
    figures::Compared,
    load::{self, Depth, Load},
    per_second,
    stage::Stage,
};

/// Messages a second to the nineteen, counted there; the rival is the same with all twenty alive.
pub(in super::super) fn measure(stage: &Stage, effort: &Effort, rounds: u32) -> Result<Compared> {
    let mut compared = Compared::default();
    for _ in 0..rounds {
        for (dead, rates) in [(true, &mut compared.relay), (false, &mut compared.rival)] {
            // What waits for a dead destination is not to weigh on the next round.
            let dir = tempfile::tempdir_in(stage.directory())?;
            let relay = stage.relay_in(dir.path(), "warn")?;
            if dead {
                stage.kill_last(true)?;
            }
            let rate = once(stage, effort);
            if dead {
                stage.kill_last(false)?;
            }
            rates.push(rate?);
            drop(relay);
        }
    }
    Ok(compared)
}

fn once(stage: &Stage, effort: &Effort) -> Result<f64> {
    let targets = stage.queued_for_twenty();
    let [counted, _] = stage.counted_of_twenty.clone();
    let (warm, time) = (effort.warm, effort.kept_time);
    stage.generate(async move {
        let mut floods = [Vec::new(), Vec::new()];
        let last = targets.len() - 1;
        for (number, target) in targets.iter().enumerate() {
            let load = Load::new(target, 4096);
            for wire in load::open(target, SESSIONS_EACH, Depth::Plain).await? {
                floods[usize::from(number == last)].push((wire, load.clone()));
            }
        }
        let [others, last] = floods;
        let before = counted.messages();
        let (warmed, of_last) =
            tokio::join!(load::flood_each(others, warm), load::flood_each(last, warm));
        let ((others, times), (last, _)) = (warmed?, of_last?);
        settled(&counted, before + u64::try_from(times.len())?).await;
        let (before, begun) = (counted.messages(), Instant::now());
        let (measured, of_last) =
            tokio::join!(load::flood_each(others, time), load::flood_each(last, time));
        let ((_, times), _) = (measured?, of_last?);
        let accepted = u64::try_from(times.len())?;
        settled(&counted, before + accepted).await;
        let delivered = counted.messages() - before;
        per_second(delivered.min(accepted), begun.elapsed())
    })
}

const SESSIONS_EACH: usize = 3;
