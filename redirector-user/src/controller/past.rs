//! What was in force once, and what has ended.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{Controller, Problem, views::view};
use crate::{
    api::view::{AssignmentView, FlagView, WhyView},
    policy::past,
};

impl Controller {
    /// Flags that were in force over an address at a moment, the most specific first.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn in_force_at(
        &self,
        source: IpAddr,
        at: Timestamp,
    ) -> Result<Vec<FlagView>, Problem> {
        let candidates = self.store.flags_over_at(source, at).await?;
        let state = self.lock().await;
        let in_force = past::in_force_at(&candidates, at).into_iter().cloned();
        Ok(in_force
            .map(|flag| view(&state, flag, Vec::new()))
            .collect())
    }

    /// Whose an address was at a moment, if that is known.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn assigned_at(
        &self,
        source: IpAddr,
        at: Timestamp,
    ) -> Result<Option<AssignmentView>, Problem> {
        let assignment = self.store.who(source.into(), at).await?;
        Ok(assignment.map(AssignmentView::from))
    }

    /// The newest ended flags over an address.
    pub(super) async fn ended_over(&self, source: IpAddr) -> Result<Vec<FlagView>, Problem> {
        let ended = self.store.ended_over(source, WhyView::PAST).await?;
        let state = self.lock().await;
        Ok(ended
            .into_iter()
            .map(|flag| view(&state, flag, Vec::new()))
            .collect())
    }
}
