//! What can wait: empty segments in stock, indexes, removal of what is done, and moving what is left of a segment.
//!
//! A segment is given away only when nothing in it is needed: none of its messages, and none of what it says to be done
//! about segments that are still there. That is written down again first. What an operation on names leaves in doubt
//! is taken to be there for ever.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use relay_proto::queued::QueueId;
use relay_proto::record::done::Done;
use relay_proto::record::{HEADER_OCTETS, Kind};

use super::{Engine, Outcome, Wish, entry_octets, lock};
use crate::spool::active::Draft;
use crate::spool::catalogue::{Segment, State};
use crate::spool::contents::{Contents, Found, Unreadable};
use crate::spool::damage::set_aside;
use crate::spool::life::Life;
use crate::spool::storage::{Directory, read_exact_at, remove_if_there};
use crate::spool::{Accepting, StoreError};

/// Writes groups; what became of each wish.
pub(in crate::spool) type Commit<'a> = dyn Fn(Vec<Wish>) -> Vec<Outcome> + 'a;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spool) enum Tended {
    /// There was nothing to do.
    Nothing,
    /// There may be more.
    Something,
    /// Messages were copied; there may be more, but others want to use the disk, too.
    Moved,
}

/// Why something that can wait has to.
#[derive(Debug, thiserror::Error)]
pub(in crate::spool) enum Hindrance {
    /// It could not be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Engine {
    /// Does one thing that can wait, the most urgent first. `commit` is [`Engine::commit`], by
    /// way of whoever calls that. A segment with which something is wrong is left alone until [`Engine::try_again`].
    pub(in crate::spool) fn tend(&self, commit: &Commit<'_>) -> Result<Tended, Hindrance> {
        if lock(&self.ready).len() < STOCK {
            match self.prepare(STOCK) {
                Ok(()) => {
                    self.relieve();
                    return Ok(Tended::Something);
                }
                // There may be something to free.
                Err(StoreError::Full) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let held = self.held.load(Ordering::Acquire);
        if !held && self.sweep()? {
            return Ok(Tended::Something);
        }
        let (life, outcome, tended) = if !held && let Some(life) = self.empty() {
            (life, self.free(life, commit), Tended::Something)
        } else if let Some(life) = self.unindexed() {
            (life, self.index(life), Tended::Something)
        } else if !held && let Some(life) = self.mostly_dead() {
            (life, self.move_some(life, commit), Tended::Moved)
        } else {
            return Ok(Tended::Nothing);
        };
        if outcome.is_err() {
            lock(&self.hindered).insert(life.sequence);
        }
        outcome.map(|()| tended)
    }

    /// What went wrong may go better now.
    pub(in crate::spool) fn try_again(&self) {
        lock(&self.hindered).clear();
    }

    /// Removes contents that nobody needs any more.
    fn sweep(&self) -> io::Result<bool> {
        let litter = std::mem::take(&mut self.catalogue().litter);
        let mut rest = litter.into_iter();
        let mut swept = false;
        for id in rest.by_ref() {
            if let Err(error) = self.remove_large(id) {
                let again = std::iter::once(id).chain(rest);
                self.catalogue().litter.extend(again);
                return Err(error);
            }
            swept = true;
        }
        Ok(swept)
    }

    /// Removes a content that has a file of its own.
    pub(in crate::spool) fn remove_large(&self, id: QueueId) -> io::Result<()> {
        let name = id.to_string();
        let medium = match self.storage.open(Directory::Large, &name) {
            Ok(medium) => medium,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let octets = medium.octets()?;
        self.storage.remove(Directory::Large, &name)?;
        let mut catalogue = self.catalogue();
        catalogue.large_octets = catalogue.large_octets.saturating_sub(octets);
        Ok(())
    }

    /// A segment in which no message is.
    fn empty(&self) -> Option<Life> {
        self.least(|segment| match segment.state {
            State::Full { .. } | State::Failed => segment.messages == 0,
            State::Ready | State::Active | State::Unread | State::Haunting => false,
        })
    }

    /// A segment without an index, but for the last one: most of what was just written may soon be done.
    fn unindexed(&self) -> Option<Life> {
        let full = State::Full { indexed: false };
        let newest = {
            let catalogue = self.catalogue();
            let mut segments = catalogue.segments.iter().rev();
            segments
                .find(|(_, segment)| segment.state == full)
                .map(|(&sequence, _)| sequence)
        };
        self.least(|segment| segment.state == full && Some(segment.life.sequence) != newest)
    }

    /// The segment of which least is left, if that is little.
    fn mostly_dead(&self) -> Option<Life> {
        let little = self.terms.segment_octets / LITTLE;
        let indexed = State::Full { indexed: true };
        self.least(|segment| segment.state == indexed && segment.message_octets < little)
    }

    /// Of those segments the one of which least is left.
    fn least(&self, mut wanted: impl FnMut(&Segment) -> bool) -> Option<Life> {
        let catalogue = self.catalogue();
        let hindered = lock(&self.hindered);
        let segments = catalogue.segments.values();
        segments
            .filter(|segment| !hindered.contains(&segment.life.sequence) && wanted(segment))
            .min_by_key(|segment| segment.message_octets)
            .map(|segment| segment.life)
    }

    /// Makes a segment's index.
    fn index(&self, life: Life) -> Result<(), Hindrance> {
        let contents = Contents::scan(&*self.storage, life)?;
        self.set_aside_all(life, &contents)?;
        contents.write_index(&*self.storage, life)?;
        let indexed = State::Full { indexed: true };
        self.catalogue().set_state(life, indexed);
        Ok(())
    }

    fn set_aside_all(&self, life: Life, contents: &Contents) -> io::Result<()> {
        if contents.unreadable {
            // What the disk can read another time must still be there then.
            return Err(io::Error::other("the disk cannot read all of a segment"));
        }
        for damage in &contents.damage {
            if set_aside(&*self.storage, life, damage)? {
                self.counts.damaged.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Gives a segment away in which no message is.
    fn free(&self, life: Life, commit: &Commit<'_>) -> Result<(), Hindrance> {
        // A queue that is quicker than its keeper gives most segments away unread.
        if self.catalogue().may_be_needed(life.sequence) {
            let contents = Contents::read(&*self.storage, life)?;
            self.set_aside_all(life, &contents)?;
            let needed = {
                let catalogue = self.catalogue();
                let others = contents.done.into_iter().filter(|done| {
                    done.segment != life.sequence && catalogue.has_segment(done.segment)
                });
                others.collect::<VecDeque<Done>>()
            };
            carry(needed, commit)?;
        }
        let state = {
            let mut catalogue = self.catalogue();
            let segment = catalogue.segments.get_mut(&life.sequence);
            let Some(segment) = segment.filter(|it| it.messages == 0) else {
                return Ok(());
            };
            let unread = Arc::strong_count(&segment.pin) == 1;
            (segment.state, segment.octets, unread)
        };
        remove_if_there(&*self.storage, Directory::Segments, &life.index())?;
        let (state, octets, unread) = state;
        let sound = state != State::Failed && octets == self.terms.segment_octets;
        let name = life.segment();
        // Whoever still reads in it would read what the next life writes.
        let recycled = sound && unread && lock(&self.stock).spares.len() < STOCK;
        let renamed = if recycled {
            let to = life.spare();
            self.storage
                .rename((Directory::Segments, &name), (Directory::Segments, &to))
        } else {
            self.storage.remove(Directory::Segments, &name)
        };
        if let Err(error) = renamed.and_then(|()| self.storage.sync_directory(Directory::Segments))
        {
            // It must be reckoned with for as long as we live. The next start will know.
            self.catalogue().set_state(life, State::Haunting);
            self.counts.write_errors.fetch_add(1, Ordering::Relaxed);
            return Err(error.into());
        }
        self.catalogue().forget_segment(life.sequence);
        if recycled {
            lock(&self.stock).spares.push(life.spare());
        }
        Ok(())
    }

    /// Moves some of the messages that are left in a segment to where is written now.
    fn move_some(&self, life: Life, commit: &Commit<'_>) -> Result<(), Hindrance> {
        let contents = Contents::read(&*self.storage, life)?;
        let medium = self.storage.open(Directory::Segments, &life.segment())?;
        let mut octets = 0;
        let mut wishes = Vec::new();
        for found in &contents.messages {
            let Some(id) = found.header.id else { continue };
            let slot = self.catalogue().slot(id);
            if slot.is_none_or(|slot| slot.segment != life.sequence) {
                continue;
            }
            let draft = draft(&contents, found, |body, offset| {
                read_exact_at(&*medium, body, offset)
            })?;
            octets += draft.octets();
            let from = life.sequence;
            wishes.push(Wish::Move { draft, from });
            if octets > MOVED_OCTETS {
                break;
            }
        }
        let moved: Outcome = commit(wishes).into_iter().collect();
        Ok(moved?)
    }

    /// There is room again.
    fn relieve(&self) {
        let full = *lock(&self.accepting) == Accepting::Full;
        if full {
            self.note(Accepting::Yes, None);
        }
    }
}

/// The record as it stands, damaged or not: what proves it goes with it.
fn draft(
    contents: &Contents,
    found: &Found,
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Draft> {
    let header = found.header;
    let mut body = contents.envelope(found)?;
    let envelope = body.len();
    if header.kind == Kind::Message {
        let content = usize::try_from(header.content.octets).map_err(io::Error::other)?;
        body.resize(envelope + content, 0);
        let at = u64::from(header.offset) + (HEADER_OCTETS + envelope) as u64;
        read(&mut body[envelope..], at)?;
    }
    Ok(Draft {
        kind: header.kind,
        id: header.id,
        recipients: header.recipients,
        envelope: header.envelope,
        content: header.content,
        body,
    })
}

/// Writes a list down again, in pieces.
fn carry(mut needed: VecDeque<Done>, commit: &Commit<'_>) -> Outcome {
    while !needed.is_empty() {
        let mut octets = 0;
        let mut piece = Vec::new();
        while let Some(done) = needed.front()
            && (piece.is_empty() || octets + entry_octets(done) <= CARRIED_OCTETS)
        {
            octets += entry_octets(done);
            piece.extend(needed.pop_front());
        }
        commit(vec![Wish::Carry(piece)])
            .into_iter()
            .collect::<Outcome>()?;
    }
    Ok(())
}

/// Empty segments that are kept ready, and files that are kept to become some.
const STOCK: usize = 2;
/// A segment is mostly dead when less than this part of it is left.
const LITTLE: u64 = 4;
/// What is moved at once.
const MOVED_OCTETS: u64 = 1 << 20;
/// What is written down again at once.
const CARRIED_OCTETS: u64 = 48 << 10;
