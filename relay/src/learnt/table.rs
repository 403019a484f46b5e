//! What is known of each pair of customer and destination, without a file or a clock.

use std::collections::HashMap;
use std::net::SocketAddr;

use jiff::Timestamp;

use super::{Learner, Record, What, Why};

/// Customer and destination.
pub(super) type Pair = (Learner, SocketAddr);

/// All pairs. Bounded by [`PAIRS_MAX`], and by so many for each customer.
#[derive(Debug, Default)]
pub(super) struct Table {
    learners: HashMap<Learner, HashMap<SocketAddr, (State, Timestamp)>>,
    pairs: usize,
}

/// How it stands with a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is spliced.
    Spliced(Why),
    /// It is not, and is not learnt.
    Revoked,
}

/// One pair, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The customer.
    pub learner: Learner,
    /// The destination.
    pub destination: SocketAddr,
    /// How it stands.
    pub state: State,
    /// Until when.
    pub until: Timestamp,
}

/// Why something is not learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is known already.
    #[error("it is known already")]
    Known,
    /// A person has revoked it.
    #[error("it was revoked")]
    Revoked,
    /// The customer has as many destinations as it may have.
    #[error("the customer has all the destinations that splice.learnt_per_customer allows")]
    Budget,
    /// There are as many pairs as there may be.
    #[error("there are {PAIRS_MAX} pairs already")]
    Full,
}

impl Table {
    /// Why a pair is spliced, if it is.
    pub(super) fn why(&self, pair: Pair, now: Timestamp) -> Option<Why> {
        match self.state(pair, now)? {
            State::Spliced(why) => Some(why),
            State::Revoked => None,
        }
    }

    /// Whether a pair that is not spliced yet may be from now on.
    pub(super) fn may_learn(
        &mut self,
        pair: Pair,
        per_customer: usize,
        now: Timestamp,
    ) -> Result<(), Refused> {
        match self.state(pair, now) {
            Some(State::Spliced(_)) => return Err(Refused::Known),
            Some(State::Revoked) => return Err(Refused::Revoked),
            None => {}
        }
        let spliced = self.learners.get(&pair.0).map_or(0, |destinations| {
            destinations
                .values()
                .filter(|(state, until)| matches!(state, State::Spliced(_)) && now < *until)
                .count()
        });
        if spliced >= per_customer {
            return Err(Refused::Budget);
        }
        if self.pairs >= PAIRS_MAX {
            self.forget_lapsed(now);
        }
        if self.pairs >= PAIRS_MAX {
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Makes a record true.
    pub(super) fn apply(&mut self, record: &Record) {
        let state = match record.what {
            What::Learnt(why) => State::Spliced(why),
            What::Revoked => State::Revoked,
        };
        // A journal that was meddled with may hold any number.
        let destinations = self.learners.entry(record.learner).or_default();
        let before = destinations.insert(record.destination, (state, record.until));
        self.pairs += usize::from(before.is_none());
    }

    /// All that has not lapsed, in order.
    pub(super) fn entries(&self, now: Timestamp) -> Vec<Entry> {
        let of_learner = |(learner, destinations): (&Learner, &HashMap<_, _>)| {
            let learner = *learner;
            let entry =
                move |(destination, (state, until)): (&SocketAddr, &(State, Timestamp))| Entry {
                    learner,
                    destination: *destination,
                    state: *state,
                    until: *until,
                };
            destinations.iter().map(entry).collect::<Vec<_>>()
        };
        let mut entries: Vec<Entry> = self.learners.iter().flat_map(of_learner).collect();
        entries.retain(|entry| now < entry.until);
        entries.sort_by_key(|entry| (entry.learner, entry.destination));
        entries
    }

    /// The same as records.
    pub(super) fn records(&self, now: Timestamp) -> Vec<Record> {
        let record = |entry: Entry| Record {
            learner: entry.learner,
            destination: entry.destination,
            what: match entry.state {
                State::Spliced(why) => What::Learnt(why),
                State::Revoked => What::Revoked,
            },
            until: entry.until,
        };
        self.entries(now).into_iter().map(record).collect()
    }

    fn state(&self, (learner, destination): Pair, now: Timestamp) -> Option<State> {
        let (state, until) = self.learners.get(&learner)?.get(&destination)?;
        (now < *until).then_some(*state)
    }

    fn forget_lapsed(&mut self, now: Timestamp) {
        self.pairs = 0;
        self.learners.retain(|_, destinations| {
            destinations.retain(|_, (_, until)| now < *until);
            self.pairs += destinations.len();
            !destinations.is_empty()
        });
    }
}

/// Bound on the pairs of all customers together: some ten MiB.
const PAIRS_MAX: usize = 100_000;
