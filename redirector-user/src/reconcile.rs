//! What the maps should hold against what they hold, as an ordered list of map operations.
//!
//! Pure: [`reconcile`] sees two states and answers with operations. Applying them in order is safe at
//! every point of a crash: what a policy leans on (pools, relays, listeners, customers) is there
//! before the policy, and is taken away only after it.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use redirector_common::abi::{Policy, Pool, Relay};

/// All that the controller decides about the maps (flows, counters and heartbeat are not its decision).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeState {
    /// Customer prefixes of the operator.
    pub customers: BTreeSet<IpNetwork>,
    /// Policy by prefix; a single address has a full-length prefix. Network bits only.
    pub policies: BTreeMap<IpNetwork, Policy>,
    /// Pools by number, with the relay number of each slot.
    pub pools: BTreeMap<u16, PoolState>,
    /// Relays by number; their listeners follow from them.
    pub relays: BTreeMap<u32, Relay>,
    /// Generation of the policy, for `status`.
    pub generation: u64,
}

/// One pool as it stands in the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Its policy.
    pub pool: Pool,
    /// Relay of each slot (`SLOTS_PER_POOL` of them), or `NO_RELAY`.
    pub slots: Vec<u32>,
}

/// One change of the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapOp {
    /// Write a relay and its listeners.
    PutRelay(u32, Relay),
    /// Empty a relay's entry and take its listeners away.
    RemoveRelay(u32, Relay),
    /// Write a pool.
    PutPool(u16, Pool),
    /// Take a pool away.
    RemovePool(u16),
    /// Write one slot of a pool.
    PutSlot(u16, u32, u32),
    /// Add a customer prefix.
    PutCustomer(IpNetwork),
    /// Take a customer prefix away.
    RemoveCustomer(IpNetwork),
    /// Write a policy.
    PutPolicy(IpNetwork, Policy),
    /// Take a policy away.
    RemovePolicy(IpNetwork),
    /// Say which generation this is; always last.
    SetGeneration(u64),
}
