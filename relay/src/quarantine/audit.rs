//! What people have done with the evidence: a file that only grows, each line of which proves all lines above it.
//!
//! A line is JSON with the SHA-256 of the line before it and of its own. It is on disk before anything is shown or done.
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

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use relay_proto::queued::QueueId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::record::RecordId;
use crate::durable;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "lowercase")]
pub enum Act {
    /// Something of it was shown: `metadata`, `headers` or `body`.
    View {
        /// What.
        part: String,
    },
    /// It is to go out under that name. Whether it has is said by what follows.
    Releasing {
        /// The name in the queue.
        queue_id: String,
    },
    /// It is in the queue.
    Released {
        /// The name in the queue.
        queue_id: String,
    },
    /// It could not be queued.
    Abandoned,
    /// Its content was deleted.
    Dropped,
    /// A person says that it is spam.
    Confirmed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counts from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// The record.
    pub id: RecordId,
    /// What.
    #[serde(flatten)]
    pub act: Act,
    /// Why.
    pub reason: String,
    /// Of the line before, in hexadecimal.
    pub before: String,
    /// Of this one without this.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

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
    number: u64,
    hash: String,
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
            number: 0,
            hash: String::new(),
            is_torn: false,
            length: whole as u64,
        };
        let mut states = States::default();
        for (place, line) in text[..whole]
            .split_inclusive(|&octet| octet == b'\n')
            .enumerate()
        {
            let line = audit.follow(line, place == 0).map_err(|problem| {
                let what = format!("{}: line {}: {problem}", path.display(), place + 1);
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?;
            states.learn(&line);
        }
        Ok((audit, states))
    }

    /// Takes a line in that was written before. The first one may follow from lines that are too old to be kept.
    fn follow(&mut self, octets: &[u8], is_first: bool) -> Result<Line, String> {
        let line: Line = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
        if line.hash != line.proof() {
            return Err("its hash is not that of what it says".into());
        }
        if !is_first && (line.before != self.hash || line.number != self.number + 1) {
            return Err("it does not follow from the line before".into());
        }
        (self.number, self.hash) = (line.number, line.hash.clone());
        Ok(line)
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
            number: self.number + 1,
            at,
            actor: actor.to_owned(),
            id: id.clone(),
            act,
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            before: self.hash.clone(),
            hash: String::new(),
        };
        line.hash = line.proof();
        let octets = line.octets();
        self.is_torn = true;
        self.file.write_all(&octets)?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.length += octets.len() as u64;
        (self.number, self.hash) = (line.number, line.hash.clone());
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

impl Line {
    fn octets(&self) -> Vec<u8> {
        let mut octets = serde_json::to_vec(self).unwrap_or_default();
        octets.push(b'\n');
        octets
    }

    fn proof(&self) -> String {
        let unproven = Self {
            hash: String::new(),
            ..self.clone()
        };
        HEXLOWER.encode(&Sha256::digest(unproven.octets()))
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
        assert_eq!(audit.number, 8);
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
            assert_eq!(audit.number, 2);
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
        assert_eq!(audit.number, 6);
    }
}
