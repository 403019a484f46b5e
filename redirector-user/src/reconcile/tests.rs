//! The operations against a model of the maps, for arbitrary pairs of states.

mod crash;

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use redirector_common::abi::{Action, L2Path, NO_RELAY, OnFailure, Via};

use super::*;

/// The maps as far as operations reach them. Slots stand apart from pools, as they do in the kernel.
#[derive(Clone, Debug)]
struct Model {
    customers: BTreeSet<IpNetwork>,
    bypasses: BTreeSet<IpNetwork>,
    policies: BTreeMap<IpNetwork, Policy>,
    pools: BTreeMap<u16, Pool>,
    slots: BTreeMap<(u16, u32), u32>,
    relays: BTreeMap<u32, Relay>,
    generation: u64,
}

impl Model {
    fn of(state: &EdgeState) -> Self {
        let slots = state.pools.iter().flat_map(|(number, pool)| {
            (0..)
                .zip(&pool.slots)
                .map(move |(slot, relay)| ((*number, slot), *relay))
        });
        // Pools that do not exist have slots too, and those of a new map lead to relay 0.
        let stale = (0..POOLS).flat_map(|pool| (0..SLOTS).map(move |slot| ((pool, slot), 0)));
        Self {
            customers: state.customers.clone(),
            bypasses: state.bypasses.clone(),
            policies: BTreeMap::clone(&state.policies),
            pools: state
                .pools
                .iter()
                .map(|(number, pool)| (*number, pool.pool))
                .collect(),
            slots: stale.chain(slots).collect(),
            relays: state.relays.clone(),
            generation: state.generation,
        }
    }

    fn apply(&mut self, op: &MapOp) {
        match op.clone() {
            MapOp::PutRelay(number, relay) => drop(self.relays.insert(number, relay)),
            MapOp::RemoveRelay(number, relay) => {
                assert_eq!(
                    self.relays.remove(&number),
                    Some(relay),
                    "removed what stands there"
                );
            }
            MapOp::PutPool(number, pool) => drop(self.pools.insert(number, pool)),
            MapOp::RemovePool(number) => assert!(self.pools.remove(&number).is_some()),
            MapOp::PutSlot(pool, slot, relay) => {
                assert!(
                    self.slots.insert((pool, slot), relay).is_some(),
                    "no such slot"
                );
            }
            MapOp::PutCustomer(prefix) => assert!(self.customers.insert(prefix)),
            MapOp::RemoveCustomer(prefix) => assert!(self.customers.remove(&prefix)),
            MapOp::PutBypass(prefix) => assert!(self.bypasses.insert(prefix)),
            MapOp::RemoveBypass(prefix) => assert!(self.bypasses.remove(&prefix)),
            MapOp::PutPolicy(prefix, policy) => drop(self.policies.insert(prefix, policy)),
            MapOp::RemovePolicy(prefix) => assert!(self.policies.remove(&prefix).is_some()),
            MapOp::ChangePolicies(changes) => {
                for (prefix, policy) in changes {
                    match policy {
                        Some(policy) => drop(self.policies.insert(prefix, policy)),
                        None => assert!(self.policies.remove(&prefix).is_some()),
                    }
                }
            }
            MapOp::LoadPolicies(policies) => self.policies = BTreeMap::clone(&policies),
            MapOp::SetGeneration(generation) => self.generation = generation,
        }
    }

    /// As [`crate::edge::Edge::actual`] reads it: slots only of pools that exist.
    fn state(&self) -> EdgeState {
        let pools = self.pools.iter().map(|(number, pool)| {
            let slots = (0..SLOTS)
                .map(|slot| self.slots[&(*number, slot)])
                .collect();
            (*number, PoolState { pool: *pool, slots })
        });
        EdgeState {
            customers: self.customers.clone(),
            bypasses: self.bypasses.clone(),
            policies: Arc::new(self.policies.clone()),
            pools: pools.collect(),
            relays: self.relays.clone(),
            generation: self.generation,
        }
    }

    fn assert_nothing_hangs(&self) {
        for (prefix, policy) in &self.policies {
            assert!(
                policy.action == Action::Drop as u8
                    || self.pools.contains_key(&u16::from(policy.pool)),
                "{prefix} leads to pool {}, which is missing",
                policy.pool
            );
        }
        for ((pool, slot), relay) in &self.slots {
            assert!(
                !self.pools.contains_key(pool)
                    || *relay == NO_RELAY
                    || self.relays.contains_key(relay),
                "slot {slot} of pool {pool} leads to relay {relay}, which is missing"
            );
        }
    }
}

/// The policy of an address: the most specific prefix.
fn decision(policies: &BTreeMap<IpNetwork, Policy>, address: IpAddr) -> Option<Policy> {
    let matching = policies
        .iter()
        .filter(|(prefix, _)| prefix.contains(address));
    matching
        .max_by_key(|(prefix, _)| prefix.prefix())
        .map(|(_, policy)| *policy)
}

/// Few enough of everything that two states overlap in all ways.
const POOLS: u16 = 3;
const SLOTS: u32 = 5;
const RELAYS: u32 = 3;

fn prefixes() -> impl Strategy<Value = IpNetwork> {
    let four = (
        0..4_u8,
        prop_oneof![Just(0_u8), Just(8), Just(24), Just(31), Just(32)],
    )
        .prop_map(|(host, length)| {
            let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, host));
            let network = IpNetwork::new(address, length).unwrap();
            IpNetwork::new(network.network(), length).unwrap()
        });
    let six = prop_oneof![
        Just("2001:db8::/32"),
        Just("2001:db8:a::/64"),
        Just("2001:db8:a::1/128")
    ]
    .prop_map(|text| text.parse().unwrap());
    prop_oneof![3 => four, 1 => six]
}

fn relays() -> impl Strategy<Value = Relay> {
    (1..4_u8, 1..3_u8).prop_map(|(host, port)| Relay {
        addr4: [198, 51, 100, host],
        port_be: [0, port],
        path4: L2Path {
            ifindex: 2,
            ..L2Path::default()
        },
        ..Relay::default()
    })
}

fn states() -> impl Strategy<Value = EdgeState> {
    let relays = prop::collection::btree_map(0..RELAYS, relays(), 0..4);
    let failures = prop_oneof![Just(OnFailure::Open), Just(OnFailure::Closed)];
    let slots = prop::collection::vec(
        prop::option::of(any::<prop::sample::Index>()),
        SLOTS as usize,
    );
    let pools = prop::collection::btree_map(0..POOLS, (failures, slots), 0..4);
    // A lingering policy leans on its pool like a redirect; dropping leans on nothing.
    let actions = prop_oneof![
        Just(Action::Redirect),
        Just(Action::Linger),
        Just(Action::Drop)
    ];
    let policies = prop::collection::btree_map(
        prefixes(),
        (actions, any::<prop::sample::Index>(), 0..3_u32),
        0..6,
    );
    let customers = prop::collection::btree_set(prefixes(), 0..4);
    let bypasses = prop::collection::btree_set(prefixes(), 0..4);
    (relays, pools, policies, customers, bypasses, 0..3_u64).prop_map(
        |(relays, pools, policies, customers, bypasses, generation)| {
            let numbers: Vec<u32> = relays.keys().copied().collect();
            let pick = |index: Option<prop::sample::Index>| match index {
                Some(index) if !numbers.is_empty() => *index.get(&numbers),
                _ => NO_RELAY,
            };
            let pools: BTreeMap<u16, PoolState> = pools
                .into_iter()
                .map(|(number, (failure, slots))| {
                    let pool = Pool {
                        on_failure: failure as u8,
                        present: 1,
                        via: Via::Rewrite as u8,
                        reserved: [0; 5],
                    };
                    let slots = slots.into_iter().map(pick).collect();
                    (number, PoolState { pool, slots })
                })
                .collect();
            let pool_numbers: Vec<u16> = pools.keys().copied().collect();
            let policies = policies
                .into_iter()
                .map(|(prefix, (action, index, flag_id))| {
                    let action = if pool_numbers.is_empty() {
                        Action::Drop
                    } else {
                        action
                    };
                    let leans = action != Action::Drop;
                    let policy = Policy {
                        flag_id,
                        pool: if leans {
                            u8::try_from(*index.get(&pool_numbers)).unwrap()
                        } else {
                            0
                        },
                        action: action as u8,
                        prefix_len: prefix.prefix(),
                        ..Policy::default()
                    };
                    (prefix, policy)
                })
                .collect();
            EdgeState {
                customers,
                bypasses,
                policies: Arc::new(policies),
                pools,
                relays,
                generation,
            }
        },
    )
}

#[test]
fn a_few_of_very_many_are_written_one_by_one() {
    let apart = |count: u32, at_once, held| {
        let host = |number: u32| IpNetwork::from(IpAddr::from(Ipv4Addr::from(number)));
        let desired = EdgeState {
            policies: Arc::new(
                (0..count)
                    .map(|number| (host(number), Policy::default()))
                    .collect(),
            ),
            ..EdgeState::default()
        };
        [true, false].map(|whole| {
            let setting = Setting {
                at_once,
                held,
                whole,
            };
            gathered(&desired, &EdgeState::default(), setting).len() == count as usize
        }) == [true, true]
    };
    assert!(apart(64, false, 0) && !apart(65, false, 0));
    assert!(apart(125, false, 1000) && !apart(126, false, 1000));
    assert!(apart(1, true, 1000) && !apart(2, true, 1_000_000));
}

proptest! {
    #[test]
    fn applied_operations_make_the_desired_state(desired in states(), actual in states()) {
        let mut model = Model::of(&actual);
        for op in reconcile(&desired, &actual) {
            model.apply(&op);
        }
        prop_assert_eq!(&model.state(), &desired);
        prop_assert_eq!(reconcile(&desired, &model.state()), vec![]);
    }

    #[test]
    fn a_crash_leaves_nothing_hanging(desired in states(), actual in states()) {
        let mut model = Model::of(&actual);
        model.assert_nothing_hangs();
        for op in reconcile(&desired, &actual) {
            model.apply(&op);
            model.assert_nothing_hangs();
        }
    }

    #[test]
    fn gathered_changes_are_one_and_leave_nothing_hanging(
        desired in states(), actual in states(), whole in any::<bool>()
    ) {
        let mut model = Model::of(&actual);
        let setting = Setting { at_once: true, held: actual.policies.len(), whole };
        let ops = gathered(&desired, &actual, setting);
        let of_policies = |op: &&MapOp| {
            use MapOp::{ChangePolicies, LoadPolicies, PutPolicy, RemovePolicy};
            matches!(op, PutPolicy(..) | RemovePolicy(_) | ChangePolicies(_) | LoadPolicies(_))
        };
        prop_assert!(ops.iter().filter(of_policies).count() <= 1);
        for op in ops {
            model.apply(&op);
            model.assert_nothing_hangs();
        }
        prop_assert_eq!(model.state(), desired);
    }

    #[test]
    fn a_crash_is_recovered_from(desired in states(), actual in states(), cut in any::<prop::sample::Index>()) {
        let mut model = Model::of(&actual);
        let ops = reconcile(&desired, &actual);
        for op in ops.iter().take(cut.index(ops.len() + 1)) {
            model.apply(op);
        }
        for op in reconcile(&desired, &model.state()) {
            model.apply(&op);
        }
        prop_assert_eq!(model.state(), desired);
    }

    #[test]
    fn no_source_meets_a_policy_of_neither_state(desired in states(), actual in states()) {
        let sources: Vec<IpAddr> =
            ["192.0.2.0", "192.0.2.1", "192.0.2.3", "192.0.2.200", "198.51.100.1", "2001:db8:a::1", "2001:db8::1"]
                .into_iter().map(|text| text.parse().unwrap()).collect();
        let mut model = Model::of(&actual);
        for op in reconcile(&desired, &actual) {
            model.apply(&op);
            for source in &sources {
                let now = decision(&model.policies, *source);
                let before = decision(&actual.policies, *source);
                let after = decision(&desired.policies, *source);
                prop_assert!(now == before || now == after, "{source} after {op:?}");
            }
        }
    }

    #[test]
    fn the_generation_comes_last(desired in states(), actual in states()) {
        let ops = reconcile(&desired, &actual);
        let at = ops.iter().position(|op| matches!(op, MapOp::SetGeneration(_)));
        prop_assert!(at.is_none_or(|at| at + 1 == ops.len()));
    }
}
