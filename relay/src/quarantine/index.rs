//! What is in the store, in memory: enough of each record to find it, and no more.
//!
//! A million records are some 250 MB (a tree, because a table that has just grown is twice as large as what is in it); the number is bounded by the configuration. It is made anew from the store at each
//! start, which needs no second place where a record could be missing or left over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;

use contract::Tier;
use jiff::Timestamp;

use super::audit::State;
use super::record::{Part, Record, RecordId};
use super::shapes::{Found, Wanted};

/// All records.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<RecordId, Entry>,
    octets: u64,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    customer: IpAddr,
    flag_id: Option<u32>,
    /// The user, and the identity inside of the customer, if either is known.
    who: Option<Box<(Option<String>, Option<String>)>>,
    verdict: Box<str>,
    octets: u64,
    /// What it takes in the store.
    stored_octets: u64,
    pub(super) likeness: Likeness,
    pub(super) has_headers: bool,
    pub(super) has_body: bool,
    pub(super) state: State,
}

/// What records of the same text share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Likeness {
    simhash: Option<NonZeroU64>,
    text: Option<NonZeroU64>,
}

impl Index {
    /// Takes a record in.
    pub(super) fn insert(&mut self, record: &Record, state: State) {
        let entry = Entry::of(record, state);
        self.octets += entry.stored_octets;
        if let Some(old) = self.entries.insert(record.id.clone(), entry) {
            self.octets -= old.stored_octets;
        }
    }

    /// Takes in a record that was found at the start, and of which no other part was found yet. One that was kept since is
    /// known better.
    pub(super) fn recover(&mut self, record: &Record, state: State) {
        self.entries
            .entry(record.id.clone())
            .or_insert_with(|| Entry {
                stored_octets: 0,
                has_headers: false,
                has_body: false,
                ..Entry::of(record, state)
            });
    }

    /// A part of a record was found; whether that record is known.
    pub(super) fn found(&mut self, part: Part, id: &RecordId, octets: u64) -> bool {
        let Some(entry) = self.entries.get_mut(id) else {
            return false;
        };
        let has = match part {
            Part::Metadata => return true,
            Part::Headers => &mut entry.has_headers,
            Part::Body => &mut entry.has_body,
        };
        if !std::mem::replace(has, true) {
            entry.stored_octets += octets;
            self.octets += octets;
        }
        true
    }

    /// A part of a record is no longer there.
    pub(super) fn lost(&mut self, part: Part, id: &RecordId, octets: u64) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        match part {
            Part::Metadata => {}
            Part::Headers => entry.has_headers = false,
            Part::Body => entry.has_body = false,
        }
        let gone = octets.min(entry.stored_octets);
        entry.stored_octets -= gone;
        self.octets -= gone;
    }

    pub(super) fn get(&self, id: &RecordId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &RecordId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    pub(super) fn remove(&mut self, id: &RecordId) {
        if let Some(entry) = self.entries.remove(id) {
            self.octets -= entry.stored_octets;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What they take in the store.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&RecordId, &Entry)> {
        self.entries.iter()
    }

    /// The newest that are wanted, so many at most, the newest first; `None` if what they should be like is not there.
    pub(super) fn find(&self, wanted: &Wanted, limit: usize) -> Option<Vec<Found>> {
        let alike = match &wanted.alike {
            Some(id) => Some(self.entries.get(id)?.likeness),
            None => None,
        };
        let matches = |(id, entry): &(&RecordId, &Entry)| {
            let is_alike = alike.is_none_or(|likeness| likeness.is_near(entry.likeness));
            // It is like itself, whatever is known of its text.
            (is_alike || wanted.alike.as_ref() == Some(*id)) && entry.is_wanted(wanted)
        };
        let mut found: Vec<_> = self.entries.iter().filter(matches).collect();
        if found.len() > limit {
            found.select_nth_unstable_by_key(limit, newest_first);
            found.truncate(limit);
        }
        found.sort_unstable_by_key(newest_first);
        Some(
            found
                .into_iter()
                .map(|(id, entry)| entry.shown(id))
                .collect(),
        )
    }

    /// Some that are wanted, by chance.
    pub(super) fn sample(&self, wanted: &Wanted, number: usize) -> Vec<Found> {
        let mut sample = Vec::with_capacity(number.min(self.entries.len()));
        let wanted = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_wanted(wanted));
        for (seen, one) in wanted.enumerate() {
            // Each that was seen stays with the same chance.
            if sample.len() < number {
                sample.push(one);
            } else if let place = fastrand::usize(..=seen)
                && place < number
            {
                sample[place] = one;
            }
        }
        sample
            .into_iter()
            .map(|(id, entry)| entry.shown(id))
            .collect()
    }
}

impl Entry {
    fn of(record: &Record, state: State) -> Self {
        let who = (record.user.clone(), record.identity.clone());
        Self {
            at: record.at,
            customer: record.customer,
            flag_id: record.flag_id,
            who: (who != (None, None)).then(|| Box::new(who)),
            verdict: record.verdict.as_str().into(),
            octets: record.octets,
            stored_octets: record.stored_octets(),
            likeness: Likeness {
                simhash: record.simhash.and_then(NonZeroU64::new),
                text: record.text_hash.and_then(NonZeroU64::new),
            },
            has_headers: record.header_octets.is_some(),
            has_body: record.sealed.is_some(),
            state,
        }
    }

    fn is_wanted(&self, wanted: &Wanted) -> bool {
        let is = |asked: &Option<String>, has: Option<&str>| {
            asked.as_deref().is_none_or(|asked| has == Some(asked))
        };
        let (user, identity) = self.who();
        wanted
            .customer
            .is_none_or(|network| network.contains(self.customer))
            && wanted.flag_id.is_none_or(|flag| self.flag_id == Some(flag))
            && wanted.since.is_none_or(|since| self.at >= since)
            && is(&wanted.verdict, Some(&self.verdict))
            && (is(&wanted.identity, identity) || is(&wanted.identity, user))
            && wanted.state.is_none_or(|state| self.state == state)
            && (!wanted.releasable || self.is_releasable())
    }

    /// Whether its content can still go out.
    pub(super) fn is_releasable(&self) -> bool {
        self.has_body && matches!(self.state, State::Kept | State::Confirmed)
    }

    fn who(&self) -> (Option<&str>, Option<&str>) {
        let (user, identity) = match &self.who {
            Some(who) => (who.0.as_deref(), who.1.as_deref()),
            None => (None, None),
        };
        (user, identity)
    }

    fn shown(&self, id: &RecordId) -> Found {
        let (user, identity) = self.who();
        Found {
            id: id.clone(),
            at: self.at,
            customer: self.customer,
            flag_id: self.flag_id,
            identity: identity.or(user).map(ToOwned::to_owned),
            verdict: self.verdict.as_ref().to_owned(),
            octets: self.octets,
            kept: match (self.has_body, self.has_headers) {
                (true, _) => Tier::Body,
                (false, true) => Tier::Headers,
                (false, false) => Tier::Metadata,
            },
            state: self.state,
        }
    }
}

impl Likeness {
    /// Whether two texts are nearly the same.
    fn is_near(self, other: Self) -> bool {
        let same = self.text.is_some() && self.text == other.text;
        let near =
            |one: NonZeroU64, two: NonZeroU64| (one.get() ^ two.get()).count_ones() <= DISTANCE_MAX;
        same || matches!((self.simhash, other.simhash), (Some(one), Some(two)) if near(one, two))
    }
}

fn newest_first((id, entry): &(&RecordId, &Entry)) -> (std::cmp::Reverse<Timestamp>, RecordId) {
    (std::cmp::Reverse(entry.at), (*id).clone())
}

/// Of 64 bits: texts that differ in a name or a number are nearer than that, others hardly ever are.
const DISTANCE_MAX: u32 = 3;

#[cfg(test)]
mod tests;
