//! What the controller remembers while it runs, and what follows from it. No lock, no store, no kernel here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::abi::{self, L2Path, Via};
use tokio::time::{Duration, Instant};

use super::scope::Scope;
use crate::{
    config::{self, Config, Through},
    edge::health::{Health, Monitor},
    policy::{
        bypass::Bypasses,
        desired::{Decisions, PlannedRelay, PoolPlan, Probe, desired, grace_until_s},
        dial::{Flag, FlagId},
        exemption::Exemptions,
        ledger::Ledger,
        prefixes::Prefixes,
        rules::Conduct,
    },
    reconcile::EdgeState,
    rotation::{self, RelayState, Standing},
    store::{Loaded, drains::Word, users},
};

mod held;
mod spared;

use held::{known_paths, relay_numbers};
use spared::{protected, spared};

/// All that changes.
#[derive(Debug)]
pub(super) struct State {
    /// State of the policy.
    pub(super) generation: Generation,
    /// Active flags, and what a waiting one replaces.
    pub(super) flags: Ledger,
    /// Relays by name.
    pub(super) relays: BTreeMap<String, RelayRecord>,
    /// Drained ones among them, and perhaps some that are configured no more.
    pub(super) drained: BTreeMap<String, Word>,
    /// Users of submission.
    pub(super) submission: users::Standing,
    /// Customers that rules have flagged, and what came of it.
    pub(super) conduct: BTreeMap<IpNetwork, Conduct>,
    /// Who has frozen the rules, if somebody has.
    pub(super) frozen: Option<Word>,
    /// The last judgement over both.
    pub(super) standing: Standing,
    /// What the kernel's maps hold.
    pub(super) held: EdgeState,
    /// Of which prefixes that may not be what it should.
    pub(super) scope: Scope,
    /// Prefixes whose policies end by themselves.
    pub(super) unsettled: BTreeSet<IpNetwork>,
    /// Whether policies must change all at once, however few do: until nothing of an import waits.
    pub(super) at_once: bool,
    /// Addresses of customers with live flows, as of the last sweep.
    pub(super) live_customers: BTreeSet<IpAddr>,
    /// Flows at the last sweep.
    pub(super) flows: usize,
    /// The same by relay number.
    pub(super) relay_flows: BTreeMap<u32, usize>,
    /// Whether that was close to all that fit.
    pub(super) pressure: bool,
    /// Pools that had no relay in rotation when that was last told.
    pub(super) without_relay: BTreeSet<String>,
    /// Interfaces that a person attached or detached since the start.
    pub(super) by_hand: BTreeSet<String>,
    /// Indices of the interfaces that the internet is behind.
    pub(super) uplinks: BTreeSet<u32>,
    /// This host's addresses towards the relays.
    pub(super) probe_sources: BTreeSet<IpAddr>,
    /// Whom nobody can flag, and why.
    pub(super) protected: Arc<Prefixes<String>>,
    /// Those of them that a flag could cover.
    pub(super) spared: BTreeSet<IpNetwork>,
    /// Who is not flagged because somebody has promised it, or is to be.
    pub(super) exemptions: Arc<Exemptions>,
    /// Destinations that nobody is redirected away from.
    pub(super) bypasses: Bypasses,
    /// What relays have been told of the configuration since the start.
    pub(super) published: Option<serde_json::Value>,
}

/// One relay.
#[derive(Debug)]
pub(super) struct RelayRecord {
    /// Its number in the maps.
    pub(super) number: u32,
    /// Its pool.
    pub(super) pool: String,
    /// How frames get to it.
    pub(super) via: Via,
    /// Whether it is a third party's, which nobody tells about customers.
    pub(super) third_party: bool,
    /// Its configuration.
    pub(super) config: config::Relay,
    /// The judgement over its probes.
    pub(super) monitor: Monitor,
    /// Since when it is what it is.
    pub(super) since: Timestamp,
    /// Why the last probe found it not at work, in words.
    pub(super) trouble: Option<String>,
    /// Newest generation that it said to have in force.
    pub(super) acknowledged: Option<Generation>,
    /// Until when it is believed to be what the last controller held it for.
    pub(super) adopted_until: Option<Instant>,
    /// The ways to its addresses.
    pub(super) paths: BTreeMap<IpAddr, L2Path>,
}

/// What the kernel must hold, and why.
pub(super) struct Desired {
    /// What it must hold, and what it holds, as far as the scope goes.
    pub(super) edge: EdgeState,
    pub(super) held: EdgeState,
    /// How many policies it holds in all.
    pub(super) policies_held: usize,
    /// Whether the scope is all of them.
    pub(super) whole: bool,
    pub(super) standing: Standing,
}

impl State {
    /// Takes over from the store and from what the kernel still holds of the last controller.
    pub(super) fn adopt(
        config: &Config,
        loaded: Loaded,
        held: EdgeState,
        local_sources: &BTreeMap<IpAddr, IpAddr>,
        uplinks: BTreeSet<u32>,
    ) -> Self {
        let numbers = relay_numbers(config, &held);
        let in_slots: BTreeSet<u32> = held
            .pools
            .values()
            .flat_map(|pool| pool.slots.iter().copied())
            .collect();
        let now = Timestamp::now();
        let relays = config.relays().zip(numbers).map(|((pool, relay), number)| {
            let standing = held
                .relays
                .get(&number)
                .filter(|_| in_slots.contains(&number));
            let record = RelayRecord {
                number,
                pool: pool.name.clone(),
                via: pool.via,
                third_party: pool.third_party,
                config: relay.clone(),
                monitor: Monitor::new(),
                since: now,
                trouble: None,
                acknowledged: None,
                adopted_until: standing.map(|_| Instant::now() + ADOPTION),
                paths: held
                    .relays
                    .get(&number)
                    .map(|held| known_paths(relay, held))
                    .unwrap_or_default(),
            };
            (relay.name.clone(), record)
        });
        let probe_sources: BTreeSet<IpAddr> = local_sources.values().copied().collect();
        let protected = protected(config, &probe_sources);
        Self {
            generation: loaded.generation,
            flags: loaded.flags,
            relays: relays.collect(),
            drained: loaded.drained,
            submission: loaded.submission,
            conduct: loaded.conduct,
            frozen: loaded.frozen,
            standing: Standing::default(),
            held,
            scope: Scope::All,
            unsettled: BTreeSet::new(),
            at_once: false,
            live_customers: BTreeSet::new(),
            flows: 0,
            relay_flows: BTreeMap::new(),
            pressure: false,
            without_relay: BTreeSet::new(),
            by_hand: BTreeSet::new(),
            uplinks,
            probe_sources,
            spared: spared(config, &protected),
            protected: Arc::new(protected),
            exemptions: Arc::new(loaded.exemptions),
            bypasses: loaded.bypasses,
            published: None,
        }
    }

    /// What the kernel must hold now.
    pub(super) fn desired(&mut self, config: &Config, now: Timestamp, monotonic_s: u32) -> Desired {
        let standing = rotation::judge(&self.flags, &self.relay_states());
        let pools = self.pools(config, &standing);
        self.narrow_scope(&standing, &pools, now, monotonic_s);
        self.desired_in_scope(config, standing, &pools, now, monotonic_s)
    }

    /// The same of what the pass looks at.
    pub(super) fn desired_in_scope(
        &mut self,
        config: &Config,
        standing: Standing,
        pools: &[PoolPlan],
        now: Timestamp,
        monotonic_s: u32,
    ) -> Desired {
        let probes = self.probes(config);
        self.widen_scope(&standing, probes.keys().copied());
        let policies_held = self.held.policies.len();
        let held = self.held_in_scope();
        let grace = |flag: &Flag| {
            let standing = held.policies.get(&flag.terms.prefix);
            grace_until_s(flag, standing, now, monotonic_s)
        };
        let decisions = Decisions {
            generation: self.generation,
            customers: &config.customer_prefixes,
            pools,
            relays: self
                .relays
                .values()
                .map(|relay| (relay.number, relay.for_kernel(&self.uplinks)))
                .collect(),
            live_customers: &self.live_customers,
            is_covered: &|prefix| self.is_covered(&standing, prefix),
            probes,
            bypasses: self.bypasses.in_force(now).map(|it| it.prefix).collect(),
            spared: &self.spared,
        };
        let flags = self.flags_in_scope(&standing);
        let flags = flags.map(|flag| (flag, grace(flag)));
        Desired {
            edge: desired(flags, &decisions, &held),
            held,
            policies_held,
            whole: self.scope == Scope::All,
            standing,
        }
    }

    /// Where the sources of probes are sent.
    fn probes(&self, config: &Config) -> BTreeMap<IpAddr, Probe> {
        let Through::DataPath(sources) = &config.health.through else {
            return BTreeMap::new();
        };
        let pools = (0..).zip(&config.pools);
        let relays =
            pools.flat_map(|(number, pool)| pool.relays.iter().map(move |relay| (number, relay)));
        let mut probes = BTreeMap::new();
        for (pool, relay) in relays {
            let number = self.relays.get(&relay.name).map(|record| record.number);
            let Some(relay_number) = number.and_then(|number| u16::try_from(number).ok()) else {
                continue;
            };
            let relay_sources = relay
                .addresses()
                .filter_map(|address| sources.get(&address));
            let probe = Probe {
                pool,
                relay: relay_number,
            };
            probes.extend(relay_sources.map(|source| (*source, probe)));
        }
        probes
    }

    /// Flags of this judgement that were not in force before.
    pub(super) fn newly_in_force(&self, standing: &Standing) -> Vec<FlagId> {
        let ready = self
            .flags
            .waiting()
            .filter(|(wait, _)| !standing.pending.contains_key(wait));
        ready.flat_map(|(_, ids)| ids).copied().collect()
    }

    /// Notes that flags are in force; what they replaced is no longer needed.
    pub(super) fn mark_active(&mut self, ids: &[FlagId], at: Timestamp) {
        for id in ids {
            let mut next = self.flags.activate(*id, at);
            while let Some(before) = next {
                next = self.flags.remove(before).and_then(|flag| flag.replaces);
            }
        }
    }

    /// Forgets a flag that ended, and what it had replaced.
    pub(super) fn forget(&mut self, id: FlagId) {
        let mut next = Some(id);
        while let Some(flag) = next.and_then(|id| self.flags.remove(id)) {
            next = flag.replaces;
        }
    }

    /// Relays that a flag waits for.
    pub(super) fn awaited(&self, id: FlagId) -> Vec<String> {
        let flag = self.flags.get(&id);
        flag.map_or_else(Vec::new, |flag| self.standing.awaited(flag).to_vec())
    }

    /// Relays that take a flag's new connections now.
    pub(super) fn serving(&self, flag: &Flag) -> Vec<String> {
        let Some(redirect) = flag.terms.action.redirect() else {
            return Vec::new();
        };
        let of_pool = |name: &&String| {
            let relay = self.relays.get(*name);
            relay.is_some_and(|relay| relay.pool == redirect.pool)
        };
        let in_rotation = self.standing.in_rotation.iter();
        in_rotation.filter(of_pool).cloned().collect()
    }

    fn relay_states(&self) -> BTreeMap<String, RelayState> {
        let now = Instant::now();
        let state = |name: &String, relay: &RelayRecord| RelayState {
            pool: relay.pool.clone(),
            third_party: relay.third_party,
            drained: self.drained.contains_key(name),
            health: relay.monitor.health(),
            acknowledged: relay.acknowledged,
            adopted: relay.adopted_until.is_some_and(|until| now < until),
        };
        self.relays
            .iter()
            .map(|(name, relay)| (name.clone(), state(name, relay)))
            .collect()
    }

    pub(super) fn pools(&self, config: &Config, standing: &Standing) -> Vec<PoolPlan> {
        let pools = config.pools.iter();
        pools.map(|pool| self.plan(pool, standing)).collect()
    }

    fn plan(&self, pool: &config::Pool, standing: &Standing) -> PoolPlan {
        let planned = |relay: &config::Relay| {
            Some(PlannedRelay {
                number: self.relays.get(&relay.name)?.number,
                name: relay.name.clone(),
                weight: relay.weight,
                in_rotation: standing.in_rotation.contains(&relay.name),
            })
        };
        PoolPlan {
            name: pool.name.clone(),
            via: pool.via,
            on_failure: pool.on_failure,
            relays: pool.relays.iter().filter_map(planned).collect(),
        }
    }
}

impl RelayRecord {
    /// What probes say.
    pub(super) fn health(&self) -> Health {
        self.monitor.health()
    }

    /// Where it stands follows from the way to it. Steered connections keep their addresses, so what comes in by the
    /// uplink could be told to be theirs by a tunnel alone, which says so itself.
    fn for_kernel(&self, uplinks: &BTreeSet<u32>) -> abi::Relay {
        let path = |address: Option<IpAddr>| {
            address
                .and_then(|address| self.paths.get(&address))
                .copied()
        };
        let path4 = path(self.config.address4.map(IpAddr::V4)).unwrap_or_default();
        let path6 = path(self.config.address6.map(IpAddr::V6)).unwrap_or_default();
        let beyond_uplink = [path4, path6]
            .iter()
            .any(|path| uplinks.contains(&path.ifindex));
        abi::Relay {
            addr4: self
                .config
                .address4
                .map(|address| address.octets())
                .unwrap_or_default(),
            addr6: self
                .config
                .address6
                .map(|address| address.octets())
                .unwrap_or_default(),
            port_be: self.config.port.get().to_be_bytes(),
            flags: match self.via {
                Via::Rewrite if beyond_uplink => abi::Relay::BEYOND_UPLINK,
                Via::Rewrite | Via::Steer => 0,
            },
            reserved: 0,
            path4,
            path6,
            tunnel: self.config.tunnel.map(Into::into).unwrap_or_default(),
        }
    }
}

/// Long enough for a probe and for a relay to ask again after its connection broke.
const ADOPTION: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
