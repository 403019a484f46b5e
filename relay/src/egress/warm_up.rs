//! How many messages a day may leave by a new address, and the count of those that did.
//!
//! Receivers distrust an address that sends much and was never heard of, so its allowance grows from day to day
//! (UTC). The count outlives the relay: it is taken from the disk in blocks, each written down *before* any
//! message of it leaves, so a crash may cost the rest of a block and never lets more leave than may.
//!
//! The file holds one line for each address that warms up, so the configuration bounds it.
//!
//! # Diagnostics
//! Only logged: a file that cannot be read or written (`error`). What was counted is then true for this run alone.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;
use tracing::{error, warn};

use crate::config::WarmUp;

/// What one address may send on `today`.
pub(super) fn allowance(warm_up: &WarmUp, today: Date) -> u64 {
    let days = (today - warm_up.since).get_days();
    if days < 0 {
        return 0;
    }
    let allowance = f64::from(warm_up.per_day) * warm_up.growth.powi(days);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and a cast of what is too large saturates"
    )]
    let allowance = allowance as u64;
    allowance
}

/// The counts of all addresses that warm up, by their place.
#[derive(Debug)]
pub(super) struct Tally {
    file: PathBuf,
    counts: Mutex<HashMap<Arc<str>, Count>>,
    /// Held while the file is written, so that no older state of it replaces a newer one.
    writing: tokio::sync::Mutex<()>,
}

/// The count of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    day: Date,
    /// Messages that have left, or are about to.
    used: u64,
    /// How many of them the file allows for.
    written: u64,
}

/// What became of a message that asked.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Counted,
    UsedUp,
    /// The file has to allow for so many first.
    Write(u64),
}

impl Tally {
    /// The counts that `file` holds for those of `places`. Both are looked at again by nobody else.
    pub(super) fn open(file: PathBuf, places: &[Arc<str>]) -> Self {
        let written = match read(&file) {
            Ok(written) => written,
            Err(error) => {
                error!(%error, file = %file.display(), "cannot read how much has left by addresses that warm up; counting from nothing");
                HashMap::new()
            }
        };
        let known = |place: &Arc<str>| Some((Arc::clone(place), *written.get(&**place)?));
        Self {
            file,
            counts: Mutex::new(places.iter().filter_map(known).collect()),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// How many may still leave by `place` today.
    pub(super) fn left(&self, place: &str, allowance: u64, today: Date) -> u64 {
        let used = match self.counts().get(place) {
            Some(count) if count.day == today => count.used,
            Some(_) | None => 0,
        };
        allowance.saturating_sub(used)
    }

    /// Counts one more, if there is one left.
    pub(super) async fn take(&self, place: &Arc<str>, allowance: u64, today: Date) -> bool {
        match self.ask(place, allowance, today) {
            Asked::Counted => return true,
            Asked::UsedUp => return false,
            Asked::Write(_) => {}
        }
        let _writing = self.writing.lock().await;
        // Whoever was first may have written for both.
        let allowed = match self.ask(place, allowance, today) {
            Asked::Counted => return true,
            Asked::UsedUp => return false,
            Asked::Write(allowed) => allowed,
        };
        let text = self.text(place, allowed, today);
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || write(&file, &text)).await;
        if let Ok(Err(error)) = &written {
            error!(%error, file = %self.file.display(), "cannot keep how much has left by addresses that warm up; a restart forgets it");
        }
        if let Some(count) = self.counts().get_mut(place) {
            count.written = count.written.max(allowed);
        }
        // What is not on disk is counted here all the same: not to send at all would be worse.
        self.ask(place, allowance, today) == Asked::Counted
    }

    /// Takes one back that did not leave.
    pub(super) fn give_back(&self, place: &str, day: Date) {
        if let Some(count) = self.counts().get_mut(place)
            && count.day == day
        {
            count.used = count.used.saturating_sub(1);
        }
    }

    fn ask(&self, place: &Arc<str>, allowance: u64, today: Date) -> Asked {
        let mut counts = self.counts();
        let fresh = Count {
            day: today,
            used: 0,
            written: 0,
        };
        let count = counts.entry(Arc::clone(place)).or_insert(fresh);
        if count.day != today {
            *count = fresh;
        }
        if count.used >= allowance {
            return Asked::UsedUp;
        }
        if count.used >= count.written {
            let block = (allowance / BLOCKS_A_DAY).max(1);
            return Asked::Write(count.used.saturating_add(block).min(allowance));
        }
        count.used += 1;
        Asked::Counted
    }

    /// The file as it is to be, with `allowed` for `place`.
    fn text(&self, place: &str, allowed: u64, today: Date) -> String {
        let counts = self.counts();
        let others = counts.iter().filter(|(other, _)| &***other != place);
        let others = others.map(|(other, count)| (&**other, count.day, count.written));
        let mut lines: Vec<_> = others.chain([(place, today, allowed)]).collect();
        lines.sort_unstable();
        let lines = lines
            .iter()
            .map(|(place, day, written)| format!("{place} {day} {written}\n"));
        std::iter::once(HEAD.to_owned()).chain(lines).collect()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Arc<str>, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(file: &Path) -> io::Result<HashMap<String, Count>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let mut counts = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [place, day, written] = line.split(' ').collect::<Vec<_>>()[..] else {
            warn!(line, "a damaged line about an address that warms up");
            continue;
        };
        match (day.parse(), written.parse()) {
            (Ok(day), Ok(written)) => {
                // All that the file allowed for may have left.
                let used = written;
                counts.insert(place.to_owned(), Count { day, used, written });
            }
            (Ok(_) | Err(_), _) => warn!(line, "a damaged line about an address that warms up"),
        }
    }
    Ok(counts)
}

/// The data first, then the name, then the directory that holds the name.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    File::open(directory)?.sync_all()
}

const HEAD: &str = "# place, day (UTC), messages that may have left by it\n";
/// So often the file is written in a day, for each address; so small a part of the day a crash may cost.
const BLOCKS_A_DAY: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn warm_up(per_day: u32, growth: f64) -> WarmUp {
        WarmUp {
            per_day,
            growth,
            since: day("2026-11-01"),
        }
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn an_allowance_grows_from_its_first_day_on() {
        let cases = [
            ("2026-10-31", 0),
            ("2026-11-01", 500),
            ("2026-11-02", 750),
            ("2026-11-03", 1125),
            ("2026-11-11", 28_832),
            ("2126-11-01", u64::MAX),
        ];
        for (today, expected) in cases {
            assert_eq!(
                allowance(&warm_up(500, 1.5), day(today)),
                expected,
                "{today}"
            );
        }
        assert_eq!(allowance(&warm_up(7, 1.0), day("2027-05-01")), 7);
    }

    async fn taken(tally: &Tally, place: &Arc<str>, wanted: u32, allowance: u64) -> u32 {
        let mut taken = 0;
        for _ in 0..wanted {
            taken += u32::from(tally.take(place, allowance, day("2026-11-22")).await);
        }
        taken
    }

    #[tokio::test]
    async fn no_more_leave_than_may_whatever_crashes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("egress.counts");
        let place: Arc<str> = "198.51.100.20".into();
        let places = [Arc::clone(&place)];
        let allowance = 1000;
        let mut left_in_all = 0;
        // Each round is a run of the relay that ends without a word.
        for _ in 0..300 {
            let tally = Tally::open(file.clone(), &places);
            left_in_all += taken(&tally, &place, 7, allowance).await;
        }
        // Blocks are of ten, and three of each are lost.
        assert_eq!(left_in_all, 700);
        let tally = Tally::open(file.clone(), &places);
        assert_eq!(tally.left(&place, allowance, day("2026-11-22")), 0);
        // The next day begins anew.
        assert!(tally.take(&place, allowance, day("2026-11-23")).await);
        assert_eq!(tally.left(&place, allowance, day("2026-11-23")), 999);
    }

    #[tokio::test]
    async fn what_did_not_leave_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let place: Arc<str> = "2001:db8:2::20".into();
        let tally = Tally::open(directory.path().join("counts"), &[]);
        assert_eq!(taken(&tally, &place, 10, 3).await, 3);
        tally.give_back(&place, day("2026-11-22"));
        tally.give_back(&place, day("2026-11-21"));
        assert_eq!(taken(&tally, &place, 10, 3).await, 1);
    }

    #[tokio::test]
    async fn a_disk_that_fails_stops_no_mail_and_lifts_no_bound() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("absent/counts");
        let place: Arc<str> = "198.51.100.20".into();
        let tally = Tally::open(file, &[]);
        assert_eq!(taken(&tally, &place, 10, 3).await, 3);
    }

    #[tokio::test]
    async fn the_file_forgets_who_warms_up_no_more_and_survives_damage() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("counts");
        fs::write(
            &file,
            format!("{HEAD}198.51.100.20 2026-11-22 5\n198.51.100.21 2026-11-22 9\ntorn 2026-1"),
        )
        .unwrap();
        let place: Arc<str> = "198.51.100.20".into();
        let tally = Tally::open(file.clone(), &[Arc::clone(&place)]);
        assert_eq!(taken(&tally, &place, 10, 6).await, 1);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("{HEAD}198.51.100.20 2026-11-22 6\n"));
    }
}
