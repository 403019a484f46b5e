//! The start: what an earlier run has left is put in order, and told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use relay_proto::record::envelope::{self, NoEnvelope};
use tracing::{error, warn};

use super::active::Active;
use super::catalogue::State;
use super::contents::{Contents, Found, Tail};
use super::damage::set_aside;
use super::engine::{Engine, Stock, Terms, is_full};
use super::life::{Life, Secret};
use super::storage::{Directory, Medium, Storage, read_exact_at, remove_if_there};
use super::survey::Survey;
use super::{Kept, Living, OpenError, ReadError};

/// Opens a spool that nobody else has open.
pub(super) fn open(
    storage: Arc<dyn Storage>,
    terms: Terms,
    secret: Secret,
) -> Result<(Arc<Engine>, Recovered), OpenError> {
    for directory in Directory::ALL {
        renew(&*storage, directory).map_err(|source| OpenError::Io {
            file: storage.path(directory, ""),
            source,
        })?;
    }
    let mut survey = Survey::of(&*storage)?;
    if survey.torn > 0 {
        warn!(
            records = survey.torn,
            "records that were never acknowledged are torn, and left out"
        );
    }
    let damaged = mend(&*storage, &survey);
    let active = settle(&*storage, &mut survey, terms);
    let next = survey.lives.last().map_or(1, |last| last.sequence + 1);
    let mut stock = Stock {
        spares: Vec::new(),
        next,
    };
    for spare in survey.spares {
        if spare.octets == terms.segment_octets && stock.spares.len() < SPARES {
            stock.spares.push(spare.name);
        } else {
            remove(&*storage, Directory::Segments, &spare.name);
        }
    }
    let messages = survey.catalogue.living();
    let engine = Arc::new(Engine::new(
        storage,
        terms,
        secret,
        survey.catalogue,
        stock,
        survey.last_id,
        active,
    ));
    engine.counts.damaged.store(damaged, Ordering::Relaxed);
    engine.held.store(true, Ordering::Release);
    let recovered = Recovered {
        engine: Arc::clone(&engine),
        lives: survey.lives.into_iter(),
        current: None,
        messages,
    };
    Ok((engine, recovered))
}

/// Makes durable which names there are: one that was changed and not made durable could be its old self after the next
/// crash, and with a segment's name messages would come back that are done. A sync that fails is not tried again by the
/// kernel, and another one would say nothing, so the directory is changed first, which writes all of it.
fn renew(storage: &dyn Storage, directory: Directory) -> io::Result<()> {
    remove_if_there(storage, directory, CHANGE)?;
    match storage.create(directory, CHANGE, 0) {
        Ok(_) => storage.remove(directory, CHANGE)?,
        // A start must be possible without room; what it leaves in doubt makes a second copy, never a loss.
        Err(error) if is_full(&error) => {}
        Err(error) => return Err(error),
    }
    storage.sync_directory(directory)
}

/// Puts in order what can be; how much was damaged that was not known before.
fn mend(storage: &dyn Storage, survey: &Survey) -> u64 {
    let mut damaged = 0;
    for (life, range) in &survey.damage {
        match set_aside(storage, *life, range) {
            Ok(true) => damaged += 1,
            Ok(false) => {}
            // The segment stays as it is until that succeeds.
            Err(error) => error!(segment = %life, %error, "damage cannot be copied"),
        }
    }
    for (directory, name) in &survey.leftovers {
        remove(storage, *directory, name);
    }
    for orphan in &survey.orphans {
        if survey.unreadable {
            // The record that names it may be where the disk could not read.
            break;
        }
        if survey.damage.is_empty() {
            // Its record was never written, or is done.
            remove(storage, Directory::Large, &orphan.name);
            continue;
        }
        // The record that names it may be among what is damaged.
        let from = (Directory::Large, orphan.name.as_str());
        let to = (Directory::Corrupt, orphan.name.as_str());
        if let Err(error) = storage.rename(from, to) {
            error!(file = orphan.name, %error, "the content of a damaged message cannot be put aside");
        }
    }
    damaged
}

/// Sees to it that what was read is durable, where nobody may have heard of it; where to go on writing.
fn settle(storage: &dyn Storage, survey: &mut Survey, terms: Terms) -> Option<Active> {
    let mut active = None;
    let mut latest = true;
    for (life, tail) in &survey.tails {
        let segment = survey.catalogue.segments.get_mut(&life.sequence)?;
        if segment.state == State::Unread {
            error!(segment = %life, "the disk cannot read all of a segment; it is left alone until the next start");
            latest = false;
            continue;
        }
        if tail.batch == 0 {
            continue;
        }
        match rewrite(storage, *life, tail) {
            Ok(medium) if latest && tail.sound && segment.octets == terms.segment_octets => {
                segment.state = State::Active;
                let end = tail.octets.end;
                let resumed = Active::resume(*life, medium, segment.octets, tail.batch, end);
                active = Some(resumed);
            }
            Ok(_) => {}
            Err(error) => {
                error!(segment = %life, %error, "a segment cannot be written any more");
                segment.state = State::Failed;
            }
        }
        latest = false;
    }
    active
}

/// Writes the last batch as it was read. It may be in memory alone, and a sync that fails is not tried again by the
/// kernel: a sync of what has not been written since would say nothing.
fn rewrite(storage: &dyn Storage, life: Life, tail: &Tail) -> io::Result<Arc<dyn Medium>> {
    let medium = storage.open_to_write(Directory::Segments, &life.segment())?;
    let mut at = tail.octets.start;
    let mut block = vec![0; STEP_OCTETS];
    while at < tail.octets.end {
        let left = tail.octets.end - at;
        let length = usize::try_from(left).map_or(STEP_OCTETS, |left| left.min(STEP_OCTETS));
        let block = &mut block[..length];
        read_exact_at(&*medium, block, at)?;
        medium.write_at(block, at)?;
        at += length as u64;
    }
    medium.sync()?;
    Ok(medium)
}

fn remove(storage: &dyn Storage, directory: Directory, name: &str) {
    if let Err(error) = remove_if_there(storage, directory, name) {
        warn!(file = %storage.path(directory, name).display(), %error, "a file that nobody needs stays behind");
    }
}

/// What an earlier run has left, oldest segment first. While this lives, the spool frees nothing.
#[derive(Debug)]
pub struct Recovered {
    engine: Arc<Engine>,
    lives: std::vec::IntoIter<Life>,
    current: Option<Current>,
    messages: usize,
}

#[derive(Debug)]
struct Current {
    life: Life,
    contents: Contents,
    next: usize,
}

impl Recovered {
    /// How many there were at the start.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    fn living(&self, current: &Current, found: &Found) -> Option<Result<Living, ReadError>> {
        let header = found.header;
        let id = header.id?;
        let pending = {
            let catalogue = self.engine.catalogue();
            let slot = catalogue.slot(id)?;
            if (slot.segment, slot.offset) != (current.life.sequence, header.offset) {
                return None;
            }
            catalogue.pending(id)
        };
        let envelope = current.contents.envelope(found);
        let queued = envelope
            .map_err(ReadError::from)
            .and_then(|octets| Ok(envelope::decode(&octets)?));
        match queued {
            Ok(queued) => Some(Ok(Living {
                kept: Kept {
                    id,
                    octets: header.content.octets,
                },
                queued,
                pending,
            })),
            Err(error) => {
                error!(queue.id = %id, %error, "a message cannot be read; it stays in the spool");
                Some(Err(error))
            }
        }
    }
}

impl Iterator for Recovered {
    type Item = Result<Living, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(mut current) = self.current.take() else {
                let life = self.lives.next()?;
                match Contents::read(&*self.engine.storage, life) {
                    Ok(contents) => {
                        self.current = Some(Current {
                            life,
                            contents,
                            next: 0,
                        });
                    }
                    Err(error) => {
                        error!(segment = %life, %error, "a segment cannot be read; it stays in the spool");
                        return Some(Err(ReadError::Damaged));
                    }
                }
                continue;
            };
            while let Some(&found) = current.contents.messages.get(current.next) {
                current.next += 1;
                if let Some(living) = self.living(&current, &found) {
                    self.current = Some(current);
                    return Some(living);
                }
            }
        }
    }
}

impl Drop for Recovered {
    fn drop(&mut self) {
        self.engine.held.store(false, Ordering::Release);
    }
}

impl From<NoEnvelope> for ReadError {
    fn from(error: NoEnvelope) -> Self {
        match error {
            NoEnvelope::Malformed => Self::Damaged,
            NoEnvelope::Newer => Self::Newer,
        }
    }
}

/// A name that is no file's for longer than a moment of the start.
const CHANGE: &str = "start.new";
/// As many as are kept while it runs.
const SPARES: usize = 2;
const STEP_OCTETS: usize = 64 << 10;
