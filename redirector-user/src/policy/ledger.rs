//! The flags that the controller goes by, and what is asked of all of them at every turn.
//!
//! With a million flags no answer may take a walk over them, so each question has an index: who is on a prefix,
//! who waits to come into force, who expires next. All of them follow from the flags alone; whatever changes
//! goes through [`Ledger::insert`], [`Ledger::remove`] and [`Ledger::activate`].
//!
//! It also remembers which prefixes were touched since [`Ledger::take_touched`] was asked last, so that only
//! those need to be looked at.

mod gathered;

use std::collections::{BTreeMap, BTreeSet};

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;

pub use self::gathered::Gathered;
use super::{
    dial::{Flag, FlagId},
    moment::Moment,
    prefixes::shortened,
    rules::rule_of,
    tenant::{Tenant, lies_in, span},
    text::Texts,
};

/// Active flags, and the ended ones that a waiting flag replaces.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Boxed: a map's nodes are half empty, and a flag is long.
    flags: BTreeMap<FlagId, Box<Flag>>,
    /// The flag of each prefix that has not ended.
    standing: BTreeMap<IpNetwork, FlagId>,
    /// Flags that have not ended and were never in force.
    waiting: BTreeMap<Wait, BTreeSet<FlagId>>,
    /// When each flag that has not ended will.
    expiries: BTreeSet<(Moment, FlagId)>,
    /// When somebody is to look again at each flag that stands for ever.
    reviews: BTreeSet<(Moment, FlagId)>,
    /// Generations of the redirects to each pool that were ever in force, with how many have it.
    in_use: BTreeMap<String, BTreeMap<Generation, usize>>,
    /// Flags that have not ended and that a rule has made.
    automatic: BTreeMap<IpNetwork, FlagId>,
    /// How many flags that have not ended ask for which action.
    by_action: BTreeMap<&'static str, usize>,
    touched: BTreeSet<IpNetwork>,
    /// Reasons, actors and origins.
    texts: Texts,
}

/// What a flag that was never in force waits for; flags of one pool and generation wait for the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// The pool whose relays must know of it; `None` = nobody must.
    pub pool: Option<String>,
    /// What they must have in force.
    pub generation: Generation,
}

impl Ledger {
    /// A flag by its number.
    #[must_use]
    pub fn get(&self, id: &FlagId) -> Option<&Flag> {
        self.flags.get(id).map(Box::as_ref)
    }

    /// All of them, by number.
    pub fn values(&self) -> impl Iterator<Item = &Flag> {
        self.flags.values().map(Box::as_ref)
    }

    /// All of them, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Flag> {
        self.flags.values().rev().map(Box::as_ref)
    }

    /// The flag of exactly this prefix that has not ended.
    #[must_use]
    pub fn on(&self, prefix: IpNetwork) -> Option<&Flag> {
        self.get(self.standing.get(&prefix)?)
    }

    /// Flags that have not ended and cover a prefix, the most specific first.
    pub fn over(&self, prefix: IpNetwork) -> impl Iterator<Item = &Flag> {
        let lengths = (0..=prefix.prefix()).rev();
        let around = lengths.filter_map(move |length| shortened(prefix, length));
        around.filter_map(|around| self.on(around))
    }

    /// Flags that have not ended on a prefix and on what lies in it.
    pub fn within(&self, prefix: IpNetwork) -> impl Iterator<Item = &Flag> {
        let inside = self.standing.range(span(prefix));
        let inside = inside.filter(move |(it, _)| lies_in(**it, prefix));
        inside.filter_map(|(_, id)| self.get(id))
    }

    /// Whose a flag is from now on.
    pub fn move_to(&mut self, id: FlagId, tenant: Tenant) {
        if let Some(flag) = self.flags.get_mut(&id) {
            flag.tenant = Some(Box::new(tenant));
        }
    }

    /// Prefixes of the flags that have not ended.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNetwork> {
        self.standing.keys().copied()
    }

    /// How many have not ended.
    #[must_use]
    pub fn active(&self) -> usize {
        self.standing.len()
    }

    /// How many of these were never in force.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.waiting.values().map(BTreeSet::len).sum()
    }

    /// How many have not ended, by the name of their action; what was never asked for is not there.
    #[must_use]
    pub const fn by_action(&self) -> &BTreeMap<&'static str, usize> {
        &self.by_action
    }

    /// Flags that were never in force, by what they wait for.
    pub fn waiting(&self) -> impl Iterator<Item = (&Wait, &BTreeSet<FlagId>)> {
        self.waiting.iter()
    }

    /// Flags that have not ended and that rules have made.
    pub fn automatic(&self) -> impl Iterator<Item = &Flag> {
        self.automatic.values().filter_map(|id| self.get(id))
    }

    /// Newest generation that any redirect to this pool which was ever in force needs its relays to know.
    #[must_use]
    pub fn needed(&self, pool: &str) -> Generation {
        let generations = self.in_use.get(pool);
        let newest = generations.and_then(|generations| generations.last_key_value());
        newest.map_or_else(Generation::default, |(generation, _)| *generation)
    }

    /// Flags whose time has come, the oldest end first.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = FlagId> {
        let now = Moment::from(now);
        let due = self.expiries.iter().take_while(move |(at, _)| *at <= now);
        due.map(|(_, id)| *id)
    }

    /// When the next flag expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(at, _)| at.at())
    }

    /// Flags that end, or are to be looked at again, until then; the first one first.
    pub fn due_until(&self, until: Timestamp) -> impl Iterator<Item = &Flag> {
        let until = Moment::from(until);
        let within = |all: &BTreeSet<(Moment, FlagId)>| -> Vec<(Moment, FlagId)> {
            all.iter()
                .take_while(|(at, _)| *at <= until)
                .copied()
                .collect()
        };
        let mut due = within(&self.expiries);
        due.extend(within(&self.reviews));
        due.sort_unstable();
        due.into_iter().filter_map(|(_, id)| self.get(&id))
    }

    /// Flags whose review has come, and nobody was told.
    #[must_use]
    pub fn reviews_due(&self, now: Timestamp) -> Vec<Flag> {
        let now = Moment::from(now);
        let due = self.reviews.iter().take_while(|(at, _)| *at <= now);
        let due = due.filter_map(|(_, id)| self.get(id));
        due.filter(|flag| untold_review(flag).is_some())
            .cloned()
            .collect()
    }

    /// When the next review comes that nobody was told of.
    #[must_use]
    pub fn next_review(&self) -> Option<Timestamp> {
        let flags = self.reviews.iter().filter_map(|(_, id)| self.get(id));
        flags.filter_map(untold_review).next()
    }

    /// Adds a flag, or puts it in the place of what was known of it.
    pub fn insert(&mut self, flag: Flag) {
        drop(self.remove(flag.id));
        self.touched.insert(flag.terms.prefix);
        self.index(flag);
    }

    /// Adds a flag that is not there.
    fn index(&mut self, mut flag: Flag) {
        let id = flag.id;
        share(&mut self.texts, &mut flag);
        if flag.ended.is_none() {
            let before = self.standing.insert(flag.terms.prefix, id);
            self.uncount(before);
            *self.by_action.entry(flag.terms.action.name()).or_default() += 1;
            self.expiries.insert((flag.terms.expires_at, id));
        }
        self.index_rare(&flag);
        self.flags.insert(id, Box::new(flag));
    }

    /// Puts a flag in those indexes that few are in.
    fn index_rare(&mut self, flag: &Flag) {
        let id = flag.id;
        if flag.ended.is_none() {
            let review = flag.terms.review_at();
            self.reviews.extend(review.map(|at| (at.into(), id)));
            if rule_of(&flag.terms.actor).is_some() {
                self.automatic.insert(flag.terms.prefix, id);
            }
            if flag.activated_at.is_none() {
                self.waiting.entry(Wait::of(flag)).or_default().insert(id);
            }
        }
        if let Some(pool) = pool_in_use(flag) {
            let generations = self.in_use.entry(pool.to_owned()).or_default();
            *generations.entry(flag.generation).or_default() += 1;
        }
    }

    /// Forgets a flag.
    pub fn remove(&mut self, id: FlagId) -> Option<Flag> {
        let flag = self.flags.remove(&id)?;
        self.touched.insert(flag.terms.prefix);
        if self.standing.get(&flag.terms.prefix) == Some(&id) {
            self.standing.remove(&flag.terms.prefix);
            self.uncount_action(flag.terms.action.name());
        }
        if self.automatic.get(&flag.terms.prefix) == Some(&id) {
            self.automatic.remove(&flag.terms.prefix);
        }
        self.expiries.remove(&(flag.terms.expires_at, id));
        if let Some(at) = flag.terms.review_at() {
            self.reviews.remove(&(at.into(), id));
        }
        let wait = Wait::of(&flag);
        if let Some(ids) = self.waiting.get_mut(&wait) {
            ids.remove(&id);
            if ids.is_empty() {
                self.waiting.remove(&wait);
            }
        }
        if let Some(generations) = pool_in_use(&flag).and_then(|pool| self.in_use.get_mut(pool))
            && let Some(count) = generations.get_mut(&flag.generation)
        {
            *count -= 1;
            if *count == 0 {
                generations.remove(&flag.generation);
            }
        }
        Some(*flag)
    }

    /// One flag stands no more, because another has taken its place.
    fn uncount(&mut self, id: Option<FlagId>) {
        let flag = id.and_then(|id| self.flags.get(&id));
        if let Some(action) = flag.map(|flag| flag.terms.action.name()) {
            self.uncount_action(action);
        }
    }

    fn uncount_action(&mut self, action: &'static str) {
        if let Some(count) = self.by_action.get_mut(action) {
            *count = count.saturating_sub(1);
        }
    }

    /// Notes that a flag is in force; answers with what it replaces.
    pub fn activate(&mut self, id: FlagId, at: Timestamp) -> Option<FlagId> {
        let mut flag = self.remove(id)?;
        flag.activated_at = Some(at.into());
        let replaces = flag.replaces;
        self.insert(flag);
        replaces
    }

    /// Takes flags for ones that are not in force yet.
    pub fn await_again(&mut self, which: impl Fn(&Flag) -> bool) {
        let again = self.values().filter(|flag| flag.activated_at.is_some());
        let again: Vec<Flag> = again.filter(|flag| which(flag)).cloned().collect();
        for flag in again {
            drop(self.remove(flag.id));
            self.index(Flag {
                activated_at: None,
                ..flag
            });
        }
    }

    /// Prefixes whose flags have changed since the last time, each once.
    pub fn take_touched(&mut self) -> BTreeSet<IpNetwork> {
        std::mem::take(&mut self.touched)
    }
}

impl Wait {
    /// What a flag waits for until it is in force.
    #[must_use]
    pub fn of(flag: &Flag) -> Self {
        let redirect = flag.terms.action.redirect();
        Self {
            pool: redirect.map(|redirect| redirect.pool.clone()),
            generation: flag.generation,
        }
    }
}

fn share(texts: &mut Texts, flag: &mut Flag) {
    texts.share(&mut flag.terms.reason);
    texts.share(&mut flag.terms.actor);
    let rare = [&mut flag.terms.ticket, &mut flag.terms.origin];
    rare.into_iter()
        .flatten()
        .for_each(|text| texts.share(text));
}

fn untold_review(flag: &Flag) -> Option<Timestamp> {
    let for_ever = flag.terms.for_ever.as_ref();
    for_ever.and_then(|it| it.untold_review())
}

fn pool_in_use(flag: &Flag) -> Option<&str> {
    let redirect = flag.terms.action.redirect();
    let in_use = redirect.filter(|_| flag.activated_at.is_some());
    in_use.map(|redirect| redirect.pool.as_str())
}

#[cfg(test)]
mod tests;
