//! What people have done with the evidence: a file that only grows, each line of which proves all lines above it.
//!
//! A line is JSON with the SHA-256 of the line before it and of its own. It is on disk before anything is shown or done.
//! A `chain` proves them, here and for whoever looks at the file ([`log`]).
//! It is also where it stands what became of a record: [`Audit::states`] says which were released, dropped or confirmed.
//!
//! ```text
//! {"number":2,"at":"...","actor":"uid 1000","act":"view","id":"...","part":"headers","reason":"ticket 4711","before":"...","hash":"..."}
//! ```
//!
//! # Diagnostics
//! Returned: [`io::Error`] that names the file and the line that does not follow from the one before. A last line that is not
//! whole was never acknowledged, and is taken off (`warn`).

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use relay_proto::queued::QueueId;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::record::RecordId;
use crate::durable;

mod chain;
mod line;
pub mod log;

use chain::Chain;
pub use line::{Act, Line};

/// What has become of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is kept.
    #[default]
    Kept,
    /// It is on its way into the queue.
    Releasing,
    /// It was queued.
    Released,
    /// Its content was deleted.
    Dropped,
    /// It is kept, and spam.
    Confirmed,
}

/// The file.
#[derive(Debug)]
pub(super) struct Audit {
    path: PathBuf,
    file: File,
    chain: Chain,
    /// The file may end in a line that is not whole.
    is_torn: bool,
    length: u64,
}

impl Audit {
    /// Opens or makes it, and proves it; and what it says of records, with the queue's names of those that were being
    /// released. Blocks.
    pub(super) fn open(path: &Path) -> io::Result<(Self, States)> {
        let mut file = OpenOptions::new();
        let file = file.read(true).append(true).create(true).mode(0o600);
        let file = file.open(path)?;
        let text = std::fs::read(path)?;
        let whole = text.iter().rposition(|&octet| octet == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        if whole < text.len() {
            warn!(file = %path.display(), "the last line is not whole: it was never acknowledged, and is taken off");
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        let mut audit = Self {
            path: path.to_owned(),
            file,
            chain: Chain::default(),
            is_torn: false,
            length: whole as u64,
        };
        let mut states = States::default();
        for (place, line) in text[..whole]
            .split_inclusive(|&octet| octet == b'\n')
            .enumerate()
        {
            let line = audit.chain.follow(line).map_err(|problem| {
                let what = format!("{}: line {}: {problem}", path.display(), place + 1);
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?;
            states.learn(&line);
        }
        Ok((audit, states))
    }

    /// Writes a line down; durable when it returns. Blocks.
    pub(super) fn append(
        &mut self,
        at: Timestamp,
        actor: &str,
        id: &RecordId,
        act: Act,
        reason: &str,
    ) -> io::Result<Line> {
        if self.is_torn {
            self.file.set_len(self.length)?;
            self.is_torn = false;
        }
        let mut line = Line {
            number: self.chain.number() + 1,
            at,
            actor: actor.to_owned(),
            id: id.clone(),
            act,
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            before: self.chain.hash().to_owned(),
            hash: String::new(),
        };
        line.hash = line.proof();
        let octets = line.octets();
        self.is_torn = true;
        self.file.write_all(&octets)?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.length += octets.len() as u64;
        self.chain.goes_on(&line);
        Ok(line)
    }

    /// Forgets lines that are older than that, but for the last one, from which the next will follow. How many. Blocks.
    pub(super) fn forget_before(&mut self, oldest: Timestamp) -> io::Result<usize> {
        let text = std::fs::read(&self.path)?;
        let lines: Vec<&[u8]> = text.split_inclusive(|&octet| octet == b'\n').collect();
        let is_old =
            |line: &&&[u8]| serde_json::from_slice::<Line>(line).is_ok_and(|line| line.at < oldest);
        let old = lines.iter().take_while(is_old).count();
        let old = old.min(lines.len().saturating_sub(1));
        if old == 0 {
            return Ok(0);
        }
        let rest = lines[old..].concat();
        durable::replace(&self.path, &rest)?;
        self.file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&self.path)?;
        self.length = rest.len() as u64;
        Ok(old)
    }
}

/// What the log says of records.
#[derive(Debug, Default)]
pub(super) struct States {
    /// All that are not merely kept.
    pub(super) of: HashMap<RecordId, State>,
    /// Those that were being released when it ended, and the names that they were to have.
    pub(super) releasing: HashMap<RecordId, QueueId>,
}

impl States {
    fn learn(&mut self, line: &Line) {
        let state = match &line.act {
            Act::View { .. } => return,
            Act::Releasing { queue_id } => {
                if let Ok(queue_id) = queue_id.parse() {
                    self.releasing.insert(line.id.clone(), queue_id);
                }
                State::Releasing
            }
            Act::Released { .. } => State::Released,
            Act::Abandoned => State::Kept,
            Act::Dropped => State::Dropped,
            Act::Confirmed => State::Confirmed,
        };
        if state != State::Releasing {
            self.releasing.remove(&line.id);
        }
        self.of.insert(line.id.clone(), state);
    }
}

impl State {
    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Releasing => "releasing",
            Self::Released => "released",
            Self::Dropped => "dropped",
            Self::Confirmed => "confirmed",
        }
    }
}

const REASON_CHARS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RecordId {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn view() -> Act {
        Act::View {
            part: "headers".into(),
        }
    }

    #[test]
    fn what_was_done_is_known_after_a_restart_and_goes_on_from_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let noon = at("2026-11-22T12:00:00Z");
        let queue_id = QueueId::from_number(77).unwrap();
        let named = queue_id.to_string();
        let releasing = Act::Releasing {
            queue_id: named.clone(),
        };
        let released = Act::Released { queue_id: named };
        for (one, act) in [
            ("A", view()),
            ("A", releasing.clone()),
            ("A", released),
            ("B", releasing.clone()),
            ("C", releasing),
            ("C", Act::Abandoned),
            ("D", Act::Dropped),
            ("E", Act::Confirmed),
        ] {
            // Each by another process.
            let (mut audit, _) = Audit::open(&path).unwrap();
            audit
                .append(noon, "uid 0", &id(one), act, "ticket 4711")
                .unwrap();
        }
        let (audit, states) = Audit::open(&path).unwrap();
        assert_eq!(audit.chain.number(), 8);
        for (one, state) in [
            ("A", State::Released),
            ("B", State::Releasing),
            ("C", State::Kept),
            ("D", State::Dropped),
            ("E", State::Confirmed),
        ] {
            assert_eq!(states.of[&id(one)], state, "{one}");
        }
        assert_eq!(states.releasing, HashMap::from([(id("B"), queue_id)]));
    }

    #[test]
    fn no_octet_of_it_can_be_changed_and_no_line_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let (mut audit, _) = Audit::open(&path).unwrap();
        for _ in 0..3 {
            let noon = at("2026-11-22T12:00:00Z");
            audit.append(noon, "uid 0", &id("A"), view(), "x").unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let lines: Vec<&[u8]> = whole.split_inclusive(|&octet| octet == b'\n').collect();
        std::fs::write(&path, [lines[0], lines[2]].concat()).unwrap();
        let error = Audit::open(&path).err().unwrap().to_string();
        assert!(error.contains("line 2: it does not follow"), "{error}");
        for place in 0..lines[1].len() - 1 {
            let mut changed = whole.clone();
            changed[lines[0].len() + place] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(Audit::open(&path).is_err(), "{place}");
        }
        // A line that a crash has torn was never acknowledged.
        for end in lines[0].len() + lines[1].len()..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (mut audit, _) = Audit::open(&path).unwrap();
            assert_eq!(audit.chain.number(), 2);
            let noon = at("2026-11-22T12:00:00Z");
            let line = audit.append(noon, "uid 0", &id("A"), view(), "x").unwrap();
            assert_eq!(line.number, 3);
            assert!(Audit::open(&path).is_ok());
        }
    }

    #[test]
    fn what_is_too_old_is_forgotten_and_the_rest_still_proves_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let (mut audit, _) = Audit::open(&path).unwrap();
        for day in 1..=5 {
            let noon = at(&format!("2026-11-0{day}T12:00:00Z"));
            audit.append(noon, "uid 0", &id("A"), view(), "x").unwrap();
        }
        assert_eq!(audit.forget_before(at("2026-11-03T00:00:00Z")).unwrap(), 2);
        assert_eq!(audit.forget_before(at("2026-11-03T00:00:00Z")).unwrap(), 0);
        // The last one stays, however old it is: what follows must follow from something.
        assert_eq!(audit.forget_before(at("2027-11-03T00:00:00Z")).unwrap(), 2);
        let noon = at("2027-11-03T12:00:00Z");
        let line = audit.append(noon, "uid 0", &id("A"), view(), "x").unwrap();
        assert_eq!(line.number, 6);
        let (audit, _) = Audit::open(&path).unwrap();
        assert_eq!(audit.chain.number(), 6);
    }
}
