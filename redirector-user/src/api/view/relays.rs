//! Pools, their relays, and who is drained.

use std::{net::IpAddr, num::NonZeroU8};

use contract::Generation;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    /// Name.
    pub name: String,
    /// `rewrite` or `steer`.
    pub via: String,
    /// `open`, `closed` or `refuse`.
    pub on_failure: String,
    /// Whether its relays are a third party's, which acknowledge nothing.
    #[serde(default)]
    pub third_party: bool,
    /// Its relays.
    pub relays: Vec<RelayView>,
}

/// One relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayView {
    /// Name.
    pub name: String,
    /// Listener's addresses.
    #[schema(value_type = Vec<String>)]
    pub address: Vec<IpAddr>,
    /// Listener's port.
    pub port: u16,
    /// What probes say.
    pub state: RelayHealth,
    /// Whether it takes new connections.
    pub in_rotation: bool,
    /// Newest generation that it said to have in force.
    pub acknowledged: Option<Generation>,
    /// Since when `state` is what it is.
    pub since: Timestamp,
    /// Its share of the pool's customers, relative to the others' weights.
    #[schema(value_type = u8, minimum = 1)]
    pub weight: NonZeroU8,
    /// Connections that it had at the last sweep of the flow table.
    pub flows: usize,
    /// Why it takes no new connections, if a person has said so.
    pub drained: Option<DrainView>,
    /// By which way it is probed: `data-path` or `direct`.
    #[serde(default)]
    pub probed: String,
    /// What the last probe found wrong, in words; `None` = it greeted, or was not probed yet.
    #[serde(default)]
    pub trouble: Option<String>,
    /// The tunnel to it, if it is on no link of the edge's.
    #[serde(default)]
    pub tunnel: Option<TunnelView>,
}

/// A tunnel to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TunnelView {
    /// The edge's end.
    #[schema(value_type = String)]
    pub local: IpAddr,
    /// The relay's end.
    #[schema(value_type = String)]
    pub remote: IpAddr,
    /// Octets of the longest packet that fits in.
    pub mtu: u16,
}

/// A drained relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    /// Since when.
    pub since: Timestamp,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// `PUT /v1/relays/{relay}/drain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Why, for the trail.
    #[serde(default)]
    pub reason: String,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// What probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayHealth {
    /// It greets.
    Up,
    /// It does not.
    Down,
    /// Nothing is known yet.
    Unknown,
}
