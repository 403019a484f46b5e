//! What the maps should hold against what they hold, as an ordered list of map operations.
//!
//! Pure: [`reconcile`] sees two states and answers with operations. Applying them in order is safe at
//! every point of a crash:
//!
//! - What a policy leans on (pools, relays, listeners, customers) is there before the policy, and is
//!   taken away only after it. A pool gets its slots before it exists: slots of a pool that does not
//!   exist mean nothing, and a map that was just made holds zeros, which would be relay 0.
//! - No source ever meets a policy that neither the old state nor the new one gives it: specific
//!   policies are written before wider ones, and wider ones removed before specific ones.
//!
//! Both states are taken as sound: every redirect's pool exists, every slot's relay too.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use ipnetwork::IpNetwork;
use redirector_common::abi::{Policy, Pool, Relay};

/// All that the controller decides about the maps (flows, counters and heartbeat are not its decision).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeState {
    /// Customer prefixes of the operator.
    pub customers: BTreeSet<IpNetwork>,
    /// Destinations that nobody is redirected away from.
    pub bypasses: BTreeSet<IpNetwork>,
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
    /// Write one slot of a pool: pool, slot, relay number or `NO_RELAY`.
    PutSlot(u16, u32, u32),
    /// Add a customer prefix.
    PutCustomer(IpNetwork),
    /// Take a customer prefix away.
    RemoveCustomer(IpNetwork),
    /// Add a destination that nobody is redirected away from.
    PutBypass(IpNetwork),
    /// Take one away.
    RemoveBypass(IpNetwork),
    /// Write a policy.
    PutPolicy(IpNetwork, Policy),
    /// Take a policy away.
    RemovePolicy(IpNetwork),
    /// Change many policies at once (`None` takes one away); stands in for single writes and removals.
    ChangePolicies(BTreeMap<IpNetwork, Option<Policy>>),
    /// Say which generation this is; always last.
    SetGeneration(u64),
}

/// The operations that turn `actual` into `desired`; none if they are equal.
#[must_use]
pub fn reconcile(desired: &EdgeState, actual: &EdgeState) -> Vec<MapOp> {
    let mut ops = Vec::new();
    put_relays(desired, actual, &mut ops);
    put_pools(desired, actual, &mut ops);
    ops.extend(
        desired
            .customers
            .difference(&actual.customers)
            .copied()
            .map(MapOp::PutCustomer),
    );
    let fresh = desired.bypasses.difference(&actual.bypasses);
    ops.extend(fresh.copied().map(MapOp::PutBypass));
    put_policies(desired, actual, &mut ops);

    remove_policies(desired, actual, &mut ops);
    let over = actual.bypasses.difference(&desired.bypasses);
    ops.extend(over.copied().map(MapOp::RemoveBypass));
    ops.extend(
        actual
            .customers
            .difference(&desired.customers)
            .copied()
            .map(MapOp::RemoveCustomer),
    );
    ops.extend(gone(&desired.pools, &actual.pools).map(|(number, _)| MapOp::RemovePool(*number)));
    ops.extend(
        gone(&desired.relays, &actual.relays)
            .map(|(number, relay)| MapOp::RemoveRelay(*number, *relay)),
    );
    if desired.generation != actual.generation {
        ops.push(MapOp::SetGeneration(desired.generation));
    }
    ops
}

/// Gathers single changes of policies into one, if they are so many that a new set costs less, or more than one and must
/// be made at once: nobody is then judged by some of them. One alone is that anyway. `held` is how many policies there
/// are, all of which a new set must be given.
#[must_use]
pub fn gathered(ops: Vec<MapOp>, at_once: bool, held: usize) -> Vec<MapOp> {
    let is_policy = |op: &MapOp| matches!(op, MapOp::PutPolicy(..) | MapOp::RemovePolicy(_));
    let changes = ops.iter().filter(|op| is_policy(op)).count();
    let in_place = IN_PLACE.max(held / 8);
    if changes <= if at_once { 1 } else { in_place } {
        return ops;
    }
    let mut policies = BTreeMap::new();
    // They stand together: what policies lean on comes before them, and goes after them.
    let place = ops.iter().position(is_policy).unwrap_or_default();
    let mut others = Vec::new();
    for op in ops {
        match op {
            MapOp::PutPolicy(prefix, policy) => drop(policies.insert(prefix, Some(policy))),
            MapOp::RemovePolicy(prefix) => drop(policies.insert(prefix, None)),
            other => others.push(other),
        }
    }
    others.insert(place, MapOp::ChangePolicies(policies));
    others
}

fn put_relays(desired: &EdgeState, actual: &EdgeState, ops: &mut Vec<MapOp>) {
    for (number, relay) in &desired.relays {
        if actual.relays.get(number) != Some(relay) {
            ops.push(MapOp::PutRelay(*number, *relay));
        }
    }
}

fn put_pools(desired: &EdgeState, actual: &EdgeState, ops: &mut Vec<MapOp>) {
    for (number, wanted) in &desired.pools {
        let standing = actual.pools.get(number);
        for (slot, relay) in (0..).zip(&wanted.slots) {
            let same = standing
                .and_then(|pool| pool.slots.get(slot as usize))
                .is_some_and(|standing| standing == relay);
            if !same {
                ops.push(MapOp::PutSlot(*number, slot, *relay));
            }
        }
        if standing.map(|pool| pool.pool) != Some(wanted.pool) {
            ops.push(MapOp::PutPool(*number, wanted.pool));
        }
    }
}

fn put_policies(desired: &EdgeState, actual: &EdgeState, ops: &mut Vec<MapOp>) {
    let mut changed: Vec<_> = desired
        .policies
        .iter()
        .filter(|(prefix, policy)| actual.policies.get(prefix) != Some(policy))
        .collect();
    changed.sort_by_key(|(prefix, _)| Reverse(prefix.prefix()));
    ops.extend(
        changed
            .into_iter()
            .map(|(prefix, policy)| MapOp::PutPolicy(*prefix, *policy)),
    );
}

fn remove_policies(desired: &EdgeState, actual: &EdgeState, ops: &mut Vec<MapOp>) {
    let mut removed: Vec<_> = gone(&desired.policies, &actual.policies)
        .map(|(prefix, _)| *prefix)
        .collect();
    removed.sort_by_key(IpNetwork::prefix);
    ops.extend(removed.into_iter().map(MapOp::RemovePolicy));
}

/// Entries of `actual` whose key `desired` does not have.
fn gone<'a, K: Ord, V>(
    desired: &'a BTreeMap<K, V>,
    actual: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    actual.iter().filter(|(key, _)| !desired.contains_key(key))
}

/// Policies that are written one by one, however few there are.
pub const IN_PLACE: usize = 64;

#[cfg(test)]
mod tests;
