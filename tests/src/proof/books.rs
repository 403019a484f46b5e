//! The books of a run: what was acknowledged, what has arrived, when something was done to the system; and the
//! judgement over them.
//!
//! Both sides write a line for an entry, as it happens, into files of their own, which are synced and read back: what
//! is judged is what stands there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::pace::Pace;

/// One side's file.
#[derive(Debug)]
pub(super) struct Book {
    file: Mutex<File>,
    begun: Instant,
}

/// An entry with its time since the run began, and whether its message was whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) entry: String,
    pub(super) at: Duration,
    pub(super) whole: bool,
}

/// A time in which something was done to the system that it may answer with a second copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disturbance {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

/// What the books say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) acknowledged: usize,
    /// Different entries that arrived whole.
    pub(super) delivered: usize,
    /// Acknowledged, not delivered, and still in the queue.
    pub(super) queued: usize,
    /// Acknowledged, and nowhere.
    pub(super) lost: Vec<String>,
    /// Arrived otherwise than sent; counts as not arrived.
    pub(super) damaged: Vec<String>,
    /// Second and further copies.
    pub(super) duplicates: usize,
    /// Of these, those that nothing that was done explains.
    pub(super) unexplained: Vec<String>,
    /// The oldest first copy, before what explains the second one.
    pub(super) window: Duration,
    /// The same in beats of the disk.
    pub(super) window_beats: usize,
}

impl Book {
    pub(super) fn create(path: &Path, begun: Instant) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self {
            file: Mutex::new(file),
            begun,
        })
    }

    /// Writes entries, all or none of them.
    pub(super) fn enter<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a String>,
        whole: bool,
    ) -> Result<()> {
        let (at, whole) = (self.begun.elapsed().as_micros(), u8::from(whole));
        let mut lines = String::new();
        for entry in entries {
            writeln!(lines, "{entry} {at} {whole}")?;
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.write_all(lines.as_bytes())?)
    }

    /// Puts what was written on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.sync_data()?)
    }

    /// Reads what stands in a file.
    pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        text.lines()
            .map(|line| Line::read(line).with_context(|| format!("{}: {line:?}", path.display())))
            .collect()
    }
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            entry: words.next()?.to_owned(),
            at: Duration::from_micros(words.next()?.parse().ok()?),
            whole: words.next()? == "1",
        })
    }
}

impl Verdict {
    /// Judges; `queued` is what the system itself lists in the end.
    pub(super) fn of(
        acknowledged: &[Line],
        arrived: &[Line],
        queued: &BTreeSet<String>,
        disturbances: &[Disturbance],
        pace: &Pace,
    ) -> Self {
        let mut verdict = Self::default();
        let mut copies: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        for line in arrived {
            if line.whole {
                copies.entry(&line.entry).or_default().push(line.at);
            } else {
                verdict.damaged.push(line.entry.clone());
            }
        }
        verdict.delivered = copies.len();
        let acknowledged: BTreeSet<&str> = acknowledged
            .iter()
            .map(|line| line.entry.as_str())
            .collect();
        verdict.acknowledged = acknowledged.len();
        for entry in acknowledged {
            if copies.contains_key(entry) {
                continue;
            }
            if queued.contains(entry) {
                verdict.queued += 1;
            } else {
                verdict.lost.push(entry.to_owned());
            }
        }
        for (entry, times) in copies {
            for pair in times.windows(2) {
                let [first, second] = pair else { continue };
                verdict.duplicates += 1;
                // Whatever was done first after the first copy, or while it came.
                let done = disturbances
                    .iter()
                    .filter(|done| done.from <= *second && *first <= done.to)
                    .map(|done| done.from.max(*first))
                    .min();
                let beats = done.map(|done| pace.beats(*first, done));
                match done.zip(beats.filter(|beats| *beats <= WINDOW_BEATS)) {
                    Some((done, beats)) => {
                        verdict.window = verdict.window.max(done.saturating_sub(*first));
                        verdict.window_beats = verdict.window_beats.max(beats);
                    }
                    None => verdict.unexplained.push(entry.to_owned()),
                }
            }
        }
        verdict
    }

    /// Nothing lost, nothing damaged, and no second copy without a reason.
    pub(super) fn is_good(&self) -> bool {
        self.lost.is_empty() && self.damaged.is_empty() && self.unexplained.is_empty()
    }
}

/// How many beats of the disk a system may take to make it last that something was delivered; what it was told before
/// is in flight when it is killed, and is sent again. The relay writes it with the next group, which waits for the one
/// that is being written. Each group is one sync of data for each segment that it fills, and one of the data and one of
/// the name of the next: with four segments in each, 24 syncs. A beat is half of one of these at least: the neighbour
/// has only a block to write, and nothing to think about.
pub(super) const WINDOW_BEATS: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[(&str, u64)]) -> Vec<Line> {
        entries
            .iter()
            .map(|(entry, millis)| Line {
                entry: entry.trim_end_matches('!').to_owned(),
                at: Duration::from_millis(*millis),
                whole: !entry.ends_with('!'),
            })
            .collect()
    }

    /// `kill` is when something was done, in milliseconds; an entry that ends in `!` arrived damaged.
    #[track_caller]
    fn check(arrived: &[(&str, u64)], queued: &[&str], kill: u64, expected: (&[&str], &[&str])) {
        let beats = (0..10_000).map(Duration::from_millis).collect();
        let pace = Pace {
            beats,
            hits: Vec::new(),
        };
        let acknowledged = lines(&[("a", 0), ("b", 0)]);
        let queued = queued.iter().map(|entry| (*entry).to_owned()).collect();
        let kill = Disturbance {
            from: Duration::from_millis(kill),
            to: Duration::from_millis(kill),
        };
        let verdict = Verdict::of(&acknowledged, &lines(arrived), &queued, &[kill], &pace);
        assert_eq!(verdict.lost, expected.0);
        assert_eq!(verdict.unexplained, expected.1);
        let none: &[&str] = &[];
        let damaged = arrived.iter().any(|(entry, _)| entry.ends_with('!'));
        assert_eq!(verdict.is_good(), expected == (none, none) && !damaged);
    }

    #[test]
    fn what_was_acknowledged_is_delivered_or_queued_or_lost() {
        check(&[("a", 1), ("b", 2)], &[], 0, (&[], &[]));
        check(&[("a", 1)], &["b"], 0, (&[], &[]));
        check(&[("a", 1)], &[], 0, (&["b"], &[]));
        check(&[], &["a"], 0, (&["b"], &[]));
        // What nobody was promised may arrive or not.
        check(&[("a", 1), ("b", 2), ("c", 3)], &[], 0, (&[], &[]));
    }

    #[test]
    fn what_arrives_damaged_has_not_arrived() {
        check(&[("a", 1), ("b!", 2)], &[], 0, (&["b"], &[]));
        check(&[("a", 1), ("b!", 2), ("b", 3)], &[], 0, (&[], &[]));
    }

    #[test]
    fn a_second_copy_is_explained_by_what_was_done_between_or_right_after_the_first() {
        // A beat is a millisecond here.
        let late = u64::try_from(WINDOW_BEATS).unwrap();
        let copies = |second| [("a", 0), ("b", 0), ("b", second)];
        check(&copies(900), &[], 10, (&[], &[]));
        check(&copies(9), &[], 10, (&[], &["b"]));
        check(&copies(900), &[], late - 1, (&[], &[]));
        check(&copies(900), &[], late, (&[], &["b"]));
    }

    #[test]
    fn an_entry_taken_out_of_the_book_is_missed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("book");
        let book = Book::create(&path, Instant::now())?;
        let entries: Vec<String> = (0..100).map(|number| format!("e-{number}")).collect();
        book.enter(&entries, true)?;
        book.sync()?;
        let whole = Book::read(&path)?;
        let pace = Pace::default();
        let judged = |arrived: &[Line]| Verdict::of(&whole, arrived, &BTreeSet::new(), &[], &pace);
        assert!(judged(&whole).is_good());
        let text = fs::read_to_string(&path)?;
        let lossy: String = text
            .lines()
            .filter(|line| !line.starts_with("e-42 "))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(&path, lossy)?;
        assert_eq!(judged(&Book::read(&path)?).lost, ["e-42"]);
        Ok(())
    }
}
