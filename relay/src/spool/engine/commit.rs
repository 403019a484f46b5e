//! Group commit: all that waits is written at once, and one sync is for all of it.
//!
//! A batch is acknowledged whole or not at all. After a write or a sync that failed, the kernel may have forgotten what
//! it could not write, and a second sync would succeed without it. So the segment is never written again, everybody in
//! the batch is told that it failed, and the next batch says of its messages that they are done, wherever they are found.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use relay_proto::queued::QueueId;
use relay_proto::record::done::Done;
use relay_proto::record::{HEADER_OCTETS, Kind};

use super::{Engine, Writing, is_full, lock};
use crate::spool::active::{Active, Draft};
use crate::spool::catalogue::{Slot, State, Unwritten};
use crate::spool::storage::Directory;
use crate::spool::{Accepting, StoreError};

/// What is to be written.
#[derive(Debug)]
pub(in crate::spool) enum Wish {
    /// New messages, all or none. When they are there, these recipients of others are done.
    Store {
        drafts: Vec<Draft>,
        done: Vec<(QueueId, Option<Vec<usize>>)>,
    },
    /// A message that stands in a segment which is to be freed.
    Move { draft: Draft, from: u64 },
    /// What stands in a segment which is to be freed. Without anything, what was said to be done before.
    Carry(Vec<Done>),
}

/// What became of it.
pub(in crate::spool) type Outcome = Result<(), StoreError>;

/// What is written at once.
#[derive(Debug, Default)]
struct Batch {
    /// Whose wishes are fulfilled by it.
    places: Vec<usize>,
    new: Vec<Draft>,
    moved: Vec<(Draft, u64)>,
    /// What is done when it is there.
    ends: Vec<(QueueId, Option<Vec<usize>>)>,
    list: Vec<Done>,
    unwritten: Unwritten,
}

impl Engine {
    /// Writes all of it and what was said to be done before, in as few batches as it fits into; what became of each, in
    /// order. What is said meanwhile is for the next time: under a long queue it never ends, and somebody waits.
    pub(in crate::spool) fn commit(&self, wishes: Vec<Wish>) -> Vec<Outcome> {
        let mut writing = lock(&self.writing);
        let messages: Vec<u64> = wishes.iter().map(Wish::messages).collect();
        // Nothing is good that was not found to be.
        let mut outcomes: Vec<Outcome> = wishes.iter().map(|_| Err(StoreError::Full)).collect();
        let mut waiting: VecDeque<(usize, Wish)> = wishes.into_iter().enumerate().collect();
        let flushes = waiting.iter().filter(|(_, wish)| wish.is_flush());
        let flushes: Vec<usize> = flushes.map(|(place, _)| *place).collect();
        waiting.retain(|(_, wish)| !wish.is_flush());
        let mut failure = self.name_files(&mut waiting, &mut outcomes);
        let mut unwritten = self.catalogue().unwritten();
        while !waiting.is_empty() || unwritten > 0 {
            if let Err(error) = self.provide(&mut writing, waiting.front()) {
                failure = Some(error.clone());
                let Some((place, _)) = waiting.pop_front() else {
                    // What is done waits for better times.
                    break;
                };
                // What follows may be smaller, or need less.
                outcomes[place] = Err(error);
                continue;
            }
            let batch = self.fill(&writing, &mut waiting);
            unwritten = unwritten.saturating_sub(batch.unwritten.len());
            let places = batch.places.clone();
            if places.is_empty() && batch.list.is_empty() {
                break;
            }
            let outcome = self.write(&mut writing, batch);
            for place in places {
                outcomes[place] = outcome.clone();
            }
            if let Err(error) = outcome {
                // Another segment of the same disk would most likely fail, too. Whoever comes next may try.
                for (place, _) in waiting.drain(..) {
                    outcomes[place] = Err(error.clone());
                }
                failure = Some(error);
                break;
            }
        }
        let unwritten = failure.clone().filter(|_| self.catalogue().has_unwritten());
        for place in flushes {
            outcomes[place] = unwritten.clone().map_or(Ok(()), Err);
        }
        self.judge(&messages, &outcomes, failure);
        outcomes
    }

    /// Whatever has a file of its own is named durably before a record says so. One sync is for all of them.
    fn name_files(
        &self,
        waiting: &mut VecDeque<(usize, Wish)>,
        outcomes: &mut [Outcome],
    ) -> Option<StoreError> {
        if !waiting.iter().any(|(_, wish)| wish.makes_files()) {
            return None;
        }
        let error = self.storage.sync_directory(Directory::Large).err()?;
        let error = self.failed(error);
        waiting.retain(|(place, wish)| {
            if wish.makes_files() {
                outcomes[*place] = Err(error.clone());
            }
            !wish.makes_files()
        });
        Some(error)
    }

    /// Sees to it that there is room for what comes first.
    fn provide(
        &self,
        writing: &mut Writing,
        first: Option<&(usize, Wish)>,
    ) -> Result<(), StoreError> {
        let first = first.map(|(_, wish)| wish);
        let done = DONE_OCTETS.min(self.terms.segment_octets / 4);
        let needed = first.map_or(done, Wish::octets);
        if needed > self.terms.segment_octets - OPENING_OCTETS {
            let error = io::Error::from(io::ErrorKind::FileTooLarge);
            return Err(StoreError::Io(Arc::new(error)));
        }
        let room = writing.active.as_ref().map_or(0, Active::room);
        let fits = writing.active.is_some() && room >= needed;
        // Messages may not take the last segment: room to write down what is done makes room for messages. What is
        // moved makes room, too, if only there is some left for what is done meanwhile.
        let kept = match first {
            Some(Wish::Store { .. }) => 1,
            Some(Wish::Move { .. }) => {
                usize::from(room < needed + self.terms.segment_octets / MOVES_LEAVE)
            }
            Some(Wish::Carry(_)) | None => 0,
        };
        if !fits && matches!(first, Some(Wish::Store { .. })) {
            self.reserve_for_messages(0)?;
        }
        self.prepare(kept + usize::from(!fits))?;
        if fits {
            return Ok(());
        }
        let next = lock(&self.ready).pop_front();
        let (life, medium) = next.ok_or(StoreError::Full)?;
        let active = Active::new(life, medium, self.terms.segment_octets);
        let before = writing.active.replace(active);
        let mut catalogue = self.catalogue();
        catalogue.set_state(life, State::Active);
        if let Some(before) = before {
            catalogue.set_state(before.life, State::Full { indexed: false });
        }
        Ok(())
    }

    /// Takes what fits into the next batch.
    fn fill(&self, writing: &Writing, waiting: &mut VecDeque<(usize, Wish)>) -> Batch {
        let Some(active) = &writing.active else {
            return Batch::default();
        };
        let first = waiting.front().map_or(0, |(_, wish)| wish.octets());
        let mut left = active.room().min(first.max(BATCH_OCTETS));
        let reserve = !lock(&self.ready).is_empty();
        let mut batch = Batch::default();
        let mut moved = Vec::new();
        while let Some((place, wish)) = waiting.pop_front() {
            let octets = wish.octets();
            let allowed = batch.places.is_empty() || reserve || matches!(wish, Wish::Carry(_));
            if octets > left || !allowed {
                waiting.push_front((place, wish));
                break;
            }
            left -= octets;
            batch.places.push(place);
            match wish {
                Wish::Store { drafts, done } => {
                    batch.new.extend(drafts);
                    batch.ends.extend(done);
                }
                Wish::Move { draft, from } => moved.push((draft, from)),
                Wish::Carry(list) => batch.list.extend(list),
            }
        }
        let catalogue = &mut *self.catalogue();
        batch
            .list
            .retain(|done| catalogue.has_segment(done.segment));
        for (draft, from) in moved {
            // It may be done by now.
            let slot = draft.id.and_then(|id| Some((id, catalogue.slot(id)?)));
            let Some((id, _)) = slot.filter(|(_, slot)| slot.segment == from) else {
                continue;
            };
            if let Some(recipients) = catalogue.partly(id) {
                batch.list.push(Done {
                    id,
                    segment: active.life.sequence,
                    recipients: Some(recipients.to_vec()),
                });
            }
            batch.moved.push((draft, from));
        }
        batch.unwritten = catalogue.take_unwritten(left.saturating_sub(LIST_OCTETS));
        batch.list.extend_from_slice(&batch.unwritten.verbatim);
        for (id, recipients) in &batch.unwritten.finished {
            batch
                .list
                .extend(catalogue.entries(*id, recipients.as_deref()));
        }
        batch
    }

    fn write(&self, writing: &mut Writing, batch: Batch) -> Outcome {
        let Writing { active, buffer } = writing;
        let Some(segment) = active else {
            return Err(StoreError::Full);
        };
        let list = (!batch.list.is_empty()).then(|| Draft::done(&batch.list));
        let moved = batch.moved.iter().map(|(draft, _)| draft);
        let drafts: Vec<&Draft> = batch.new.iter().chain(moved).chain(&list).collect();
        let life = segment.life;
        let written = if drafts.is_empty() {
            Ok(Vec::new())
        } else {
            self.counts.groups.fetch_add(1, Ordering::Relaxed);
            self.catalogue().refer(life.sequence, &batch.list);
            segment.write(&drafts, self.last_id(), buffer)
        };
        match written {
            Ok(offsets) => {
                self.settle(life.sequence, batch, &offsets);
                Ok(())
            }
            Err(error) => {
                *active = None;
                let mut catalogue = self.catalogue();
                catalogue.set_state(life, State::Failed);
                catalogue.write_verbatim(batch.new.iter().filter_map(|draft| {
                    Some(Done {
                        id: draft.id?,
                        segment: life.sequence,
                        recipients: None,
                    })
                }));
                for id in batch.moved.iter().filter_map(|(draft, _)| draft.id) {
                    catalogue.add_copy(id, life.sequence);
                }
                catalogue.give_back(batch.unwritten);
                drop(catalogue);
                self.counts.write_errors.fetch_add(1, Ordering::Relaxed);
                // Even without room some of it may be there: that is not the same as `Full`.
                Err(StoreError::Io(Arc::new(error)))
            }
        }
    }

    /// All of the batch is durable.
    fn settle(&self, segment: u64, batch: Batch, offsets: &[u32]) {
        let stored = batch.new.len() as u64;
        let mut catalogue = self.catalogue();
        let (new, moved) = offsets.split_at(batch.new.len().min(offsets.len()));
        for (draft, &offset) in batch.new.iter().zip(new) {
            let Some(id) = draft.id else { continue };
            let slot = Slot {
                segment,
                offset,
                octets: u32::try_from(draft.octets()).unwrap_or(u32::MAX),
                recipients: draft.recipients,
                in_file: draft.kind == Kind::MessageInFile,
                finished: false,
            };
            catalogue.place(id, slot);
        }
        for ((draft, _), &offset) in batch.moved.iter().zip(moved) {
            if let Some(id) = draft.id {
                catalogue.relocate(id, segment, offset);
            }
        }
        for (id, recipients) in batch.ends {
            catalogue.finish(id, recipients.as_deref());
        }
        for (id, recipients) in batch.unwritten.finished {
            if recipients.is_none() {
                catalogue.forget_finished(id);
            }
        }
        drop(catalogue);
        self.counts.stored.fetch_add(stored, Ordering::Relaxed);
        if stored > 0 {
            self.note(Accepting::Yes, None);
        }
    }

    /// Counts and tells what could not be done.
    fn judge(&self, messages: &[u64], outcomes: &[Outcome], failure: Option<StoreError>) {
        let refused = messages.iter().zip(outcomes);
        let refused: u64 = refused
            .filter_map(|(messages, outcome)| outcome.is_err().then_some(messages))
            .sum();
        self.counts.refused.fetch_add(refused, Ordering::Relaxed);
        let Some(failure) = failure else { return };
        match failure {
            StoreError::Full => self.note(Accepting::Full, None),
            StoreError::Io(error) if is_full(&error) => self.note(Accepting::Full, None),
            StoreError::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {}
            StoreError::Io(error) => self.note(Accepting::Broken, Some(&error)),
        }
    }
}

impl Wish {
    /// Octets that it may take in a batch.
    fn octets(&self) -> u64 {
        match self {
            Self::Store { drafts, .. } => drafts.iter().map(Draft::octets).sum(),
            Self::Move { draft, .. } => {
                let partly = ENTRY_OCTETS + RECIPIENT_OCTETS * u64::from(draft.recipients);
                draft.octets() + LIST_OCTETS + partly
            }
            Self::Carry(list) => LIST_OCTETS + list.iter().map(entry_octets).sum::<u64>(),
        }
    }

    /// New messages in it.
    fn messages(&self) -> u64 {
        match self {
            Self::Store { drafts, .. } => drafts.len() as u64,
            Self::Move { .. } | Self::Carry(_) => 0,
        }
    }

    fn is_flush(&self) -> bool {
        matches!(self, Self::Carry(list) if list.is_empty())
    }

    fn makes_files(&self) -> bool {
        match self {
            Self::Store { drafts, .. } => drafts.iter().any(|it| it.kind == Kind::MessageInFile),
            Self::Move { .. } | Self::Carry(_) => false,
        }
    }
}

/// What an entry takes in a list at most.
pub(in crate::spool) fn entry_octets(done: &Done) -> u64 {
    let recipients = done.recipients.as_ref().map_or(0, Vec::len) as u64;
    ENTRY_OCTETS + RECIPIENT_OCTETS * recipients
}

/// Three numbers of at most ten octets.
pub(in crate::spool) const ENTRY_OCTETS: u64 = 30;
/// A number of at most 32 bits.
pub(in crate::spool) const RECIPIENT_OCTETS: u64 = 5;
/// A list without entries: header, version, and what fills up.
const LIST_OCTETS: u64 = HEADER_OCTETS as u64 + 16;
/// Room that is provided for what is done.
const DONE_OCTETS: u64 = 64 << 10;
/// One write; more than one only if a single wish is longer.
const BATCH_OCTETS: u64 = 8 << 20;
/// The first block of a segment.
const OPENING_OCTETS: u64 = 4096;
/// Which part of a segment must be left by what is moved when there is no other.
const MOVES_LEAVE: u64 = 8;
