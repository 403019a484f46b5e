//! What is held about a customer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::store::privacy::Gone;

/// About whom, and who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivacyRequest {
    /// Address or prefix, or the key of a customer; one IPv6 address stands for its /64 unless `exact`.
    pub customer: String,
    /// A single IPv6 address means itself.
    #[serde(default)]
    pub exact: bool,
    /// Why, for the trail. Erasing needs one.
    #[serde(default)]
    pub reason: String,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// All that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    /// About whom.
    pub customer: String,
    /// When.
    pub at: Timestamp,
    /// Rows by what they are: flags, events, firings, conduct, assignments, trail, figures.
    #[schema(value_type = Object)]
    pub held: Map<String, Value>,
}

/// What was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasedView {
    /// How much.
    #[serde(flatten)]
    pub gone: Gone,
    /// When.
    pub at: Timestamp,
    /// Whether the store's file was written anew. If not, as one above 64 MiB, unused parts of it may still have octets of what
    /// was erased.
    #[serde(default)]
    pub file_rewritten: bool,
}
