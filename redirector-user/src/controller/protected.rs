//! Flags on what is protected now: they end when the controller starts.

use super::{Controller, Problem, clock};
use crate::{
    policy::dial::{Ended, FlagId},
    store::audit::{Kind, OUTGATED},
};

impl Controller {
    /// Ends flags on what the configuration protects now. What they diverted keeps its relay until it ends.
    pub(super) async fn end_protected(&self) -> Result<(), Problem> {
        let mut state = self.lock().await;
        let guarded = state.flags.prefixes().filter_map(|prefix| {
            let (protected, why) = state.protected.over(prefix).next()?;
            let flag = state.flags.on(prefix)?;
            Some((flag.id, format!("protected: {protected} is {why}")))
        });
        let guarded: Vec<(FlagId, String)> = guarded.collect();
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
            self.end_flag(&mut state, id, Kind::FlagLifted, &ended)
                .await?;
        }
        Ok(())
    }
}
