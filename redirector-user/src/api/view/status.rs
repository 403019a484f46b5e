//! Everything at a glance, and interfaces.

use contract::Generation;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PoolView;
use crate::edge::{Attachment, Ladder};

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// State of the policy.
    pub generation: Generation,
    /// Where the program is.
    pub interfaces: Vec<Attachment>,
    /// Configured interfaces that it is not on.
    #[serde(default)]
    pub missing: Vec<MissingInterface>,
    /// Pools and their relays.
    pub pools: Vec<PoolView>,
    /// How many flags.
    pub flags: FlagCounts,
    /// Entries of the flow table at the last sweep.
    pub flows: usize,
    /// Entries that it can hold.
    pub flows_max: u32,
    /// Seconds since the kernel last heard of the controller.
    pub heartbeat_age_s: u64,
    /// The store that this edge shares with others; nothing if it has one of its own.
    #[serde(default)]
    pub store: Option<SharedStoreView>,
}

/// The store of several edges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedStoreView {
    /// Where it is, without a secret.
    pub place: String,
    /// This edge's name among them.
    pub edge: String,
    /// Since when it does not answer, if it does not: what is in the kernel stays in force, and nothing can be changed.
    pub away_since: Option<Timestamp>,
}

/// A configured interface without the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingInterface {
    /// Name.
    pub interface: String,
    /// Role, as configured.
    pub role: String,
    /// Why: the last attempt's error.
    pub reason: String,
}

/// How many flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlagCounts {
    /// In force.
    pub active: usize,
    /// Waiting for relays.
    pub pending: usize,
}

/// `POST /v1/interfaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// Interface.
    pub name: String,
    /// `customer`, `uplink` or `relay`.
    pub role: String,
    /// Where in the kernel: one mode, or several in the order in which they are tried.
    pub mode: Ladder,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}
