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
    sync::Arc,
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
    /// There may be a million, so that they are shared and not copied.
    pub policies: Arc<BTreeMap<IpNetwork, Policy>>,
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
    /// Have these policies and no others, at once.
    LoadPolicies(Arc<BTreeMap<IpNetwork, Policy>>),
    /// Say which generation this is; always last.
    SetGeneration(u64),
}

/// The operations that turn `actual` into `desired`, one for each policy; none if they are equal.
#[must_use]
pub fn reconcile(desired: &EdgeState, actual: &EdgeState) -> Vec<MapOp> {
    let mut policies = Vec::new();
    put_policies(desired, actual, &mut policies);
    remove_policies(desired, actual, &mut policies);
    around(desired, actual, policies)
}

/// How many policies there are beside those that are looked at, and how they are to change.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// More than one change at once: nobody is judged by some of them. One alone is that anyway.
    pub at_once: bool,
    /// How many policies the maps hold, all of which a new set must be given.
    pub held: usize,
    /// Whether both states are about all of them.
    pub whole: bool,
}

/// The same, but for very many changes of policies, and those that must be made at once: they are one, which costs a new
/// set of policies.
#[must_use]
pub fn gathered(desired: &EdgeState, actual: &EdgeState, setting: Setting) -> Vec<MapOp> {
    // Most often, of a million: two maps side by side are compared much sooner than one by one.
    if desired.policies == actual.policies {
        return around(desired, actual, Vec::new());
    }
    let put = changed(desired, actual).count();
    let removed = gone(&desired.policies, &actual.policies).count();
    let in_place = match setting.at_once {
        true => 1,
        false => in_place(setting.held),
    };
    if put + removed <= in_place {
        return reconcile(desired, actual);
    }
    let policies = match setting.whole {
        true => MapOp::LoadPolicies(Arc::clone(&desired.policies)),
        false => {
            let put = changed(desired, actual).map(|(prefix, policy)| (*prefix, Some(*policy)));
            let removed =
                gone(&desired.policies, &actual.policies).map(|(prefix, _)| (*prefix, None));
            MapOp::ChangePolicies(put.chain(removed).collect())
        }
    };
    around(desired, actual, vec![policies])
}

/// How many policies are changed one by one, where so many are held: beyond that a new set of all of them is cheaper.
#[must_use]
pub const fn in_place(held: usize) -> usize {
    let share = held / 8;
    if share > IN_PLACE { share } else { IN_PLACE }
}

/// What policies lean on comes before them, and goes after them.
fn around(desired: &EdgeState, actual: &EdgeState, policies: Vec<MapOp>) -> Vec<MapOp> {
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
    ops.extend(policies);
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
    let mut changed: Vec<_> = changed(desired, actual).collect();
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

/// Policies of `desired` that `actual` does not have so.
fn changed<'a>(
    desired: &'a EdgeState,
    actual: &'a EdgeState,
) -> impl Iterator<Item = (&'a IpNetwork, &'a Policy)> {
    let policies = desired.policies.iter();
    policies.filter(|(prefix, policy)| actual.policies.get(prefix) != Some(policy))
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
