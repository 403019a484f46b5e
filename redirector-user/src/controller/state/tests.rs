use std::path::Path;

use jiff::SignedDuration;
use redirector_common::abi::{NO_RELAY, SLOTS_PER_POOL, Via};

use super::*;
use crate::{
    policy::dial::{Action, Proposal},
    reconcile::PoolState,
};

/// A configuration of one pool with these relays, in this order.
fn config(relays: &[(&str, &str)]) -> Config {
    let relays = relays.iter().map(|(name, address)| {
        format!("[[pool.relay]]\nname = \"{name}\"\naddress = [\"{address}\"]\nport = 2525\n")
    });
    let text = format!(
        "operator = \"o\"\nhelp_url = \"https://o\"\ncustomer_prefixes = [\"192.0.2.0/24\"]\n[[pool]]\nname = \
         \"default\"\non_failure = \"closed\"\n{}",
        relays.collect::<String>()
    );
    Config::parse(Path::new("o.toml"), &text).unwrap()
}

fn adopt(config: &Config, held: EdgeState) -> State {
    let loaded = Loaded {
        head: None,
        generation: Generation(1),
        flags: Ledger::default(),
        drained: BTreeMap::new(),
        submission: users::Standing::default(),
        conduct: BTreeMap::new(),
        frozen: None,
        bypasses: Bypasses::default(),
        exemptions: Exemptions::default(),
    };
    State::adopt(config, loaded, held, &BTreeMap::new(), BTreeSet::new())
}

fn numbers(state: &State) -> Vec<(&str, u32)> {
    state
        .relays
        .iter()
        .map(|(name, relay)| (name.as_str(), relay.number))
        .collect()
}

/// What the kernel holds after a controller with this state: the first relay has every slot.
fn held(state: &State) -> EdgeState {
    let relays: BTreeMap<_, _> = state
        .relays
        .values()
        .map(|relay| (relay.number, relay.for_kernel(&state.uplinks)))
        .collect();
    let first = relays.keys().next().copied().unwrap_or(NO_RELAY);
    let pool = abi::Pool {
        on_failure: 2,
        present: 1,
        via: Via::Rewrite as u8,
        reserved: [0; 5],
    };
    let slots = vec![first; SLOTS_PER_POOL as usize];
    EdgeState {
        relays,
        pools: BTreeMap::from([(0, PoolState { pool, slots })]),
        ..EdgeState::default()
    }
}

fn flag(id: u32, replaces: Option<u32>) -> Flag {
    Flag {
        id: FlagId(id),
        terms: Proposal {
            prefix: "192.0.2.10/32".parse().unwrap(),
            action: Action::Drop,
            reason: "r".into(),
            actor: "a".into(),
            ticket: None,
            quiet: false,
            grace_s: 0,
            created_at: Timestamp::UNIX_EPOCH.into(),
            expires_at: (Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::from(id))).into(),
            cause: None,
            origin: None,
            for_ever: None,
            despite_exemption: None,
        },
        generation: Generation(u64::from(id)),
        tenant: None,
        replaces: replaces.map(FlagId),
        activated_at: None,
        ended: None,
    }
}

#[test]
fn a_listener_keeps_its_number_however_the_configuration_is_reordered() {
    let (a, b, c) = (
        ("a", "198.51.100.1"),
        ("b", "198.51.100.2"),
        ("c", "198.51.100.3"),
    );
    let first = adopt(&config(&[a, b]), EdgeState::default());
    assert_eq!(numbers(&first), [("a", 0), ("b", 1)]);
    let reordered = adopt(&config(&[c, b, a]), held(&first));
    assert_eq!(numbers(&reordered), [("a", 0), ("b", 1), ("c", 2)]);
    // A number whose listener has gone is not given to another while there are free ones: flows still name it.
    let without = adopt(&config(&[b, c]), held(&first));
    assert_eq!(numbers(&without), [("b", 1), ("c", 2)]);
    let moved = adopt(&config(&[("a", "198.51.100.9"), b]), held(&first));
    assert_eq!(numbers(&moved), [("a", 2), ("b", 1)]);
}

#[test]
fn only_a_relay_that_stood_in_a_slot_is_adopted() {
    let config = config(&[("a", "198.51.100.1"), ("b", "198.51.100.2")]);
    let mut restarted = adopt(&config, held(&adopt(&config, EdgeState::default())));
    let adopted: Vec<_> = restarted
        .relays
        .values()
        .map(|relay| relay.adopted_until.is_some())
        .collect();
    assert_eq!(adopted, [true, false]);
    let standing = restarted.desired(&config, Timestamp::now(), 0).standing;
    assert_eq!(standing.in_rotation, BTreeSet::from([String::from("a")]));
}

#[test]
fn what_a_flag_replaced_goes_when_it_is_in_force_or_lifted() {
    let config = config(&[("a", "198.51.100.1")]);
    let mut state = adopt(&config, EdgeState::default());
    let chain = [
        flag(1, None),
        flag(2, Some(1)),
        flag(3, Some(2)),
        flag(9, None),
    ];
    let all: BTreeMap<_, _> = chain.map(|flag| (flag.id, flag)).into();
    let left = |state: &State| -> Vec<u32> { state.flags.values().map(|flag| flag.id.0).collect() };
    state.flags = all.clone().into_values().collect();
    state.mark_active(&[FlagId(3)], Timestamp::UNIX_EPOCH);
    assert_eq!(left(&state), [3, 9]);
    state.flags = all.into_values().collect();
    state.forget(FlagId(3));
    assert_eq!(left(&state), [9]);
}

#[test]
fn a_flag_is_due_at_its_very_second() {
    let mut state = adopt(&config(&[("a", "198.51.100.1")]), EdgeState::default());
    state.flags = [flag(5, None), flag(9, None)].into_iter().collect();
    let at = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
    assert_eq!(state.flags.next_expiry(), Some(at(5)));
    let due = |second| state.flags.due(at(second)).collect::<Vec<_>>();
    assert_eq!(due(4), []);
    assert_eq!(due(5), [FlagId(5)]);
    assert_eq!(due(10), [FlagId(5), FlagId(9)]);
}

#[test]
fn where_a_relay_stands_follows_from_the_way_to_it() {
    let config = config(&[("a", "198.51.100.1")]);
    let mut state = adopt(&config, EdgeState::default());
    let path = L2Path {
        ifindex: 7,
        ..L2Path::default()
    };
    let to = "198.51.100.1".parse().unwrap();
    state.relays.get_mut("a").unwrap().paths.insert(to, path);
    let is_beyond = |state: &mut State| {
        let edge = state.desired(&config, Timestamp::now(), 0).edge;
        edge.relays[&0].is_beyond_uplink()
    };
    assert!(!is_beyond(&mut state));
    state.uplinks = [6].into();
    assert!(!is_beyond(&mut state));
    state.uplinks = [6, 7].into();
    assert!(is_beyond(&mut state));
    // What comes back to a steered connection has the MX's address.
    state.relays.get_mut("a").unwrap().via = Via::Steer;
    assert!(!is_beyond(&mut state));
}
