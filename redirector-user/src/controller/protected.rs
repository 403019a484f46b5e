//! Flags on what is protected now: they end when the controller starts.

use std::collections::BTreeMap;

use super::{Controller, Problem, changes::TOGETHER_MAX, clock};
use crate::{
    policy::dial::{Ended, FlagId},
    store::audit::{Kind, OUTGATED},
};

impl Controller {
    /// Ends flags on what the configuration protects now. What they diverted keeps its relay until it ends.
    pub(super) async fn end_protected(&self) -> Result<(), Problem> {
        let mut state = self.lock().await;
        // Few are protected, and a million may be flagged. Of two around a flag, the more specific one is its reason.
        let mut guarded: BTreeMap<FlagId, String> = BTreeMap::new();
        for (protected, why) in state.protected.iter() {
            let reason = format!("protected: {protected} is {why}");
            let within = state.flags.within(protected);
            guarded.extend(within.map(|flag| (flag.id, reason.clone())));
        }
        let mut ends = Vec::new();
        for (id, reason) in guarded {
            tracing::warn!(
                flag.id = id.0,
                reason,
                "a flag ends because outgated.toml protects its prefix now"
            );
            let ended = Ended {
                at: clock(),
                by: String::from(OUTGATED),
                reason,
            };
            ends.push((id, ended));
        }
        while !ends.is_empty() {
            let later = ends.split_off(ends.len().min(TOGETHER_MAX));
            self.end_flags(&mut state, ends, Kind::FlagLifted).await?;
            ends = later;
        }
        Ok(())
    }
}
