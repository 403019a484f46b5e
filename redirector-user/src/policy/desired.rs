//! What the kernel's maps must hold. Pure: [`desired`] turns decisions into an [`EdgeState`].
//!
//! The most specific prefix wins in the kernel, so each prefix has at most one policy here, and nothing is
//! merged.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU8,
    sync::Arc,
};

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::{
    abi::{self, NO_RELAY, OnFailure, SLOTS_PER_POOL, Via},
    maglev::{self, Member, Turn},
};

use super::dial::Flag;
use crate::reconcile::{EdgeState, PoolState};

/// All that the maps follow from, beside the flags.
pub struct Decisions<'a> {
    /// State of the policy.
    pub generation: Generation,
    /// The operator's customer prefixes.
    pub customers: &'a BTreeSet<IpNetwork>,
    /// Pools by number.
    pub pools: &'a [PoolPlan],
    /// Relays by number, with the ways to them.
    pub relays: BTreeMap<u32, abi::Relay>,
    /// Addresses of customers with live flows.
    pub live_customers: &'a BTreeSet<IpAddr>,
    /// Whether a flag in force covers a prefix, be it among those that are looked at or not.
    pub is_covered: &'a dyn Fn(IpNetwork) -> bool,
    /// The edge's own probes of relays, by their source.
    pub probes: BTreeMap<IpAddr, Probe>,
    /// Destinations that nobody is redirected away from.
    pub bypasses: BTreeSet<IpNetwork>,
    /// What stays free, whoever is flagged around it.
    pub spared: &'a BTreeSet<IpNetwork>,
}

/// Where a source of probes is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Number of the pool, which says how.
    pub pool: u8,
    /// Number of the relay.
    pub relay: u16,
}

/// One pool and who serves it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    /// Name, as flags say it.
    pub name: String,
    /// How frames get to its relays.
    pub via: Via,
    /// What happens when nobody can.
    pub on_failure: OnFailure,
    /// Its relays, whether they take connections or not.
    pub relays: Vec<PlannedRelay>,
}

/// One relay of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRelay {
    /// Its number in the maps.
    pub number: u32,
    /// Its name, which its share of the customers follows from.
    pub name: String,
    /// Size of that share, relative to the others' weights.
    pub weight: NonZeroU8,
    /// Whether it takes new connections.
    pub in_rotation: bool,
}

/// The state that the maps must have; `previous` is what they hold. `flags` are those in force, in the order of their prefixes,
/// each with the end of its grace in seconds of `CLOCK_MONOTONIC`. Both may be about some prefixes alone: those of `flags` and of
/// `previous`.
#[must_use]
pub fn desired<'a>(
    flags: impl Iterator<Item = (&'a Flag, u32)>,
    decisions: &Decisions<'_>,
    previous: &EdgeState,
) -> EdgeState {
    let mut policies = in_order(flags.map(|(flag, grace_until_s)| {
        let mut policy = policy(flag, grace_until_s, decisions.pools);
        policy.flags |= lease(flag.terms.prefix, decisions, previous);
        (flag.terms.prefix, policy)
    }));
    let lingering = lingering(decisions, previous);
    policies.extend(lingering);
    for prefix in decisions.spared {
        // What was diverted before it was protected keeps its relay until it ends.
        policies.entry(*prefix).or_insert_with(|| sparing(*prefix));
    }
    // Last: whatever was flagged around them, probes go where they must.
    let probes = decisions.probes.iter();
    policies.extend(probes.map(|(source, probe)| {
        let source = IpNetwork::from(*source);
        (source, probing(source, *probe))
    }));
    let pools = decisions.pools.iter().enumerate();
    let pools = pools.filter_map(|(number, plan)| Some((u16::try_from(number).ok()?, pool(plan))));
    EdgeState {
        customers: decisions.customers.clone(),
        bypasses: decisions.bypasses.clone(),
        policies: Arc::new(policies),
        pools: pools.collect(),
        relays: decisions.relays.clone(),
        generation: decisions.generation.0,
    }
}

/// A map of what comes in order. `collect` holds all of it twice, which is much of a million.
fn in_order<K: Ord, V>(mut entries: impl Iterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    loop {
        let mut piece: BTreeMap<K, V> = entries.by_ref().take(PIECE).collect();
        if piece.is_empty() {
            return map;
        }
        map.append(&mut piece);
    }
}

/// The prefixes of which [`desired`] could say anything else than what is held, if they are at most so many. `flags` are those
/// in force, in the order of their prefixes; `grace_until_s` is asked for the end of a flag's grace. Nothing is made of what is as
/// it should be, which at a start is a million policies.
#[must_use]
pub fn differing<'a>(
    flags: impl Iterator<Item = &'a Flag>,
    grace_until_s: impl Fn(&Flag, Option<&abi::Policy>) -> u32,
    pools: &[PoolPlan],
    held: &BTreeMap<IpNetwork, abi::Policy>,
    most: usize,
) -> Option<BTreeSet<IpNetwork>> {
    let mut differing = BTreeSet::new();
    let mut held = held.iter().peekable();
    for flag in flags {
        let on = flag.terms.prefix;
        while let Some((unflagged, _)) = held.next_if(|(prefix, _)| **prefix < on) {
            differing.insert(*unflagged);
        }
        let standing = held.next_if(|(prefix, _)| **prefix == on);
        let standing = standing.map(|(_, policy)| policy);
        if standing != Some(&policy(flag, grace_until_s(flag, standing), pools)) {
            differing.insert(on);
        }
        if differing.len() > most {
            return None;
        }
    }
    differing.extend(held.map(|(prefix, _)| *prefix));
    (differing.len() <= most).then_some(differing)
}

/// The end of a flag's grace, in seconds of `CLOCK_MONOTONIC`; 0 cuts.
///
/// `standing` is what the maps hold of its prefix. A flag already there keeps what stands there, and one that takes the
/// place of another that already stopped connections grants them no new grace. After a reboot the maps are empty, and the rest
/// of the grace is counted from the time of day at which the flag was first in force: neither a restart nor a reboot extends it.
#[must_use]
pub fn grace_until_s(
    flag: &Flag,
    standing: Option<&abi::Policy>,
    now: Timestamp,
    monotonic_s: u32,
) -> u32 {
    if let Some(standing) = standing.filter(|standing| standing.flag_id == flag.id.0) {
        return standing.grace_until_s;
    }
    let since_s = flag
        .activated_at
        .map_or(0, |at| now.duration_since(at.at()).as_secs());
    let left_s = i64::from(flag.terms.grace_s) - since_s.max(0);
    let until_s = match u32::try_from(left_s) {
        Ok(0) | Err(_) => 0,
        Ok(left_s) => monotonic_s.saturating_add(left_s),
    };
    let stops = |policy: &&abi::Policy| match abi::Action::from_number(policy.action) {
        Some(
            abi::Action::Redirect | abi::Action::Refuse | abi::Action::Reset | abi::Action::Drop,
        ) => true,
        Some(
            abi::Action::Pass | abi::Action::Observe | abi::Action::Limit | abi::Action::Linger,
        )
        | None => false,
    };
    standing
        .filter(stops)
        .map_or(until_s, |standing| standing.grace_until_s.min(until_s))
}

fn policy(flag: &Flag, grace_until_s: u32, pools: &[PoolPlan]) -> abi::Policy {
    let named = flag.terms.action.redirect().map(|redirect| &redirect.pool);
    let pool = pools.iter().position(|plan| Some(&plan.name) == named);
    let limit = flag.terms.action.limit();
    abi::Policy {
        flag_id: flag.id.0,
        grace_until_s,
        pool: pool
            .and_then(|pool| u8::try_from(pool).ok())
            .unwrap_or_default(),
        flags: match flag.terms.action.redirect().map(|redirect| redirect.egress) {
            Some(egress) if egress.lends_address() => abi::Policy::LENDS_ADDRESS,
            Some(_) | None => 0,
        },
        action: flag.terms.action.kernel() as u8,
        prefix_len: flag.terms.prefix.prefix(),
        limit_per_hour: limit.map_or(0, |limit| limit.rate.per_hour()),
        limit_burst: limit.map_or(0, |limit| limit.burst.get()),
    }
}

/// What a flag inherits from the one that it took the place of. A relay's leg from the customer's address
/// ends with the connection that it serves, so the right to that address lasts as long.
fn lease(prefix: IpNetwork, decisions: &Decisions<'_>, previous: &EdgeState) -> u8 {
    if !has_connections(prefix, decisions) {
        return 0;
    }
    let standing = previous.policies.get(&prefix);
    standing.map_or(0, |standing| standing.flags & abi::Policy::LENDS_ADDRESS)
}

/// Probes never end, so a prefix around them would have connections for ever.
fn has_connections(prefix: IpNetwork, decisions: &Decisions<'_>) -> bool {
    let within = prefix.network()..=prefix.broadcast();
    let mut customers = decisions.live_customers.range(within);
    customers.any(|customer| !decisions.probes.contains_key(customer))
}

/// The most specific policy wins, so this one keeps a prefix out of whatever stands around it.
fn sparing(prefix: IpNetwork) -> abi::Policy {
    abi::Policy {
        action: abi::Action::Pass as u8,
        prefix_len: prefix.prefix(),
        ..abi::Policy::default()
    }
}

fn probing(source: IpNetwork, probe: Probe) -> abi::Policy {
    abi::Policy {
        pool: probe.pool,
        flags: abi::Policy::DIRECT,
        action: abi::Action::Redirect as u8,
        prefix_len: source.prefix(),
        limit_per_hour: probe.relay,
        ..abi::Policy::default()
    }
}

/// Redirects that were lifted while connections ran through them. Those keep their relay until they end; new
/// ones go free. A prefix that another flag covers needs no entry: that flag's word is the newer one, and an
/// entry here would be more specific and hide it.
fn lingering(decisions: &Decisions<'_>, previous: &EdgeState) -> BTreeMap<IpNetwork, abi::Policy> {
    let diverting = [abi::Action::Redirect as u8, abi::Action::Linger as u8];
    let lingers = |prefix: IpNetwork, policy: &abi::Policy| {
        diverting.contains(&policy.action)
            && policy.direct_relay().is_none()
            && !(decisions.is_covered)(prefix)
            && has_connections(prefix, decisions)
    };
    let left = previous
        .policies
        .iter()
        .filter(|(prefix, policy)| lingers(**prefix, policy));
    left.map(|(prefix, policy)| {
        (
            *prefix,
            abi::Policy {
                action: abi::Action::Linger as u8,
                ..*policy
            },
        )
    })
    .collect()
}

fn pool(plan: &PoolPlan) -> PoolState {
    PoolState {
        pool: abi::Pool {
            on_failure: plan.on_failure as u8,
            present: 1,
            via: plan.via as u8,
            reserved: [0; 5],
        },
        slots: slots(&plan.relays),
    }
}

/// Which relay each slot has. Relays take turns by name, so that the order of the configuration moves no
/// customer. The share of one that takes no connections is divided among those that do; theirs stay as they
/// are, and it has its own again when it is back.
fn slots(relays: &[PlannedRelay]) -> Vec<u32> {
    let by_name: BTreeMap<&String, &PlannedRelay> =
        relays.iter().map(|relay| (&relay.name, relay)).collect();
    let member = |relay: &PlannedRelay| Member {
        number: relay.number,
        identity: maglev::identity(relay.name.as_bytes()),
        weight: relay.weight,
    };
    let all: Vec<Member> = by_name.values().map(|relay| member(relay)).collect();
    let serving = by_name.values().filter(|relay| relay.in_rotation);
    let serving: Vec<Member> = serving.map(|relay| member(relay)).collect();
    let mut turns = vec![Turn::default(); all.len()];
    let mut slots = vec![NO_RELAY; SLOTS_PER_POOL as usize];
    maglev::populate(&all, &mut turns, &mut slots);
    for slot in &mut slots {
        if !serving.iter().any(|member| member.number == *slot) {
            *slot = NO_RELAY;
        }
    }
    maglev::fill(&serving, &mut turns, &mut slots);
    slots
}

/// A sixteenth of a million: each piece is merged with all that came before it.
const PIECE: usize = 1 << 16;

#[cfg(test)]
mod tests;
