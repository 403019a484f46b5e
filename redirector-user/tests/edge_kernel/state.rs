//! Maps: written, read back, compared before use.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

use aya::maps::{Array, MapData};
use redirector_common::abi::{
    Action, L2Path, NO_RELAY, OnFailure, Policy, Pool, Relay, SLOTS_PER_POOL, Tunnel, Via, map,
};
use redirector_user::{
    edge::{Blame, Edge, EdgeError},
    reconcile::{EdgeState, MapOp, PoolState, reconcile},
};

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::{
    bench::PinDir,
    listeners::{listener, listeners},
};

pub(crate) fn relay(host: u8, ifindex: u32) -> Relay {
    Relay {
        addr4: [198, 51, 100, host],
        addr6: [0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, host],
        port_be: 2525_u16.to_be_bytes(),
        flags: 0,
        reserved: 0,
        path4: L2Path {
            ifindex,
            peer_mac: [2; 6],
            own_mac: [4; 6],
            tags: [[0; 4]; 2],
        },
        path6: L2Path {
            ifindex,
            peer_mac: [2; 6],
            own_mac: [4; 6],
            tags: [[0; 4]; 2],
        },
        tunnel: Tunnel::default(),
    }
}

pub(crate) fn policy(action: Action, flag_id: u32, prefix_len: u8) -> Policy {
    Policy {
        flag_id,
        action: action as u8,
        prefix_len,
        ..Policy::default()
    }
}

/// One customer redirected to relay 1, one exempt inside a dropped prefix; both families.
pub(crate) fn sample(ifindex: u32) -> EdgeState {
    let pool = Pool {
        on_failure: OnFailure::Closed as u8,
        present: 1,
        via: Via::Rewrite as u8,
        reserved: [0; 5],
    };
    let pool = PoolState {
        pool,
        slots: vec![1; SLOTS_PER_POOL as usize],
    };
    let policies = [
        ("192.0.2.10/32", policy(Action::Redirect, 7, 32)),
        ("192.0.2.64/26", policy(Action::Drop, 8, 26)),
        ("192.0.2.65/32", policy(Action::Pass, 9, 32)),
        ("2001:db8:a:a::/64", policy(Action::Redirect, 10, 64)),
        ("2001:db8:a:b::20/128", policy(Action::Reset, 11, 128)),
    ];
    EdgeState {
        customers: ["192.0.2.0/24", "2001:db8:a::/48"]
            .map(|text| text.parse().unwrap())
            .into(),
        bypasses: ["198.18.0.0/16", "198.18.0.0/15", "2001:db8:ffff::25/128"]
            .map(|text| text.parse().unwrap())
            .into(),
        policies: Arc::new(
            policies
                .map(|(prefix, policy)| (prefix.parse().unwrap(), policy))
                .into(),
        ),
        pools: [(0, pool)].into(),
        relays: [(1, relay(2, ifindex))].into(),
        generation: 5,
    }
}

/// Makes the maps hold a state, as the controller does.
#[track_caller]
pub(crate) fn enforce(edge: &mut Edge, desired: &EdgeState) {
    let ops = reconcile(desired, &edge.actual().unwrap());
    edge.apply(&ops).unwrap();
    assert_eq!(edge.actual().unwrap(), *desired);
}

#[test]
fn what_was_applied_is_read_back() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    assert_eq!(
        edge.actual().unwrap(),
        EdgeState::default(),
        "new maps hold nothing"
    );
    enforce(&mut edge, &sample(2));
    assert_eq!(
        listeners(&pins),
        [
            (listener("198.51.100.2", 2525), 1),
            (listener("2001:db8:2::2", 2525), 1)
        ]
    );

    let mut changed = sample(2);
    let policies = Arc::make_mut(&mut changed.policies);
    policies.remove(&"192.0.2.64/26".parse().unwrap());
    policies.insert("0.0.0.0/0".parse().unwrap(), policy(Action::Observe, 12, 0));
    changed
        .customers
        .remove(&"2001:db8:a::/48".parse().unwrap());
    changed.relays.insert(3, relay(3, 2));
    changed.bypasses.remove(&"198.18.0.0/16".parse().unwrap());
    changed.bypasses.insert("2001:db8:c::/48".parse().unwrap());
    let pool = changed.pools.get_mut(&0).unwrap();
    pool.slots[1..10].fill(3);
    pool.slots[0] = NO_RELAY;
    pool.pool.on_failure = OnFailure::Open as u8;
    changed.generation = 6;
    enforce(&mut edge, &changed);

    enforce(&mut edge, &EdgeState::default());
    assert_eq!(listeners(&pins), []);
}

#[test]
fn numbers_beyond_the_maps_are_refused() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let pool = Pool {
        present: 1,
        ..Pool::default()
    };
    for op in [
        MapOp::PutRelay(256, relay(2, 2)),
        MapOp::PutPool(16, pool),
        MapOp::PutSlot(16, 0, 1),
        MapOp::PutSlot(0, SLOTS_PER_POOL, 1),
    ] {
        let error = edge.apply(std::slice::from_ref(&op)).unwrap_err();
        assert_eq!(error.blame(), Blame::Outgate, "{op:?}: {error}");
    }
    assert_eq!(edge.actual().unwrap(), EdgeState::default());
}

#[test]
fn another_flow_table_size_is_refused_with_both_sizes() {
    let pins = PinDir::new();
    drop(pins.open());
    let mut config = pins.config();
    config.flows_max = 2048;
    let error = Edge::open(config).unwrap_err();
    assert_eq!(error.blame(), Blame::Operator);
    let message = error.to_string();
    for part in [
        "FLOWS",
        "1024 entries",
        "2048 entries",
        "edge.flows_max = 1024",
        "rm -r",
    ] {
        assert!(message.contains(part), "{part} in: {message}");
    }
    pins.open();
}

#[test]
fn a_map_of_another_shape_is_refused_before_it_is_read() {
    let pins = PinDir::new();
    drop(pins.open());
    let pin = pins.maps().join(map::SETTINGS);
    std::fs::remove_file(&pin).unwrap();
    // Larger values than ours: reading one would overrun the buffer.
    Array::<MapData, [u8; 96]>::create(1, 0)
        .unwrap()
        .pin(&pin)
        .unwrap();
    let error = Edge::open(pins.config()).unwrap_err();
    let EdgeError::ShapeDiffers {
        map: name,
        found,
        expected,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(name, map::SETTINGS);
    assert_eq!((found.value_octets, expected.value_octets), (96, 32));
    assert!(!error.to_string().contains("flows_max"), "{error}");
}

#[test]
fn another_radar_size_is_refused_with_the_way_back() {
    let pins = PinDir::new();
    drop(pins.open());
    let mut config = pins.config();
    config.radar_sources_max = 2048;
    let message = Edge::open(config).unwrap_err().to_string();
    for part in ["RADAR_", "radar.sources_max = 1024", "rm -r"] {
        assert!(message.contains(part), "{part} in: {message}");
    }
}

#[test]
fn a_directory_elsewhere_is_refused_with_the_mount_to_do() {
    let pins = PinDir::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut config = pins.config();
    config.pin_dir = elsewhere.path().join("outgate");
    let error = Edge::open(config).unwrap_err();
    assert!(
        error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"),
        "{error}"
    );
}

#[test]
fn a_lack_of_privilege_names_the_capabilities() {
    let pins = PinDir::new();
    // Capabilities belong to a thread; this one has none any more.
    let outcome = std::thread::scope(|scope| {
        let unprivileged = || {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            };
            set_capabilities(None, sets).unwrap();
            Edge::open(pins.config())
        };
        scope.spawn(unprivileged).join().unwrap()
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.blame(), Blame::Operator, "{error}");
    for capability in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"] {
        assert!(error.to_string().contains(capability), "{error}");
    }
}

#[test]
fn a_heartbeat_keeps_the_generation() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    edge.apply(&[MapOp::SetGeneration(9)]).unwrap();
    edge.heartbeat().unwrap();
    assert_eq!(edge.actual().unwrap().generation, 9);
}

#[test]
fn the_group_reaches_the_flow_table_and_nothing_else() {
    let pins = PinDir::new();
    drop(pins.open());
    let mode = |name: &str| {
        let metadata = std::fs::metadata(pins.maps().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("."), 0o750);
    assert_eq!(mode("links"), 0o700);
    for name in map::ALL {
        let expected = if name == map::FLOWS { 0o660 } else { 0o600 };
        assert_eq!(mode(name), expected, "{name}");
    }
}
