//! A ledger of very many flags at once, as a start has them.
//!
//! The long indexes are built from all of their entries in order: that takes a third of the time, and the nodes of a map
//! are full then, which are half empty if it grows in order.

use super::{Ledger, share};
use crate::policy::{
    dial::{Flag, FlagId},
    text::Texts,
};

/// Flags that will be a ledger. Their texts are shared already: it is them that a million flags would need memory for.
#[derive(Debug, Default)]
pub struct Gathered {
    flags: Vec<(FlagId, Box<Flag>)>,
    texts: Texts,
}

impl Gathered {
    /// Adds a flag; of those with one number the last counts.
    pub fn push(&mut self, mut flag: Flag) {
        share(&mut self.texts, &mut flag);
        self.flags.push((flag.id, Box::new(flag)));
    }

    /// Whether one that has not ended was never in force, and has replaced another.
    #[must_use]
    pub fn any_waits_for_another(&self) -> bool {
        let mut flags = self.flags.iter().map(|(_, flag)| flag);
        flags.any(|flag| {
            flag.ended.is_none() && flag.activated_at.is_none() && flag.replaces.is_some()
        })
    }

    /// The ledger of them. Nothing counts as touched: at a start everything is looked at.
    #[must_use]
    pub fn into_ledger(self) -> Ledger {
        let mut ledger = Ledger {
            flags: self.flags.into_iter().collect(),
            texts: self.texts,
            ..Ledger::default()
        };
        let flags = std::mem::take(&mut ledger.flags);
        let active = || flags.values().filter(|flag| flag.ended.is_none());
        ledger.standing = active().map(|flag| (flag.terms.prefix, flag.id)).collect();
        ledger.expiries = active()
            .map(|flag| (flag.terms.expires_at, flag.id))
            .collect();
        for flag in active() {
            *ledger
                .by_action
                .entry(flag.terms.action.name())
                .or_default() += 1;
        }
        for flag in flags.values() {
            ledger.index_rare(flag);
        }
        ledger.flags = flags;
        ledger
    }
}

impl FromIterator<Flag> for Ledger {
    fn from_iter<T: IntoIterator<Item = Flag>>(flags: T) -> Self {
        let mut gathered = Gathered::default();
        for flag in flags {
            gathered.push(flag);
        }
        gathered.into_ledger()
    }
}
