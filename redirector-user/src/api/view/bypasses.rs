//! Bypasses.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::bypass::{Bypass, BypassId};

/// One bypass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BypassView {
    /// Number.
    pub id: BypassId,
    /// The destination.
    #[schema(value_type = String)]
    pub destination: IpNetwork,
    /// Why.
    pub why: String,
    /// Who has added it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself; `None` = never.
    pub until: Option<Timestamp>,
    /// Whether it is in force.
    pub state: BypassState,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who ended it; `outgated` if its time was over.
    pub ended_by: Option<String>,
    /// Why it ended.
    pub ended_reason: Option<String>,
}

/// Whether a bypass is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BypassState {
    /// It is.
    Active,
    /// It has ended.
    Ended,
}

impl BypassView {
    /// A bypass as it is told.
    #[must_use]
    pub fn new(bypass: &Bypass, now: Timestamp) -> Self {
        let ended = bypass.ended.as_ref();
        Self {
            id: bypass.id,
            destination: bypass.prefix,
            why: bypass.why.clone(),
            actor: bypass.actor.clone(),
            created_at: bypass.created_at,
            until: bypass.until,
            state: match bypass.is_in_force(now) {
                true => BypassState::Active,
                false => BypassState::Ended,
            },
            ended_at: ended.map(|ended| ended.at),
            ended_by: ended.map(|ended| ended.by.clone()),
            ended_reason: ended.map(|ended| ended.reason.clone()),
        }
    }
}
