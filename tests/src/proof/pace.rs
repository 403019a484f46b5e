//! How fast the disk was during a run, told by a neighbour of the system: it writes a block of a file of its own, on
//! the disk of the queue, and syncs it, again and again.
//!
//! What was delivered and is not on the disk when a system is killed is delivered again. How much time it takes to put
//! it there is the disk's affair, which others keep busy for seconds. So it is counted in syncs of the neighbour, its
//! beats: whoever needs a few syncs has been given them when the neighbour has had many.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

/// One that writes, until it is asked how it went.
#[derive(Debug)]
pub(super) struct Neighbour {
    ended: Arc<AtomicBool>,
    /// Added to each of its syncs, in microseconds.
    slowness: Arc<AtomicU64>,
    thread: JoinHandle<Result<Vec<Duration>>>,
}

/// Moments since the run began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Ends of the neighbour's syncs, in order.
    pub(super) beats: Vec<Duration>,
    /// When calls of the system were made to fail.
    pub(super) hits: Vec<Duration>,
}

impl Neighbour {
    /// Begins to write a file, which it makes.
    pub(super) fn begin(path: &Path, begun: Instant) -> Result<Self> {
        let file = File::create(path)?;
        let ended = Arc::new(AtomicBool::new(false));
        let slowness = Arc::new(AtomicU64::new(0));
        let (told, slow) = (Arc::clone(&ended), Arc::clone(&slowness));
        let thread = thread::spawn(move || {
            let mut beats = Vec::new();
            while !told.load(Ordering::SeqCst) {
                // The same block, because the disk may be full; with its times, so that the journal is synced, too.
                file.write_all_at(&[0; 4096], 0)?;
                file.sync_all()?;
                thread::sleep(PAUSE + Duration::from_micros(slow.load(Ordering::SeqCst)));
                beats.push(begun.elapsed());
            }
            Ok(beats)
        });
        Ok(Self {
            ended,
            slowness,
            thread,
        })
    }

    /// From now on its syncs take so much longer, as those of the system do.
    pub(super) fn slow_down(&self, micros: u64) {
        self.slowness.store(micros, Ordering::SeqCst);
    }

    /// Its beats.
    pub(super) fn end(self) -> Result<Vec<Duration>> {
        self.ended.store(true, Ordering::SeqCst);
        let beats = self.thread.join();
        beats.map_err(|_panic| anyhow!("the neighbour panicked"))?
    }
}

impl Pace {
    /// Beats between two moments, but for those that a system may lose to calls that failed.
    pub(super) fn beats(&self, from: Duration, to: Duration) -> usize {
        let within = |moments: &[Duration]| {
            let begin = moments.partition_point(|moment| *moment < from);
            let end = moments.partition_point(|moment| *moment <= to);
            end.saturating_sub(begin)
        };
        within(&self.beats).saturating_sub(within(&self.hits) * BEATS_A_HIT)
    }
}

/// Leaves most of the disk to the system, and makes some beats a fifth of a second where syncs cost nothing.
const PAUSE: Duration = Duration::from_millis(10);
/// A sync that fails costs all of its group, and some rest after it.
const BEATS_A_HIT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(moments: &[u64]) -> Vec<Duration> {
        moments.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn beats_are_counted_between_moments_but_for_what_failures_cost() {
        let beats: Vec<u64> = (0..100).collect();
        let mut pace = Pace {
            beats: millis(&beats),
            hits: Vec::new(),
        };
        let between = |pace: &Pace, from, to| {
            pace.beats(Duration::from_millis(from), Duration::from_millis(to))
        };
        assert_eq!(between(&pace, 10, 19), 10);
        assert_eq!(between(&pace, 19, 10), 0);
        pace.hits = millis(&[15, 40]);
        assert_eq!(between(&pace, 10, 39), 30 - BEATS_A_HIT);
        assert_eq!(between(&pace, 10, 40), 0);
        assert_eq!(between(&pace, 50, 60), 11);
    }

    #[test]
    fn a_neighbour_writes_until_it_is_asked() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let begun = Instant::now();
        let neighbour = Neighbour::begin(&dir.path().join("neighbour"), begun)?;
        crate::wait::until("some beats", Duration::from_secs(10), || {
            Ok((begun.elapsed() > PAUSE * 10).then_some(()))
        })?;
        let beats = neighbour.end()?;
        assert!(!beats.is_empty() && beats.is_sorted());
        Ok(())
    }
}
