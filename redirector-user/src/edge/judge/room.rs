//! Whether the flow table has room for another entry, without making one.
//!
//! The kernel counts no entries, and walking a table of a million takes a second. So the last count is
//! remembered with the counter of opened flows beside it: what was opened since can only have filled it so far.

use redirector_common::counters::Counter;

use crate::edge::{Edge, EdgeError};

/// A count of the flow table.
#[derive(Clone, Copy, Debug)]
pub(in crate::edge) struct Counted {
    /// Entries that were there.
    pub(in crate::edge) flows: usize,
    /// How many had ever been opened just before they were counted.
    pub(in crate::edge) opened: u64,
}

impl Edge {
    /// How many flows were ever opened.
    pub(in crate::edge) fn opened(&self) -> Result<u64, EdgeError> {
        self.counted(Counter::FlowOpened)
    }

    /// Whether a new connection would find no room.
    pub(super) fn is_full(&mut self) -> Result<bool, EdgeError> {
        let opened = self.opened()?;
        let most = self.counted.map(|counted| {
            let since = opened.wrapping_sub(counted.opened);
            u64::try_from(counted.flows)
                .unwrap_or(u64::MAX)
                .saturating_add(since)
        });
        if most.is_some_and(|most| most < u64::from(self.config.flows_max)) {
            return Ok(false);
        }
        let flows = self.flow_count()?;
        self.counted = Some(Counted { flows, opened });
        Ok(flows >= self.config.flows_max as usize)
    }
}
