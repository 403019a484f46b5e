//! The file in which events wait for the controller.
//!
//! A line has an event, the run that it belongs to, and a check of both; or it says through which number the controller
//! has a run's events. [`Journal::open`] reads what an earlier run has left, [`Journal::append`] writes at the end of
//! what is whole, [`Journal::rewrite`] leaves only what still waits. Writing does not sync: a crash of the process loses
//! nothing, and [`Journal::sync`] says what a power cut may take. Everything here blocks on the disk.
//!
//! # Diagnostics
//! Returned: I/O errors. Damaged lines are skipped and counted; the next rewriting leaves them out.

use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::event::Event;

use super::buffer::{Entry, Name, Place, Span, Worth};

/// One file, of one process.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    /// Where the next line goes.
    end: u64,
    unsynced: bool,
}

/// What an earlier run has left.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) entries: Vec<Entry>,
    /// Lines that nobody can read.
    pub(super) damaged: u64,
}

impl Journal {
    /// Opens or makes it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Left)> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // It says who sends how much of what.
            .mode(0o600)
            .open(path)?;
        let (left, end) = read_all(&file)?;
        // What a crash has torn would stand behind the next line.
        file.set_len(end)?;
        let journal = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            end,
            unsynced: false,
        };
        Ok((journal, left))
    }

    /// The file as it is now: places in it stay what they are, also when it is written anew.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    pub(super) fn octets(&self) -> u64 {
        self.end
    }

    /// Appends events; where each is.
    pub(super) fn append(
        &mut self,
        events: &[(Name, Arc<str>)],
    ) -> io::Result<HashMap<Name, Span>> {
        let (text, places) = lines(events, self.end);
        self.write(&text)?;
        Ok(places)
    }

    /// Notes what the controller has of a run.
    pub(super) fn note_taken(&mut self, run: &str, through: u64) -> io::Result<()> {
        self.write(line(&format!("{run} taken {through}")).as_bytes())
    }

    /// Makes what was written survive a power cut.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Leaves these events and nothing else; where each is now.
    pub(super) fn rewrite(&mut self, written: &[Entry]) -> io::Result<HashMap<Name, Span>> {
        let mut events = Vec::with_capacity(written.len());
        for entry in written {
            let text = text(&self.file, &entry.place)?;
            events.push(((Arc::clone(&entry.run), entry.seq), text));
        }
        let (text, places) = lines(&events, 0);
        let directory = self.path.parent().unwrap_or_else(|| Path::new("/"));
        let fresh = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)?;
        fresh.as_file().write_all_at(&text, 0)?;
        // The data before the name: a crash must not leave a name without content.
        fresh.as_file().sync_all()?;
        self.file = Arc::new(fresh.persist(&self.path)?);
        (self.end, self.unsynced) = (text.len() as u64, false);
        File::open(directory)?.sync_all()?;
        Ok(places)
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(text, self.end) {
            // What is half written is written over by the next attempt, which may be shorter.
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.end += text.len() as u64;
        self.unsynced = true;
        Ok(())
    }
}

/// The text of an event.
pub(super) fn text(file: &File, place: &Place) -> io::Result<Arc<str>> {
    match place {
        Place::Memory(text) => Ok(Arc::clone(text)),
        Place::File(span) => {
            let mut octets = vec![0; span.octets as usize];
            file.read_exact_at(&mut octets, span.at)?;
            let text = String::from_utf8(octets);
            Ok(text.map_err(io::Error::other)?.into())
        }
    }
}

/// The text of an event where there is no journal.
pub(super) fn memory(place: &Place) -> io::Result<Arc<str>> {
    match place {
        Place::Memory(text) => Ok(Arc::clone(text)),
        Place::File(_) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Lines of events that begin at `end`, and where their texts are.
fn lines(events: &[(Name, Arc<str>)], mut end: u64) -> (Vec<u8>, HashMap<Name, Span>) {
    let mut all = Vec::new();
    let mut places = HashMap::with_capacity(events.len());
    for (name, text) in events {
        let (run, _) = name;
        let line = line(&format!("{run} event {text}"));
        let span = Span {
            at: end + (run.len() + EVENT.len()) as u64,
            octets: u32::try_from(text.len()).unwrap_or(u32::MAX),
        };
        places.insert(name.clone(), span);
        end += line.len() as u64;
        all.extend_from_slice(line.as_bytes());
    }
    (all, places)
}

/// With its check, which tells what a crash tore or a disk spoilt.
fn line(text: &str) -> String {
    format!("{text} #{:08x}\n", crc32c::crc32c(text.as_bytes()))
}

/// What waits, and where the last whole line ends.
fn read_all(file: &File) -> io::Result<(Left, u64)> {
    let mut left = Left::default();
    let (mut at, mut end) = (0, 0);
    let mut taken: HashMap<Box<str>, u64> = HashMap::new();
    let mut last: HashMap<Arc<str>, u64> = HashMap::new();
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LINE_OCTETS_MAX)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            let waits = |entry: &Entry| taken.get(&*entry.run).is_none_or(|it| entry.seq > *it);
            left.entries.retain(waits);
            return Ok((left, end));
        }
        let begin = at;
        at += read as u64;
        if line.last() != Some(&b'\n') {
            // Torn by a crash, or no line of ours at all.
            left.damaged += u64::from(read as u64 == LINE_OCTETS_MAX);
            continue;
        }
        end = at;
        match parse(&line, begin) {
            Some(Line::Event(entry)) => {
                // A write that failed half-way, and could not be taken back, may stand in front of the next one.
                let before = last.insert(Arc::clone(&entry.run), entry.seq);
                if before.is_none_or(|before| before < entry.seq) {
                    left.entries.push(entry);
                }
            }
            Some(Line::Taken(run, through)) => drop(taken.insert(run, through)),
            None => left.damaged += 1,
        }
    }
}

enum Line {
    Event(Entry),
    Taken(Box<str>, u64),
}

fn parse(line: &[u8], at: u64) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (text, sum) = line.rsplit_once(" #")?;
    if u32::from_str_radix(sum, 16) != Ok(crc32c::crc32c(text.as_bytes())) {
        return None;
    }
    let mut words = text.splitn(3, ' ');
    let (run, what, rest) = (words.next()?, words.next()?, words.next()?);
    match what {
        "event" => {
            let event: Event = serde_json::from_str(rest).ok()?;
            let span = Span {
                at: at + (run.len() + EVENT.len()) as u64,
                octets: u32::try_from(rest.len()).ok()?,
            };
            Some(Line::Event(Entry {
                run: run.into(),
                seq: event.seq,
                worth: Worth::of(&event.happening),
                place: Place::File(span),
            }))
        }
        "taken" => Some(Line::Taken(run.into(), rest.parse().ok()?)),
        _ => None,
    }
}

/// What stands between a run's name and the text of an event.
const EVENT: &str = " event ";
/// Beyond any event: their texts are bounded.
const LINE_OCTETS_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use contract::event::Happening;

    use super::*;

    fn event(run: &str, seq: u64) -> (Name, Arc<str>) {
        let event = Event {
            seq,
            at: "2026-03-01T12:00:00Z".parse().unwrap(),
            customer: Some("2001:db8:a:a::10".parse().unwrap()),
            flag_id: Some(3),
            happening: Happening::Kept {
                record: format!("record # {seq}"),
            },
        };
        let text = serde_json::to_string(&event).unwrap();
        ((run.into(), seq), text.into())
    }

    /// What an open journal leaves, as texts.
    fn left(path: &Path) -> (Vec<(Name, Arc<str>)>, u64) {
        let (journal, left) = Journal::open(path).unwrap();
        let text = |entry: &Entry| {
            let text = text(&journal.file, &entry.place).unwrap();
            ((Arc::clone(&entry.run), entry.seq), text)
        };
        (left.entries.iter().map(text).collect(), left.damaged)
    }

    #[test]
    fn what_was_written_and_not_taken_comes_back_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.journal");
        let (mut journal, nothing) = Journal::open(&path).unwrap();
        assert!(nothing.entries.is_empty());
        let events = [event("a", 1), event("a", 2), event("a", 9)];
        let places = journal.append(&events).unwrap();
        for (name, expected) in &events {
            let found = text(&journal.file, &Place::File(places[name])).unwrap();
            assert_eq!(&found, expected);
        }
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&[event("b", 1)]).unwrap();
        journal.note_taken("a", 2).unwrap();
        journal.sync().unwrap();
        assert_eq!(left(&path), (vec![event("a", 9), event("b", 1)], 0));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_torn_line_is_cut_off_and_a_damaged_one_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&[event("a", 1), event("a", 2)]).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, before) = Journal::open(&path).unwrap();
            assert_eq!(before.damaged, 0, "{cut}");
            journal.append(&[event("b", 1)]).unwrap();
            let (events, damaged) = left(&path);
            assert_eq!(damaged, 0, "{cut}");
            assert_eq!(events.len(), before.entries.len() + 1, "{cut}");
            assert_eq!(events.last(), Some(&event("b", 1)), "{cut}");
        }
        let mut spoilt = whole;
        spoilt[20] ^= 1;
        fs::write(&path, &spoilt).unwrap();
        assert_eq!(left(&path), (vec![event("a", 2)], 1));
    }

    #[test]
    fn writing_anew_leaves_what_waits_and_old_places_stay_readable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        let events: Vec<_> = (1..100).map(|seq| event("a", seq)).collect();
        journal.append(&events).unwrap();
        journal.note_taken("a", 97).unwrap();
        let (mut journal, before) = Journal::open(&path).unwrap();
        let (old, long) = (journal.file(), journal.octets());
        let places = journal.rewrite(&before.entries).unwrap();
        assert!(journal.octets() < long / 10);
        assert_eq!(fs::metadata(&path).unwrap().len(), journal.octets());
        for entry in &before.entries {
            let expected = event(&entry.run, entry.seq).1;
            assert_eq!(text(&old, &entry.place).unwrap(), expected);
            let place = Place::File(places[&(Arc::clone(&entry.run), entry.seq)]);
            assert_eq!(text(&journal.file, &place).unwrap(), expected);
        }
        journal.append(&[event("b", 1)]).unwrap();
        assert_eq!(
            left(&path).0,
            [event("a", 98), event("a", 99), event("b", 1)]
        );
    }
}
