//! Terms of flags, exemptions, and what stays free.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::HistoryView;
use crate::policy::{
    dial::FlagId,
    exemption::{Exemption, ExemptionId},
};

/// `POST /v1/flags/{id}/extend`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtensionRequest {
    /// How long it is to live from now on, as `14d`.
    #[serde(rename = "for")]
    #[schema(example = "14d")]
    pub life: Option<String>,
    /// Of one that stands for ever, instead: when somebody is to look at it again, as `90d` from now on.
    pub review: Option<String>,
    /// Why, for the trail.
    #[serde(default)]
    pub reason: String,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// A person's word about what another one has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// Why, for the trail.
    #[serde(default)]
    pub reason: String,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// One change of a flag of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlagChangeView {
    /// Which flag.
    pub flag: FlagId,
    /// What happened to it.
    #[serde(flatten)]
    pub change: HistoryView,
}

/// A prefix that stays free, whoever is flagged around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SparedView {
    /// Which.
    #[schema(value_type = String)]
    pub prefix: IpNetwork,
    /// Why it is protected.
    pub why: String,
}

/// One exemption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExemptionView {
    /// Number.
    pub id: ExemptionId,
    /// Whom it is about.
    #[schema(value_type = String)]
    pub prefix: IpNetwork,
    /// Into another system.
    pub reference: String,
    /// Why.
    pub reason: String,
    /// Who has asked for it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself, approved or not.
    pub until: Timestamp,
    /// Whether it protects.
    pub state: ExemptionState,
    /// Who has approved it.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who ended it; `outgated` if its time was over.
    pub ended_by: Option<String>,
    /// Why it ended.
    pub ended_reason: Option<String>,
    /// Flags that take something from its customers all the same: those that were there before, and those despite it.
    pub flags: Vec<FlagId>,
    /// What happened to it, oldest first; empty in lists.
    #[serde(default)]
    pub history: Vec<HistoryView>,
}

/// Whether an exemption protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExemptionState {
    /// A second person is yet to agree.
    Pending,
    /// It protects.
    Active,
    /// It has ended.
    Ended,
}

impl ExemptionView {
    /// An exemption as it is told; `flags` are those that stand all the same.
    #[must_use]
    pub fn new(exemption: &Exemption, flags: Vec<FlagId>, now: Timestamp) -> Self {
        let (approved, ended) = (exemption.approved.as_ref(), exemption.ended.as_ref());
        let state = match approved {
            _ if ended.is_some() || exemption.until <= now => ExemptionState::Ended,
            Some(_) => ExemptionState::Active,
            None => ExemptionState::Pending,
        };
        Self {
            id: exemption.id,
            prefix: exemption.prefix,
            reference: exemption.reference.clone(),
            reason: exemption.reason.clone(),
            actor: exemption.actor.clone(),
            created_at: exemption.created_at,
            until: exemption.until,
            state,
            approved_by: approved.map(|(by, _)| by.clone()),
            approved_at: approved.map(|(_, at)| *at),
            ended_at: ended.map(|ended| ended.at),
            ended_by: ended.map(|ended| ended.by.clone()),
            ended_reason: ended.map(|ended| ended.reason.clone()),
            flags,
            history: Vec::new(),
        }
    }
}
