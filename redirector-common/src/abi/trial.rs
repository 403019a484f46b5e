//! What a program instance that only judges is told, and what it says.
//!
//! It is loaded like any other on the same pinned maps, with the constant `DRY_RUN`: then it writes to none
//! of them. The map of this record is the instance's own and never pinned.

use super::{Octets, Policy};
use crate::counters::Counter;

/// `ARRAY -> Trial`, one entry.
pub const TRIAL: &str = "TRIAL";

/// [`Trial::counter`] of a frame that is nothing to us.
pub const NO_COUNTER: u32 = u32::MAX;

records! {
    /// One judgement without consequences.
    pub struct Trial [64] {
        /// Told: the interface that the frame is taken to come in by.
        ifindex: u32,
        /// Told: 1 = as if the flow table had no room for another entry. The program cannot see that
        /// without making one.
        flows_full: u32,
        /// Said: the counter that says most about the verdict, or [`NO_COUNTER`].
        counter: u32,
        /// Said: relay number, or [`super::NO_RELAY`].
        relay: u32,
        /// Said: the interface that the frame would leave by if the verdict is a redirect.
        leaves_by: u32,
        /// Said: 1 = `policy` is the one that applied.
        has_policy: u32,
        /// Said: the policy of the source.
        policy: Policy,
        /// Said: a bit for each counter that would have been raised, by [`Counter::index`].
        counted: [u64; 2],
        /// Said: 1 = a flow entry was asked for.
        wanted_entry: u32,
        /// Unused, zero.
        reserved: u32,
    }
}

// A bit for each.
const _: () = assert!(Counter::COUNT <= 128);

impl Trial {
    /// Whether this counter would have been raised.
    #[must_use]
    pub fn has_counted(&self, counter: Counter) -> bool {
        let [low, high] = self.counted;
        let bits = u128::from(low) | u128::from(high) << 64;
        bits >> counter.index() & 1 == 1
    }
}
