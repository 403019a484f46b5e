//! What is on the disk, found without changing anything: at the start, and for people while the relay runs.
//!
//! All segments are read, the latest first: so what is done is known before the message it is about. Of a message that is
//! in several segments the earliest counts, because it was there before it was moved.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use relay_proto::queued::QueueId;
use relay_proto::record::Kind;

use super::OpenError;
use super::catalogue::{Catalogue, Segment, Slot, State};
use super::contents::{Contents, Tail, Unreadable};
use super::life::{Life, Role, role};
use super::storage::{Directory, Named, Storage};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// What lives.
    pub(super) catalogue: Catalogue,
    /// All segments, in order.
    pub(super) lives: Vec<Life>,
    /// The latest name that anything knows of.
    pub(super) last_id: Option<QueueId>,
    /// Files that may become segments.
    pub(super) spares: Vec<Named>,
    /// What was written last to segments without an index.
    pub(super) tails: Vec<(Life, Tail)>,
    /// Octets that are no records although they should be.
    pub(super) damage: Vec<(Life, Range<u64>)>,
    /// The disk could not read everything.
    pub(super) unreadable: bool,
    /// Records that were never finished.
    pub(super) torn: u32,
    /// Files that nobody needs: indexes without a segment, and what was never finished.
    pub(super) leftovers: Vec<(Directory, String)>,
    /// Contents that no message has.
    pub(super) orphans: Vec<Named>,
}

/// Recipients of messages that are done; `None` = all.
type Done = HashMap<QueueId, Option<Vec<u32>>>;

impl Survey {
    /// Reads all of it.
    pub(super) fn of(storage: &dyn Storage) -> Result<Self, OpenError> {
        let mut survey = Self::default();
        let mut files = Vec::new();
        let mut indexes = Vec::new();
        for named in list(storage, Directory::Segments)? {
            match role(&named.name) {
                Some(Role::Segment(life)) => files.push((life, named.octets)),
                Some(Role::Index(life)) => indexes.push(life),
                Some(Role::Spare) => survey.spares.push(named),
                Some(Role::Unfinished) => {
                    let leftover = (Directory::Segments, named.name);
                    survey.leftovers.push(leftover);
                }
                None => {}
            }
        }
        files.sort_by_key(|(life, _)| life.sequence);
        survey.lives = files.iter().map(|(life, _)| *life).collect();
        indexes.retain(|index| !survey.lives.contains(index));
        let lost = indexes
            .iter()
            .map(|life| (Directory::Segments, life.index()));
        survey.leftovers.extend(lost);

        let mut done = Done::new();
        for &(life, octets) in files.iter().rev() {
            let contents = Contents::read(storage, life).map_err(|error| {
                unreadable(storage.path(Directory::Segments, &life.segment()), error)
            })?;
            survey.add(life, octets, contents, &mut done);
        }
        for (id, recipients) in done {
            survey.catalogue.restore_done(id, recipients);
        }
        survey.look_at_files(storage)?;
        Ok(survey)
    }

    fn add(&mut self, life: Life, octets: u64, contents: Contents, done: &mut Done) {
        let indexed = contents.indexed;
        if !indexed {
            self.tails.push((life, contents.tail));
        }
        let state = if contents.unreadable {
            State::Unread
        } else {
            State::Full { indexed }
        };
        let segment = Segment::new(life, state, octets);
        self.catalogue.segments.insert(life.sequence, segment);
        self.last_id = self.last_id.max(contents.last_id);
        self.torn += contents.torn;
        self.unreadable |= contents.unreadable;
        let damage = contents.damage.into_iter().map(|range| (life, range));
        self.damage.extend(damage);
        for entry in contents.done {
            match (
                done.entry(entry.id).or_insert_with(|| Some(Vec::new())),
                entry.recipients,
            ) {
                (Some(known), Some(more)) => known.extend(more),
                (all, None) => *all = None,
                (None, Some(_)) => {}
            }
        }
        for found in contents.messages {
            let header = found.header;
            let Some(id) = header.id else { continue };
            if done.get(&id) == Some(&None) {
                continue;
            }
            let slot = Slot {
                segment: life.sequence,
                offset: header.offset,
                octets: u32::try_from(header.octets()).unwrap_or(u32::MAX),
                recipients: header.recipients,
                in_file: header.kind == Kind::MessageInFile,
                finished: false,
            };
            self.catalogue.place(id, slot);
        }
    }

    /// Looks for contents that have a file of their own.
    fn look_at_files(&mut self, storage: &dyn Storage) -> Result<(), OpenError> {
        for named in list(storage, Directory::Large)? {
            match named.name.parse::<QueueId>() {
                Ok(id) if self.catalogue.slot(id).is_some_and(|slot| slot.in_file) => {
                    self.catalogue.large_octets += named.octets;
                }
                Ok(_) => self.orphans.push(named),
                Err(_) if named.name.ends_with(".new") => {
                    let leftover = (Directory::Large, named.name);
                    self.leftovers.push(leftover);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether the segments are still those. Whoever reads a spool that others work on may otherwise miss what has moved.
pub(super) fn unchanged(storage: &dyn Storage, lives: &[Life]) -> io::Result<bool> {
    let names: HashSet<String> = storage
        .list(Directory::Segments)?
        .into_iter()
        .map(|named| named.name)
        .collect();
    Ok(lives.iter().all(|life| names.contains(&life.segment())))
}

fn list(storage: &dyn Storage, directory: Directory) -> Result<Vec<Named>, OpenError> {
    storage.list(directory).map_err(|source| OpenError::Io {
        file: storage.path(directory, ""),
        source,
    })
}

fn unreadable(file: PathBuf, error: Unreadable) -> OpenError {
    match error {
        Unreadable::Newer => OpenError::Newer { file },
        Unreadable::Io(source) => OpenError::Io { file, source },
    }
}
