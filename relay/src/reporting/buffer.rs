//! Events that the controller has not taken yet, in order, and what is thrown away when there are too many.
//!
//! An entry is in memory until the journal has it, then only its place in the file is kept here. What is on the way to
//! the controller is a run of entries at the front; it is never thrown away. When the bounds are met, the entries of the
//! least worth go first, of these the oldest, a slab at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use contract::event::{BATCH_EVENTS_MAX, Decision, Happening};

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) run: Arc<str>,
    pub(super) seq: u64,
    pub(super) worth: Worth,
    pub(super) place: Place,
}

/// Where its text is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// Here: the journal has not got it yet, or cannot take it.
    Memory(Arc<str>),
    /// In the journal.
    File(Span),
}

/// A part of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) octets: u32,
}

/// Which event: run and number.
pub(super) type Name = (Arc<str>, u64);

/// How much would be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// Figures: there will be newer ones.
    Figure,
    /// What became of one message, or met a limit.
    Message,
    /// What changes how the relay works.
    State,
    /// What a person did or saw, and that something was thrown away.
    Trail,
}

impl Worth {
    /// Of an event.
    pub(super) fn of(happening: &Happening) -> Self {
        match happening {
            Happening::Verdict(verdict) if verdict.verdict == Decision::Accepted => Self::Figure,
            Happening::Rates(_) => Self::Figure,
            Happening::Verdict(_) | Happening::LimitHit { .. } | Happening::Unknown(_) => {
                Self::Message
            }
            Happening::Learnt { .. }
            | Happening::Kept { .. }
            | Happening::ScannerDown { .. }
            | Happening::ScannerBack { .. }
            | Happening::DiskFailed { .. }
            | Happening::DiskBack { .. } => Self::State,
            Happening::Released { .. }
            | Happening::Viewed { .. }
            | Happening::Confirmed { .. }
            | Happening::Lost { .. } => Self::Trail,
        }
    }

    const ALL: [Self; 4] = [Self::Figure, Self::Message, Self::State, Self::Trail];
}

/// How many events there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    /// Of their texts.
    pub(super) octets: u64,
    /// Events that are in memory alone.
    pub(super) unwritten: usize,
}

/// Entries in order.
#[derive(Debug)]
pub(super) struct Buffer {
    bounds: Bounds,
    entries: VecDeque<Entry>,
    octets: u64,
    /// Of the front.
    on_the_way: usize,
}

impl Entry {
    pub(super) fn octets(&self) -> u64 {
        match &self.place {
            Place::Memory(text) => text.len() as u64,
            Place::File(span) => u64::from(span.octets),
        }
    }
}

impl Buffer {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: VecDeque::new(),
            octets: 0,
            on_the_way: 0,
        }
    }

    /// Adds what happened last; how many had to go for it.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.octets += entry.octets();
        self.entries.push_back(entry);
        let mut shed = 0;
        while self.entries.len() > self.bounds.events || self.octets > self.bounds.octets {
            let gone = self.shed(self.entries.len() / SLABS + 1, |_| true);
            if gone == 0 {
                break;
            }
            shed += gone;
        }
        if self.unwritten().len() > self.bounds.unwritten {
            let slab = self.bounds.unwritten / SLABS + 1;
            shed += self.shed(slab, |entry| matches!(entry.place, Place::Memory(_)));
        }
        shed
    }

    /// Those that the journal has not got, oldest first.
    pub(super) fn unwritten(&self) -> impl ExactSizeIterator<Item = &Entry> {
        // They are the newest.
        let written = self
            .entries
            .partition_point(|entry| matches!(entry.place, Place::File(_)));
        self.entries.range(written..)
    }

    /// Those that the journal has.
    pub(super) fn written(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .take_while(|entry| matches!(entry.place, Place::File(_)))
    }

    /// Notes where the journal has these entries now; some may be gone.
    pub(super) fn place(&mut self, places: &HashMap<Name, Span>) {
        for entry in &mut self.entries {
            if let Some(span) = places.get(&(Arc::clone(&entry.run), entry.seq)) {
                entry.place = Place::File(*span);
            }
        }
    }

    /// What is to be sent next, of one run: at most so many events, and octets unless one alone has more; with
    /// `unwritten` also what the journal has not got.
    pub(super) fn batch(&mut self, events: usize, octets: u64, unwritten: bool) -> Vec<Entry> {
        let Some(run) = self.entries.front().map(|entry| Arc::clone(&entry.run)) else {
            return Vec::new();
        };
        let mut sum = 0;
        let fits = |entry: &&Entry| {
            let first = sum == 0;
            sum += entry.octets();
            let ready = unwritten || matches!(entry.place, Place::File(_));
            entry.run == run && ready && (first || sum <= octets)
        };
        let front = self.entries.iter().take(events.min(BATCH_EVENTS_MAX));
        let batch: Vec<Entry> = front.take_while(fits).cloned().collect();
        self.on_the_way = batch.len();
        batch
    }

    /// What was on the way may not have arrived.
    pub(super) fn give_up(&mut self) {
        self.on_the_way = 0;
    }

    /// These have arrived.
    pub(super) fn take(&mut self, run: &str, through: u64) {
        self.on_the_way = 0;
        while let Some(entry) = self.entries.front()
            && &*entry.run == run
            && entry.seq <= through
        {
            self.octets -= entry.octets();
            self.entries.pop_front();
        }
    }

    /// Octets of all texts.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Throws up to `slab` entries away; how many.
    fn shed(&mut self, slab: usize, among: impl Fn(&Entry) -> bool) -> u64 {
        let mut left = slab;
        for worth in Worth::ALL {
            let mut skip = self.on_the_way;
            let octets = &mut self.octets;
            self.entries.retain(|entry| {
                let on_the_way = skip > 0;
                skip = skip.saturating_sub(1);
                let goes = left > 0 && !on_the_way && entry.worth == worth && among(entry);
                if goes {
                    left -= 1;
                    *octets -= entry.octets();
                }
                !goes
            });
            if left == 0 {
                break;
            }
        }
        (slab - left) as u64
    }
}

/// A slab is a part of the entries: each time one goes, all of them are looked at.
const SLABS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        events: 32,
        octets: 1000,
        unwritten: 16,
    };

    fn entry(run: &str, seq: u64, worth: Worth, octets: usize) -> Entry {
        Entry {
            run: run.into(),
            seq,
            worth,
            place: Place::Memory("x".repeat(octets).into()),
        }
    }

    fn write_all(buffer: &mut Buffer) {
        let placed = buffer.unwritten().map(|entry| {
            let octets = u32::try_from(entry.octets()).unwrap();
            let at = entry.seq * 100;
            ((Arc::clone(&entry.run), entry.seq), Span { at, octets })
        });
        let placed: HashMap<_, _> = placed.collect();
        buffer.place(&placed);
    }

    fn numbers(buffer: &Buffer) -> Vec<u64> {
        buffer.entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn batches_are_of_one_run_and_bounded() {
        let mut buffer = Buffer::new(BOUNDS);
        for (run, seq) in [("old", 7), ("old", 9), ("new", 1), ("new", 2), ("new", 3)] {
            assert_eq!(buffer.push(entry(run, seq, Worth::Message, 40)), 0);
        }
        let said = |batch: Vec<Entry>| -> Vec<u64> { batch.iter().map(|it| it.seq).collect() };
        assert!(buffer.batch(9, 1000, false).is_empty());
        assert_eq!(said(buffer.batch(9, 1000, true)), [7, 9]);
        write_all(&mut buffer);
        assert_eq!(said(buffer.batch(1, 1000, false)), [7]);
        buffer.take("old", 7);
        // Of another run: nothing of ours.
        buffer.take("new", 100);
        assert_eq!(said(buffer.batch(9, 1000, false)), [9]);
        buffer.take("old", 9);
        assert_eq!(said(buffer.batch(9, 80, false)), [1, 2]);
        // One that is too long alone goes all the same.
        assert_eq!(said(buffer.batch(9, 1, false)), [1]);
        buffer.take("new", 3);
        assert!(buffer.entries.is_empty());
        assert_eq!(buffer.octets(), 0);
    }

    #[test]
    fn the_least_worth_goes_first_and_of_it_the_oldest() {
        let mut buffer = Buffer::new(BOUNDS);
        let worths = [Worth::Trail, Worth::Figure, Worth::Message, Worth::Figure];
        let mut shed = 0;
        for (seq, worth) in (1..=33).zip(worths.into_iter().cycle()) {
            shed += buffer.push(entry("run", seq, worth, 1));
            write_all(&mut buffer);
        }
        assert_eq!(shed, 3);
        let left = numbers(&buffer);
        assert_eq!(left.len(), 30);
        assert!(!left.contains(&2) && !left.contains(&4) && !left.contains(&6));
        // Figures until there are none, then messages; what a person did is the last to go.
        for seq in 34..200 {
            buffer.push(entry("run", seq, Worth::Trail, 1));
            write_all(&mut buffer);
        }
        let first: Vec<_> = numbers(&buffer);
        assert!(buffer.entries.iter().all(|it| it.worth == Worth::Trail));
        assert!(first.is_sorted() && first.ends_with(&[199]));
    }

    #[test]
    fn what_is_on_the_way_is_never_thrown_away() {
        let mut buffer = Buffer::new(BOUNDS);
        for seq in 1..=32 {
            buffer.push(entry("run", seq, Worth::Figure, 1));
            write_all(&mut buffer);
        }
        assert_eq!(buffer.batch(2, 1000, false).len(), 2);
        assert_eq!(buffer.push(entry("run", 33, Worth::Figure, 1)), 3);
        assert!(numbers(&buffer).starts_with(&[1, 2, 6]));
        buffer.give_up();
        // By octets as by number.
        assert!(buffer.push(entry("run", 34, Worth::Figure, 999)) > 0);
        assert_eq!(numbers(&buffer), [33, 34]);
    }

    #[test]
    fn memory_is_bounded_while_the_journal_takes_nothing() {
        let mut buffer = Buffer::new(BOUNDS);
        buffer.push(entry("run", 1, Worth::Figure, 1));
        write_all(&mut buffer);
        let shed: u64 = (2..100)
            .map(|seq| buffer.push(entry("run", seq, Worth::Message, 1)))
            .sum();
        assert!(buffer.unwritten().len() <= BOUNDS.unwritten);
        assert_eq!(shed + numbers(&buffer).len() as u64, 99);
        // What the journal has is not in memory.
        assert!(numbers(&buffer).starts_with(&[1]));
    }

    #[test]
    fn what_was_thrown_away_meanwhile_gets_no_place() {
        let mut buffer = Buffer::new(BOUNDS);
        for seq in [1, 2, 3] {
            buffer.push(entry("run", seq, Worth::Message, 1));
        }
        let span = Span { at: 5, octets: 1 };
        buffer.take("run", 1);
        buffer.place(&[1, 2].map(|seq| (("run".into(), seq), span)).into());
        assert_eq!(buffer.written().count(), 1);
        assert_eq!(buffer.unwritten().len(), 1);
    }
}
