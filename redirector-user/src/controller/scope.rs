//! How much of the policies a pass looks at.
//!
//! A pass over a million policies takes seconds, and nearly every pass is about one of them, or none. So the
//! desired and the held state are compared for those prefixes alone of which something may have changed:
//! their flags, their relays' acknowledgement, or the connections that they outlive. Everything is walked over
//! at the start, and whenever what the kernel holds is not known for certain; then, too, a pass is about what differs,
//! unless it is so much that a new set of policies takes less.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::abi;

use super::state::State;
use crate::{
    policy::{
        desired::{PoolPlan, differing, grace_until_s},
        dial::{Flag, FlagId},
    },
    reconcile::{EdgeState, in_place},
    rotation::{self, Standing},
};

/// The prefixes that a pass looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every one.
    All,
    /// These.
    Some(BTreeSet<IpNetwork>),
}

impl Default for Scope {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl State {
    /// Of everything, what the next pass must look at, if it is not too much.
    pub(super) fn narrow_scope(
        &mut self,
        standing: &Standing,
        pools: &[PoolPlan],
        now: Timestamp,
        monotonic_s: u32,
    ) {
        if self.scope != Scope::All {
            return;
        }
        let on = |prefix| rotation::in_force(&self.flags, standing, prefix);
        let grace =
            |flag: &Flag, held: Option<&abi::Policy>| grace_until_s(flag, held, now, monotonic_s);
        let held = &self.held.policies;
        let in_force = self.flags.prefixes().filter_map(on);
        if let Some(prefixes) = differing(in_force, grace, pools, held, in_place(held.len())) {
            self.scope = Scope::Some(prefixes);
        }
    }

    /// What the next pass must look at. It stays so until [`State::hold`]. The sources of probes, and what is protected,
    /// are few, and no flag says when they change.
    pub(super) fn widen_scope(
        &mut self,
        standing: &Standing,
        probes: impl Iterator<Item = IpAddr>,
    ) {
        let touched = self.flags.take_touched();
        let fresh = self.newly_in_force(standing);
        if let Scope::Some(prefixes) = &mut self.scope {
            prefixes.extend(touched);
            prefixes.extend(&self.unsettled);
            prefixes.extend(probes.map(IpNetwork::from));
            prefixes.extend(&self.spared);
            let fresh = fresh.iter().filter_map(|id| self.flags.get(id));
            prefixes.extend(fresh.map(|flag| flag.terms.prefix));
        }
    }

    /// Flags in force within the scope.
    pub(super) fn flags_in_scope<'a>(
        &'a self,
        standing: &'a Standing,
    ) -> impl Iterator<Item = &'a Flag> {
        let (all, some) = match &self.scope {
            Scope::All => (Some(self.flags.prefixes()), None),
            Scope::Some(prefixes) => (None, Some(prefixes.iter().copied())),
        };
        let prefixes = all.into_iter().flatten().chain(some.into_iter().flatten());
        prefixes.filter_map(|prefix| rotation::in_force(&self.flags, standing, prefix))
    }

    /// What the maps hold, as far as the scope goes. If that is everything, it is given away, because there may be a million of
    /// it: [`State::hold`] or [`State::give_back`] says what they hold then.
    pub(super) fn held_in_scope(&mut self) -> EdgeState {
        let policies = match &self.scope {
            Scope::All => std::mem::take(&mut self.held.policies),
            Scope::Some(prefixes) => {
                let held = prefixes
                    .iter()
                    .filter_map(|prefix| self.held.policies.get_key_value(prefix));
                Arc::new(held.map(|(prefix, policy)| (*prefix, *policy)).collect())
            }
        };
        EdgeState {
            customers: self.held.customers.clone(),
            bypasses: self.held.bypasses.clone(),
            policies,
            pools: self.held.pools.clone(),
            relays: self.held.relays.clone(),
            generation: self.held.generation,
        }
    }

    /// Takes back what [`State::held_in_scope`] has given away.
    pub(super) fn give_back(&mut self, held: EdgeState) {
        if self.scope == Scope::All {
            self.held.policies = held.policies;
        }
    }

    /// Whether a flag in force covers a prefix.
    pub(super) fn is_covered(&self, standing: &Standing, prefix: IpNetwork) -> bool {
        let mut over = self.flags.over(prefix);
        over.any(|flag| rotation::in_force(&self.flags, standing, flag.terms.prefix).is_some())
    }

    /// Takes over what the maps hold now: `applied` within the scope, what they held before outside it.
    pub(super) fn hold(&mut self, mut applied: EdgeState) {
        let scope = std::mem::take(&mut self.scope);
        if let Scope::Some(prefixes) = &scope {
            let mut held = std::mem::take(&mut self.held.policies);
            let policies = Arc::make_mut(&mut held);
            for prefix in prefixes {
                match applied.policies.get(prefix) {
                    Some(policy) => drop(policies.insert(*prefix, *policy)),
                    None => drop(policies.remove(prefix)),
                }
                self.unsettled.remove(prefix);
            }
            self.settle(applied.policies.iter());
            applied.policies = held;
            self.held = applied;
        } else {
            self.unsettled.clear();
            self.settle(applied.policies.iter());
            self.held = applied;
        }
    }

    /// Forgets what it believed; the maps hold this, and the next pass looks at everything.
    pub(super) fn doubt(&mut self, held: EdgeState) {
        self.held = held;
        self.scope = Scope::All;
    }

    /// Notes which of these policies end by themselves, with the last connection of their customers.
    fn settle<'a>(&mut self, policies: impl Iterator<Item = (&'a IpNetwork, &'a abi::Policy)>) {
        for (prefix, policy) in policies {
            let lends = || {
                let flag = self.flags.get(&FlagId(policy.flag_id));
                let redirect = flag.and_then(|flag| flag.terms.action.redirect());
                redirect.is_some_and(|redirect| redirect.egress.lends_address())
            };
            let lingers = policy.action == abi::Action::Linger as u8;
            if lingers || (policy.lends_address() && !lends()) {
                self.unsettled.insert(*prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests;
