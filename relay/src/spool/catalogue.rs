//! What is in the spool, in memory: for each message where it is, for each segment what keeps it.
//!
//! A message costs 32 octets in a hash table, a segment some hundred. What is said to be done leaves the catalogue only
//! when that is durable, because until then the place of the message must be known to write it down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use relay_proto::queued::QueueId;
use relay_proto::record::done::Done;

use super::engine::{ENTRY_OCTETS, RECIPIENT_OCTETS};
use super::life::Life;

/// Everything that is on the disk and matters.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    messages: HashMap<QueueId, Slot>,
    /// Recipients that are done, of messages of which not all are; sorted.
    partly: HashMap<QueueId, Vec<u32>>,
    /// Segments with copies of messages that have been moved from there, or may have been written there.
    copies: HashMap<QueueId, Vec<u64>>,
    /// All that are on the disk, or may be after a crash.
    pub(super) segments: BTreeMap<u64, Segment>,
    /// Said to be done, not yet being written.
    unwritten: Vec<(QueueId, Option<Vec<u32>>)>,
    /// To be written as they are.
    verbatim: Vec<Done>,
    /// Messages that are not done.
    living: usize,
    /// Contents with a file of their own that nobody needs any more.
    pub(super) litter: Vec<QueueId>,
    /// Octets of all contents that have a file of their own.
    pub(super) large_octets: u64,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) segment: u64,
    pub(super) offset: u32,
    /// Octets of its record.
    pub(super) octets: u32,
    pub(super) recipients: u32,
    /// Its content has a file of its own.
    pub(super) in_file: bool,
    /// All recipients are done.
    pub(super) finished: bool,
}

/// A segment that is on the disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) life: Life,
    pub(super) state: State,
    /// Length of the file.
    pub(super) octets: u64,
    /// Messages whose place is here.
    pub(super) messages: u32,
    /// Octets of their records.
    pub(super) message_octets: u64,
    /// Segments of whose messages it may say that they are done; `None` = only it knows.
    refers: Option<BTreeSet<u64>>,
    /// Who reads here holds a second one.
    pub(super) pin: Arc<()>,
}

/// What a segment is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is in it.
    Ready,
    /// It is being written.
    Active,
    /// Nothing more is written to it.
    Full {
        /// It has an index.
        indexed: bool,
    },
    /// A write or a sync has failed: nothing more is written to it, and it is not used again.
    Failed,
    /// The disk could not read all of it: it may hold messages that nobody knows of.
    Unread,
    /// It was removed, and its name may come back after a crash.
    Haunting,
}

impl Catalogue {
    /// Messages that are not done.
    pub(super) fn living(&self) -> usize {
        self.living
    }

    /// Whether that segment is on the disk, or may be after a crash.
    pub(super) fn has_segment(&self, sequence: u64) -> bool {
        self.segments.contains_key(&sequence)
    }

    /// What that segment is good for from now on.
    pub(super) fn set_state(&mut self, life: Life, state: State) {
        if let Some(segment) = self.segments.get_mut(&life.sequence) {
            segment.state = state;
        }
    }

    /// This is about to be written to a segment.
    pub(super) fn refer(&mut self, sequence: u64, list: &[Done]) {
        let segment = self.segments.get_mut(&sequence);
        if let Some(refers) = segment.and_then(|segment| segment.refers.as_mut()) {
            refers.extend(list.iter().map(|done| done.segment));
        }
    }

    /// Whether a segment may say something that is needed about others that are there.
    pub(super) fn may_be_needed(&self, sequence: u64) -> bool {
        let refers = self
            .segments
            .get(&sequence)
            .and_then(|it| it.refers.as_ref());
        refers.is_none_or(|refers| {
            refers
                .iter()
                .any(|&other| other != sequence && self.has_segment(other))
        })
    }

    /// Octets of all files, but for indexes.
    pub(super) fn octets(&self) -> u64 {
        let segments: u64 = self.segments.values().map(|segment| segment.octets).sum();
        segments + self.large_octets
    }

    /// Where a message is that is not done.
    pub(super) fn slot(&self, id: QueueId) -> Option<Slot> {
        self.messages
            .get(&id)
            .copied()
            .filter(|slot| !slot.finished)
    }

    /// Names of all messages that are not done, in order.
    pub(super) fn names(&self) -> Vec<QueueId> {
        let living = self.messages.iter().filter(|(_, slot)| !slot.finished);
        let mut names: Vec<QueueId> = living.map(|(&id, _)| id).collect();
        names.sort_unstable();
        names
    }

    /// Recipients of a message that are not done.
    pub(super) fn pending(&self, id: QueueId) -> Vec<usize> {
        let Some(slot) = self.slot(id) else {
            return Vec::new();
        };
        let done = self.partly.get(&id).map_or(&[][..], Vec::as_slice);
        let pending = (0..slot.recipients).filter(|recipient| !done.contains(recipient));
        pending.filter_map(|it| usize::try_from(it).ok()).collect()
    }

    /// Recipients of a message that are done although not all are.
    pub(super) fn partly(&self, id: QueueId) -> Option<&[u32]> {
        self.partly.get(&id).map(Vec::as_slice)
    }

    /// A message is in that place. The place of one that was elsewhere is the later word; the other is a copy.
    pub(super) fn place(&mut self, id: QueueId, slot: Slot) {
        self.occupy(&slot);
        match self.messages.insert(id, slot) {
            None => self.living += 1,
            Some(before) => {
                self.vacate(&before);
                self.add_copy(id, before.segment);
            }
        }
    }

    /// There may be a copy of the message in that segment.
    pub(super) fn add_copy(&mut self, id: QueueId, segment: u64) {
        self.copies.entry(id).or_default().push(segment);
    }

    /// A message that is there stands in that place now, too, and is read there from now on.
    pub(super) fn relocate(&mut self, id: QueueId, segment: u64, offset: u32) {
        let Some(slot) = self.messages.get_mut(&id) else {
            return;
        };
        let before = *slot;
        slot.segment = segment;
        slot.offset = offset;
        let after = *slot;
        self.occupy(&after);
        self.vacate(&before);
        self.add_copy(id, before.segment);
    }

    /// These recipients are done, all for `None`; whether that was news. What is news waits to be written.
    pub(super) fn finish(&mut self, id: QueueId, recipients: Option<&[usize]>) -> bool {
        let Some(slot) = self.messages.get_mut(&id).filter(|slot| !slot.finished) else {
            return false;
        };
        let mut news = Vec::new();
        if let Some(recipients) = recipients {
            let done = self.partly.entry(id).or_default();
            for &recipient in recipients {
                let recipient = u32::try_from(recipient).ok();
                let known = recipient.filter(|&recipient| recipient < slot.recipients);
                if let Some(recipient) = known
                    && let Err(place) = done.binary_search(&recipient)
                {
                    done.insert(place, recipient);
                    news.push(recipient);
                }
            }
            if news.is_empty() {
                if done.is_empty() {
                    self.partly.remove(&id);
                }
                return false;
            }
        }
        let done = self.partly.get(&id).map_or(0, Vec::len);
        let all = recipients.is_none() || done == slot.recipients as usize;
        if all {
            slot.finished = true;
            self.living -= 1;
            self.partly.remove(&id);
        }
        self.unwritten.push((id, (!all).then_some(news)));
        true
    }

    /// Whether something is to be written down.
    pub(super) fn has_unwritten(&self) -> bool {
        self.unwritten() > 0
    }

    /// How much of what was said is to be written down; first what was said first.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.len() + self.verbatim.len()
    }

    /// Takes what is to be written down, as much as fits into so many octets for certain.
    pub(super) fn take_unwritten(&mut self, mut octets: u64) -> Unwritten {
        let mut fits = |recipients: Option<&Vec<u32>>, copies: usize| {
            let recipients = recipients.map_or(0, Vec::len) as u64;
            let needed = (ENTRY_OCTETS + RECIPIENT_OCTETS * recipients) * (1 + copies as u64);
            octets = octets.checked_sub(needed)?;
            Some(())
        };
        let verbatim = self
            .verbatim
            .iter()
            .take_while(|done| fits(done.recipients.as_ref(), 0).is_some())
            .count();
        let copies = |id| self.copies.get(id).map_or(0, Vec::len);
        let finished = self
            .unwritten
            .iter()
            .take_while(|(id, recipients)| fits(recipients.as_ref(), copies(id)).is_some())
            .count();
        Unwritten {
            verbatim: self.verbatim.drain(..verbatim).collect(),
            finished: self.unwritten.drain(..finished).collect(),
        }
    }

    /// It could not be written: it is to be written again.
    pub(super) fn give_back(&mut self, unwritten: Unwritten) {
        self.verbatim.splice(..0, unwritten.verbatim);
        self.unwritten.splice(..0, unwritten.finished);
    }

    /// These have been written where nobody shall find them.
    pub(super) fn write_verbatim(&mut self, done: impl IntoIterator<Item = Done>) {
        self.verbatim.extend(done);
    }

    /// What is to be written so that these recipients are done wherever the message may be found.
    pub(super) fn entries(&self, id: QueueId, recipients: Option<&[u32]>) -> Vec<Done> {
        let Some(slot) = self.messages.get(&id) else {
            return Vec::new();
        };
        let copies = self.copies.get(&id).into_iter().flatten().copied();
        let segments = std::iter::once(slot.segment).chain(copies);
        segments
            .map(|segment| Done {
                id,
                segment,
                recipients: recipients.map(<[u32]>::to_vec),
            })
            .collect()
    }

    /// What an earlier run has said to be done, all for `None`. Nothing of it is to be written.
    pub(super) fn restore_done(&mut self, id: QueueId, recipients: Option<Vec<u32>>) {
        let Some(slot) = self.messages.get(&id).copied() else {
            return;
        };
        if let Some(mut recipients) = recipients {
            recipients.retain(|&recipient| recipient < slot.recipients);
            recipients.sort_unstable();
            recipients.dedup();
            if recipients.len() < slot.recipients as usize {
                if !recipients.is_empty() {
                    self.partly.insert(id, recipients);
                }
                return;
            }
        }
        self.messages.remove(&id);
        self.copies.remove(&id);
        self.vacate(&slot);
        self.living -= 1;
    }

    /// That it is done is durable.
    pub(super) fn forget_finished(&mut self, id: QueueId) {
        let Some(slot) = self.messages.get(&id).copied().filter(|it| it.finished) else {
            return;
        };
        self.messages.remove(&id);
        self.copies.remove(&id);
        self.vacate(&slot);
        if slot.in_file {
            self.litter.push(id);
        }
    }

    /// That segment is gone for good.
    pub(super) fn forget_segment(&mut self, sequence: u64) {
        self.segments.remove(&sequence);
        self.copies.retain(|_, segments| {
            segments.retain(|&segment| segment != sequence);
            !segments.is_empty()
        });
        self.verbatim.retain(|done| done.segment != sequence);
    }

    fn occupy(&mut self, slot: &Slot) {
        if let Some(segment) = self.segments.get_mut(&slot.segment) {
            segment.messages += 1;
            segment.message_octets += u64::from(slot.octets);
        }
    }

    fn vacate(&mut self, slot: &Slot) {
        if let Some(segment) = self.segments.get_mut(&slot.segment) {
            segment.messages -= 1;
            segment.message_octets -= u64::from(slot.octets);
        }
    }
}

/// What is to be written down.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// As it is.
    pub(super) verbatim: Vec<Done>,
    /// Of messages whose places are asked for when it is written.
    pub(super) finished: Vec<(QueueId, Option<Vec<u32>>)>,
}

impl Unwritten {
    /// How much it is.
    pub(super) fn len(&self) -> usize {
        self.verbatim.len() + self.finished.len()
    }
}

impl Segment {
    /// One in which nothing is.
    pub(super) fn new(life: Life, state: State, octets: u64) -> Self {
        Self {
            life,
            state,
            octets,
            messages: 0,
            message_octets: 0,
            refers: (state == State::Ready).then(BTreeSet::new),
            pin: Arc::new(()),
        }
    }
}
