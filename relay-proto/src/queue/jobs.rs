//! All jobs, in one slab, and the lists that they stand in.
//!
//! A job is in one list for where it is (a slot of the wheel, the due ones, those of a target that wait for a route, a
//! customer's in a lane) and in one for its age. Both are linked through the jobs themselves, so that no list costs
//! memory for its length, and a job leaves any of them at once.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::names::NONE;
use crate::queued::{Egress, QueueId};

/// Names a job as long as it lives; afterwards it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobKey {
    pub(super) slot: u32,
    generation: u32,
}

/// One message's recipients of one domain.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: QueueId,
    pub(super) arrived_ms: u64,
    pub(super) recipients: Recipients,
    place: Links,
    age: Links,
    /// The next job of the same message, and around to the first.
    sibling: u32,
    pub(super) state: State,
    generation: u32,
    /// When it is due, in seconds since 1970.
    pub(super) due_s: u32,
    pub(super) octets: u32,
    pub(super) target: u32,
    pub(super) customer: u32,
    pub(super) sender: u32,
    /// Where it was last going, if it ever was.
    pub(super) site: u32,
    /// Which list of ages it stands in.
    pub(super) bucket: u32,
    pub(super) egress: Egress,
    pub(super) flags: u8,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nowhere: the slot is free, or the job is between two places.
    Nowhere,
    /// In a slot of the wheel.
    Scheduled(u16),
    /// Due, and to be placed.
    Due,
    /// With its target, until there is a route or the domain is no longer paused.
    Parked,
    /// In a lane.
    Ready(u32),
    /// Being attempted, in that lane or in none.
    InFlight(u32),
    /// Held by a person.
    Held,
}

/// Indices of [`Queued::recipients`](crate::queued::Queued::recipients); nearly always one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recipients {
    One(u32),
    Many(Box<[u32]>),
}

/// To be held when it comes back from its attempt.
pub(super) const HOLD: u8 = 1;
/// To be removed when it comes back from its attempt.
pub(super) const REMOVE: u8 = 2;
/// Its sender was told that it is late, or need not be.
pub(super) const WARNED: u8 = 4;
/// What its list of ages waits for is the end of its life.
pub(super) const LIFE: u8 = 8;
/// It is held by a verdict and not by a person, so its life goes on.
pub(super) const AGES: u8 = 16;

#[derive(Clone, Copy, Debug)]
struct Links {
    previous: u32,
    next: u32,
}

/// Which of a job's two lists is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    Place,
    Age,
}

/// Ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    head: u32,
    tail: u32,
}

/// All jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    slots: Vec<Job>,
    free: u32,
    count: usize,
    /// First job of each message.
    by_id: HashTable<u32>,
    hasher: RandomState,
}

const UNLINKED: Links = Links {
    previous: NONE,
    next: NONE,
};

impl Default for List {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
        }
    }
}

impl List {
    pub(super) fn is_empty(self) -> bool {
        self.head == NONE
    }

    pub(super) fn first(self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }
}

impl Recipients {
    pub(super) fn new(indices: &[u32]) -> Self {
        match indices {
            [one] => Self::One(*one),
            many => Self::Many(many.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(one) => core::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Job {
    pub(super) fn new(id: QueueId, arrived_ms: u64, recipients: Recipients) -> Self {
        Self {
            id,
            arrived_ms,
            recipients,
            place: UNLINKED,
            age: UNLINKED,
            sibling: NONE,
            state: State::Nowhere,
            generation: 0,
            due_s: 0,
            octets: 0,
            target: NONE,
            customer: NONE,
            sender: NONE,
            site: NONE,
            bucket: NONE,
            egress: Egress::Pool,
            flags: 0,
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn links(&mut self, chain: Chain) -> &mut Links {
        match chain {
            Chain::Place => &mut self.place,
            Chain::Age => &mut self.age,
        }
    }
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            count: 0,
            by_id: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many slots there are, taken or free.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(NONE)
    }

    /// The job in a slot, if there is one.
    pub(super) fn at(&self, slot: u32) -> Option<&Job> {
        let job = self.slots.get(slot as usize)?;
        job.is_taken().then_some(job)
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut Job> {
        let job = self.slots.get_mut(slot as usize)?;
        job.is_taken().then_some(job)
    }

    pub(super) fn key(&self, slot: u32) -> Option<JobKey> {
        let generation = self.at(slot)?.generation;
        Some(JobKey { slot, generation })
    }

    /// The job's slot, if it still lives.
    pub(super) fn slot(&self, key: JobKey) -> Option<u32> {
        let job = self.at(key.slot)?;
        (job.generation == key.generation).then_some(key.slot)
    }

    /// Puts a job in; `None` if there are as many as can be numbered.
    pub(super) fn insert(&mut self, mut job: Job) -> Option<u32> {
        let slot = match self.free {
            NONE => self.slots().checked_add(1).filter(|next| *next != NONE)? - 1,
            free => free,
        };
        let id = job.id;
        job.sibling = slot;
        match self.slots.get_mut(slot as usize) {
            Some(place) => {
                self.free = place.sibling;
                job.generation = place.generation;
                *place = job;
            }
            None => {
                job.generation = TAKEN;
                self.slots.push(job);
            }
        }
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.generation |= TAKEN;
        }
        self.count += 1;
        match self.first(id) {
            Some(first) => {
                let second = self.at(first).map_or(first, |job| job.sibling);
                self.set_sibling(slot, second);
                self.set_sibling(first, slot);
            }
            None => {
                let hash = self.hasher.hash_one(id.get());
                let (slots, hasher) = (&self.slots, &self.hasher);
                self.by_id
                    .insert_unique(hash, slot, |slot| rehash(slots, hasher, *slot));
            }
        }
        Some(slot)
    }

    /// Takes a job out, which is in no list any more.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Job> {
        let (id, next) = self.at(slot).map(|job| (job.id, job.sibling))?;
        let hash = self.hasher.hash_one(id.get());
        let indexed = self.by_id.find_entry(hash, |known| *known == slot);
        if next == slot {
            if let Ok(entry) = indexed {
                entry.remove();
            }
        } else {
            if let Ok(mut entry) = indexed {
                *entry.get_mut() = next;
            }
            // Rings are as long as a message has domains.
            let before = self.siblings(slot).find(|before| {
                let job = self.at(*before);
                job.is_some_and(|job| job.sibling == slot)
            });
            if let Some(before) = before {
                self.set_sibling(before, next);
            }
        }
        let place = self.slots.get_mut(slot as usize)?;
        let mut left = Job::new(id, 0, Recipients::One(0));
        left.sibling = self.free;
        left.generation = (place.generation & !TAKEN).wrapping_add(2);
        self.free = slot;
        self.count -= 1;
        Some(core::mem::replace(place, left))
    }

    /// A job of this message.
    pub(super) fn first(&self, id: QueueId) -> Option<u32> {
        let hash = self.hasher.hash_one(id.get());
        let same = |slot: &u32| self.at(*slot).is_some_and(|job| job.id == id);
        self.by_id.find(hash, same).copied()
    }

    /// All jobs of the same message, beginning with this one.
    pub(super) fn siblings(&self, slot: u32) -> impl Iterator<Item = u32> {
        let following = move |current: &u32| {
            let next = self.at(*current).map_or(slot, |job| job.sibling);
            (next != slot).then_some(next)
        };
        core::iter::successors(Some(slot), following)
    }

    pub(super) fn push_back(&mut self, list: &mut List, slot: u32, chain: Chain) {
        let Some(job) = self.at_mut(slot) else { return };
        *job.links(chain) = Links {
            previous: list.tail,
            next: NONE,
        };
        match self.at_mut(list.tail) {
            Some(last) => last.links(chain).next = slot,
            None => list.head = slot,
        }
        list.tail = slot;
    }

    pub(super) fn unlink(&mut self, list: &mut List, slot: u32, chain: Chain) {
        let Some(job) = self.at_mut(slot) else { return };
        let links = core::mem::replace(job.links(chain), UNLINKED);
        match self.at_mut(links.previous) {
            Some(before) => before.links(chain).next = links.next,
            None => list.head = links.next,
        }
        match self.at_mut(links.next) {
            Some(after) => after.links(chain).previous = links.previous,
            None => list.tail = links.previous,
        }
    }

    pub(super) fn pop_front(&mut self, list: &mut List, chain: Chain) -> Option<u32> {
        let slot = list.first()?;
        self.unlink(list, slot, chain);
        Some(slot)
    }

    /// Puts all of `other` behind `list`.
    pub(super) fn append(&mut self, list: &mut List, other: &mut List, chain: Chain) {
        let other = core::mem::take(other);
        if other.is_empty() {
            return;
        }
        match self.at_mut(list.tail) {
            Some(last) => last.links(chain).next = other.head,
            None => list.head = other.head,
        }
        if let Some(first) = self.at_mut(other.head) {
            first.links(chain).previous = list.tail;
        }
        list.tail = other.tail;
    }

    fn set_sibling(&mut self, slot: u32, sibling: u32) {
        if let Some(job) = self.at_mut(slot) {
            job.sibling = sibling;
        }
    }
}

impl Job {
    fn is_taken(&self) -> bool {
        self.generation & TAKEN != 0
    }
}

fn rehash(slots: &[Job], hasher: &RandomState, slot: u32) -> u64 {
    let job = slots.get(slot as usize);
    job.map_or(0, |job| hasher.hash_one(job.id.get()))
}

/// Bit of a generation that says that the slot holds a job.
const TAKEN: u32 = 1;

#[cfg(test)]
mod tests;
