//! What many jobs have in common, kept once: domains, sites, customers, targets.
//!
//! A name is counted by its users and forgotten with the last of them. The table holds numbers and no keys, so a name
//! costs itself and some 5 octets.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use std::hash::RandomState;

use hashbrown::HashTable;

/// Keys of one kind, each with a number while it is in use, and something that is kept beside it.
#[derive(Debug)]
pub(super) struct Names<K, P> {
    table: HashTable<u32>,
    entries: Vec<Entry<K, P>>,
    free: Vec<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry<K, P> {
    key: Option<K>,
    users: u32,
    beside: P,
}

impl<K: Hash + Eq, P: Default> Names<K, P> {
    pub(super) fn new() -> Self {
        Self {
            table: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::new(),
        }
    }

    /// The number of `key`, and whether it is a new one. It has one user more.
    pub(super) fn hold<Q>(&mut self, key: &Q, own: impl FnOnce(&Q) -> K) -> (u32, bool)
    where
        Q: Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let entries = &self.entries;
        let same = |number: &u32| is(entries, *number, key);
        if let Some(&number) = self.table.find(hash, same) {
            self.hold_again(number);
            return (number, false);
        }
        let entry = Entry {
            key: Some(own(key)),
            users: 1,
            beside: P::default(),
        };
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(self.entries.len()).unwrap_or(NONE),
        };
        match self.entries.get_mut(number as usize) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.table
            .insert_unique(hash, number, |number| rehash(entries, hasher, *number));
        (number, true)
    }

    /// One user more.
    pub(super) fn hold_again(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(number as usize) {
            entry.users = entry.users.saturating_add(1);
        }
    }

    /// One user less; the key, if it was the last.
    pub(super) fn release(&mut self, number: u32) -> Option<(K, P)> {
        let entry = self.entries.get_mut(number as usize)?;
        entry.users = entry.users.saturating_sub(1);
        if entry.users > 0 {
            return None;
        }
        let hash = self.hasher.hash_one(entry.key.as_ref()?);
        if let Ok(found) = self.table.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        self.free.push(number);
        let entry = self.entries.get_mut(number as usize)?;
        let beside = core::mem::take(&mut entry.beside);
        entry.key.take().map(|key| (key, beside))
    }

    /// The number of a key that is in use.
    pub(super) fn find<Q>(&self, key: &Q) -> Option<u32>
    where
        Q: Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let same = |number: &u32| is(&self.entries, *number, key);
        self.table.find(hash, same).copied()
    }

    pub(super) fn key(&self, number: u32) -> Option<&K> {
        self.entries.get(number as usize)?.key.as_ref()
    }

    pub(super) fn beside(&self, number: u32) -> Option<&P> {
        let entry = self.entries.get(number as usize)?;
        entry.key.is_some().then_some(&entry.beside)
    }

    pub(super) fn beside_mut(&mut self, number: u32) -> Option<&mut P> {
        let entry = self.entries.get_mut(number as usize)?;
        entry.key.is_some().then_some(&mut entry.beside)
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.table.len()
    }

    /// All numbers are below this one.
    pub(super) fn numbers(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(NONE)
    }
}

fn is<K: Borrow<Q>, P, Q: Eq + ?Sized>(entries: &[Entry<K, P>], number: u32, key: &Q) -> bool {
    let known = entries.get(number as usize);
    known.is_some_and(|entry| {
        entry
            .key
            .as_ref()
            .is_some_and(|known| known.borrow() == key)
    })
}

fn rehash<K: Hash, P>(entries: &[Entry<K, P>], hasher: &RandomState, number: u32) -> u64 {
    let key = entries.get(number as usize).and_then(|it| it.key.as_ref());
    key.map_or(0, |key| hasher.hash_one(key))
}

/// The number of nothing.
pub(super) const NONE: u32 = u32::MAX;
