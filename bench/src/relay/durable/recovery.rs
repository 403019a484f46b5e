//! A relay that starts with a long queue: how long until it has all of it, and what the queue weighs.
//!
//! The messages are for a destination that refuses connections, so all of them stay.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::fs::{Advice, fadvise};
use serde::Serialize;

use crate::relay::{
    SESSIONS,
    load::{self, Depth, Load},
    stage::Stage,
};

/// What was found.
#[derive(Debug, Serialize)]
pub(in super::super) struct Recovery {
    /// In the queue.
    pub(in super::super) messages: u64,
    pub(in super::super) spool_octets: u64,
    /// From the start of the program until it listens and has all of them, the spool being in the kernel's memory.
    pub(in super::super) warm_s: f64,
    /// The same, the spool being on the disk alone.
    pub(in super::super) cold_s: f64,
    /// Of the program then.
    pub(in super::super) resident_octets: f64,
}

/// Fills a queue with so many messages, and starts it again.
pub(in super::super) fn measure(stage: &Stage, messages: u64) -> Result<Recovery> {
    let dir = tempfile::tempdir_in(stage.directory())?;
    let target = stage.queued_for_nobody();
    let relay = stage.relay_in(dir.path(), "warn")?;
    let kept = stage.generate(async move {
        let load = Load::new(&target, OCTETS);
        let mut kept = 0;
        while kept < messages {
            // A session may not say commands without end.
            let sessions = load::open(&target, SESSIONS, Depth::Plain).await?;
            let (_, times) = load::timed_flood(sessions, load.clone(), SLICE).await?;
            kept += u64::try_from(times.len())?;
        }
        Ok(kept)
    })?;
    // As a crash would end it.
    drop(relay);
    let spool = dir.path().join("spool");
    let mut spool_octets = 0;
    each_file(&spool, &mut |file| {
        spool_octets += file.metadata()?.len();
        Ok(())
    })?;

    // The one before has just written it, and so it is in memory.
    let (warm, resident_octets) = started(stage, dir.path(), kept)?;
    each_file(&spool, &mut |file| {
        file.sync_all()?;
        Ok(fadvise(file, 0, None, Advice::DontNeed)?)
    })?;
    let (cold, _) = started(stage, dir.path(), kept)?;
    Ok(Recovery {
        messages: kept,
        spool_octets,
        warm_s: warm.as_secs_f64(),
        cold_s: cold.as_secs_f64(),
        resident_octets,
    })
}

/// Starts it; answers how long that took, and its memory.
fn started(stage: &Stage, dir: &Path, kept: u64) -> Result<(Duration, f64)> {
    let begun = Instant::now();
    let relay = stage.relay_in(dir, "info")?;
    let recovered = relay.said_messages(LIMIT)?;
    let took = begun.elapsed();
    ensure!(
        recovered >= kept,
        "{recovered} of {kept} messages were found again"
    );
    Ok((took, relay.resident_octets()?))
}

/// Does something with each file of a directory.
fn each_file(dir: &Path, work: &mut impl FnMut(&File) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            each_file(&entry.path(), work)?;
        } else {
            work(&File::open(entry.path())?)?;
        }
    }
    Ok(())
}

/// Small, because it is their number that is measured.
const OCTETS: usize = 1024;
const SLICE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(120);
