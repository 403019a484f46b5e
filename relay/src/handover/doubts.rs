//! Messages of which nobody knows whether another relay has them: they were said, and the answer was not heard. A file
//! beside the spool, `doubts.json`, written before the last octet that the other could act upon.
//!
//! As long as a message stands here, it is not attempted: [`Doubts::pending`] says which, for an hour.
//!
//! # Diagnostics
//! Returned: what the disk says, with the file.

use std::io;
use std::path::{Path, PathBuf};

use relay_proto::queued::{QueueId, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{Target, in_file};
use crate::durable;

/// What the file says.
#[derive(Debug)]
pub(super) struct Doubts {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// Messages that one relay may have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    to: Target,
    since_ms: u64,
    ids: Vec<String>,
}

impl Doubts {
    /// Reads it; an absent file says nothing. Blocks.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        let entries = match std::fs::read(&path) {
            Ok(octets) => serde_json::from_slice(&octets).map_err(|error| {
                let text = format!(
                    "{}: {error}; it says which messages another relay may have",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(in_file(&path, &error)),
        };
        Ok(Self { path, entries })
    }

    /// Relays that are to be asked.
    pub(super) fn targets(&self) -> Vec<Target> {
        self.entries.iter().map(|entry| entry.to.clone()).collect()
    }

    /// What that relay may have.
    pub(super) fn of(&self, target: &Target) -> Vec<QueueId> {
        let entry = self.entries.iter().find(|entry| entry.to == *target);
        entry.map_or_else(Vec::new, Entry::ids)
    }

    /// What others than that relay may have: it is not given to this one before they have been asked.
    pub(super) fn of_others(&self, target: &Target) -> Vec<QueueId> {
        let others = self.entries.iter().filter(|entry| entry.to != *target);
        others.flat_map(Entry::ids).collect()
    }

    /// Everything that is not to be attempted.
    pub(super) fn pending(&self) -> Vec<QueueId> {
        self.entries.iter().flat_map(Entry::ids).collect()
    }

    /// Takes out what has been in doubt for too long to wait for any longer, with those that may have it. Durable when it
    /// returns. Blocks.
    pub(super) fn expire(&mut self, now: UnixMillis) -> io::Result<Vec<(Target, Vec<QueueId>)>> {
        let is_old = |entry: &Entry| {
            // A clock that was set back must not keep mail for ever.
            now.0.abs_diff(entry.since_ms) >= DOUBT_MS
        };
        let (old, young): (Vec<Entry>, Vec<Entry>) = self.entries.iter().cloned().partition(is_old);
        if old.is_empty() {
            return Ok(Vec::new());
        }
        self.write(young)?;
        let ids = |entry: Entry| {
            let ids = entry.ids();
            (entry.to, ids)
        };
        Ok(old.into_iter().map(ids).collect())
    }

    /// These messages, and no others, may be that relay's from now on. Durable when it returns; after an error it says what
    /// it has said before. Blocks.
    pub(super) fn set(
        &mut self,
        target: &Target,
        ids: &[QueueId],
        now: UnixMillis,
    ) -> io::Result<()> {
        let mut entries = self.entries.clone();
        entries.retain(|entry| entry.to != *target);
        if !ids.is_empty() {
            entries.push(Entry {
                to: target.clone(),
                since_ms: now.0,
                ids: ids.iter().map(ToString::to_string).collect(),
            });
        }
        self.write(entries)
    }

    fn write(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let octets = serde_json::to_vec_pretty(&entries).map_err(io::Error::other)?;
        durable::replace(&self.path, &octets).map_err(|error| in_file(&self.path, &error))?;
        self.entries = entries;
        Ok(())
    }
}

impl Entry {
    fn ids(&self) -> Vec<QueueId> {
        // What is no name is no message either.
        self.ids.iter().filter_map(|id| id.parse().ok()).collect()
    }
}

const FILE: &str = "doubts.json";
/// So long nobody attempts what may be another's. A relay that is restarted is back long before.
const DOUBT_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target {
            name: name.into(),
            addresses: vec!["[2001:db8::1]:2530".parse().unwrap()],
        }
    }

    #[test]
    fn doubts_outlive_the_process_and_end_after_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let ids = [1, 2, 3].map(|id| QueueId::from_number(id).unwrap());
        let mut doubts = Doubts::open(dir.path()).unwrap();
        assert!(doubts.pending().is_empty());
        doubts
            .set(&target("b"), &ids[..2], UnixMillis(1000))
            .unwrap();
        doubts
            .set(&target("c"), &ids[2..], UnixMillis(9000))
            .unwrap();
        let mut doubts = Doubts::open(dir.path()).unwrap();
        assert_eq!(doubts.targets(), [target("b"), target("c")]);
        assert_eq!(doubts.of(&target("b")), ids[..2]);
        assert_eq!(doubts.of_others(&target("b")), ids[2..]);
        assert_eq!(doubts.pending(), ids);
        assert_eq!(doubts.expire(UnixMillis(DOUBT_MS)).unwrap(), []);
        let expired = doubts.expire(UnixMillis(1000 + DOUBT_MS)).unwrap();
        assert_eq!(expired, [(target("b"), ids[..2].to_vec())]);
        let mut doubts = Doubts::open(dir.path()).unwrap();
        assert_eq!(doubts.pending(), ids[2..]);
        doubts.set(&target("c"), &[], UnixMillis(0)).unwrap();
        assert!(Doubts::open(dir.path()).unwrap().pending().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "[").unwrap();
        let error = Doubts::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("doubts.json") && error.contains("may have"),
            "{error}"
        );
    }
}
