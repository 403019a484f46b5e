//! Several flags in one request.

use serde::{Deserialize, Serialize};

use super::ErrorView;
use crate::policy::dial::{FlagId, FlagRequest};

/// `POST /v1/flags/batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// What is wanted; each prefix once.
    pub flags: Vec<FlagRequest>,
    /// Only judge.
    #[serde(default)]
    pub dry_run: bool,
    /// All of them or none, in one transaction and in force at one instant; else each for itself.
    #[serde(default)]
    pub atomic: bool,
    /// Who; stands for what the flags say, if it is there.
    #[serde(default)]
    pub actor: String,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BatchView {
    /// Whether it was only judged.
    pub dry_run: bool,
    /// How many are stored, or would be.
    pub sound: usize,
    /// How many are refused.
    pub refused: usize,
    /// In the order of the request.
    pub items: Vec<BatchItemView>,
}

/// What became of one flag of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BatchItemView {
    /// In one word.
    pub outcome: BatchOutcome,
    /// Its number, if it is stored.
    pub id: Option<FlagId>,
    /// Why it is refused.
    pub error: Option<ErrorView>,
}

/// What became of one flag of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchOutcome {
    /// It is in force.
    Active,
    /// It is stored, and waits for relays.
    Pending,
    /// It would be stored.
    WouldAdd,
    /// It is refused.
    Refused,
    /// It would be stored, but another one is refused, and all or none was asked for.
    HeldBack,
}
