//! Sets of policies: loaded beside what is in force, switched at one instant, cleaned up after a crash.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use ipnetwork::IpNetwork;
use redirector_common::{
    abi::{Action, Policy, Role, map},
    cases::{World, packet::Packet},
};
use redirector_user::{
    edge::{Blame, Edge, EdgeError, PROGRAM},
    reconcile::MapOp,
};

use crate::{
    bench::PinDir,
    state::{policy, sample},
};

type Policies = BTreeMap<IpNetwork, Policy>;

/// The program over the pinned maps of an edge.
struct Program(Ebpf);

impl Program {
    fn over(pins: &PinDir) -> Self {
        let mut loader = EbpfLoader::new();
        loader.override_global("ROLE", &(Role::Customer as u8), true);
        for name in map::ALL {
            loader.map_pin_path(name, pins.maps().join(name));
        }
        let mut object = loader.load(PROGRAM).unwrap();
        let program: &mut Xdp = object
            .program_mut("outgate_xdp")
            .unwrap()
            .try_into()
            .unwrap();
        program.load().unwrap();
        Self(object)
    }

    /// Whether a SYN to port 25 passes.
    fn passes(&self, frame: &[u8]) -> bool {
        let program: &Xdp = self.0.program("outgate_xdp").unwrap().try_into().unwrap();
        let mut out = [0; 4096];
        let run = program.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        });
        match run.unwrap().return_value {
            XDP_DROP => false,
            XDP_PASS => true,
            other => panic!("verdict {other}"),
        }
    }
}

fn syn(source: &str) -> Vec<u8> {
    let from: IpAddr = source.parse().unwrap();
    let world = if from.is_ipv4() {
        World::v4(0)
    } else {
        World::v6(0)
    };
    Packet {
        from,
        ..world.to_mx("S")
    }
    .octets()
}

fn set(policies: &[(&str, Action)]) -> Policies {
    let entry = |(prefix, action): &(&str, Action)| {
        let prefix: IpNetwork = prefix.parse().unwrap();
        (prefix, policy(*action, 1, prefix.prefix()))
    };
    policies.iter().map(entry).collect()
}

/// Hosts and prefixes of both families that no probe is one of.
fn crowd(each: u16) -> impl Iterator<Item = (IpNetwork, Policy)> {
    (0..each).flat_map(|number| {
        let [high, low] = number.to_be_bytes();
        let host4 = Ipv4Addr::new(10, 1, high, low);
        let wide4 = Ipv4Addr::new(11, high, low, 0);
        let host6 = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number);
        let wide6 = Ipv6Addr::new(0x2001, 0xdb8, 2, number, 0, 0, 0, 0);
        let prefixes = [
            IpNetwork::new(host4.into(), 32),
            IpNetwork::new(wide4.into(), 24),
            IpNetwork::new(host6.into(), 128),
            IpNetwork::new(wide6.into(), 64),
        ];
        prefixes.map(|prefix| {
            let prefix = prefix.unwrap();
            (prefix, policy(Action::Observe, 2, prefix.prefix()))
        })
    })
}

#[test]
fn a_judgement_meets_the_old_set_or_the_new_one_and_never_both() {
    // Each probe is judged otherwise by the other set, by a table of its own kind.
    let probes = [
        "192.0.2.10",
        "192.0.2.70",
        "2001:db8:a:a::1",
        "2001:db8:a:b::1",
    ];
    let mut one = set(&[
        ("192.0.2.10/32", Action::Drop),
        ("192.0.2.64/26", Action::Pass),
        ("2001:db8:a:a::1/128", Action::Drop),
        // Host from one set and prefix from the other would drop this one's traffic.
        ("192.0.2.128/25", Action::Pass),
    ]);
    let mut other = set(&[
        ("192.0.2.10/32", Action::Pass),
        ("192.0.2.64/26", Action::Drop),
        ("2001:db8:a:b::/64", Action::Drop),
        ("192.0.2.128/25", Action::Drop),
        ("192.0.2.200/32", Action::Pass),
    ]);
    let passes_in_one = [false, true, false, true];
    let always = syn("192.0.2.200");
    one.extend(crowd(5_000));
    other.extend(crowd(5_000));

    let pins = PinDir::new();
    let mut config = pins.config();
    config.policies_max = 32_768;
    let mut edge = Edge::open(config).unwrap();
    edge.load_policies(&one).unwrap();
    let program = Program::over(&pins);
    let frames = probes.map(syn);
    let done = AtomicBool::new(false);
    let switches = thread::scope(|scope| {
        let judge = scope.spawn(|| {
            let mut switches = 0;
            let mut in_one = true;
            while !done.load(Ordering::Relaxed) {
                for (frame, passes) in frames.iter().zip(passes_in_one) {
                    let now_in_one = program.passes(frame) == passes;
                    switches += usize::from(now_in_one != in_one);
                    in_one = now_in_one;
                    assert!(program.passes(&always), "half of each set");
                }
            }
            switches
        });
        for round in 0..ROUNDS {
            let next = if round % 2 == 0 { &other } else { &one };
            edge.load_policies(next).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        judge.join().unwrap()
    });
    // A table that was ahead of another would have shown as a switch there and back.
    assert!(switches <= ROUNDS, "{switches} switches in {ROUNDS} loads");
    assert!(switches > 0, "no switch was seen");
    let last = frames.iter().zip(passes_in_one);
    for (frame, passes) in last {
        assert_eq!(
            program.passes(frame),
            passes,
            "the first set is in force again"
        );
    }
    assert_eq!(edge.actual().unwrap().policies.as_ref(), &one);
}

#[test]
fn many_changes_are_one_and_single_ones_are_written_in_place() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let sets = || -> Vec<String> {
        let dirs = fs::read_dir(pins.maps().join("sets")).unwrap();
        dirs.map(|dir| dir.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    edge.load_policies(&sample(2).policies).unwrap();
    assert_eq!(sets(), ["1"]);
    let prefix: IpNetwork = "192.0.2.20/32".parse().unwrap();
    edge.apply(&[MapOp::PutPolicy(prefix, policy(Action::Drop, 20, 32))])
        .unwrap();
    assert_eq!(sets(), ["1"]);
    let changes = BTreeMap::from([
        (prefix, None),
        (
            "192.0.2.21/32".parse().unwrap(),
            Some(policy(Action::Drop, 21, 32)),
        ),
    ]);
    edge.apply(&[MapOp::ChangePolicies(changes)]).unwrap();
    assert_eq!(sets(), ["2"], "the old set is gone");
    let mut expected = sample(2).policies;
    Arc::make_mut(&mut expected).insert(
        "192.0.2.21/32".parse().unwrap(),
        policy(Action::Drop, 21, 32),
    );
    assert_eq!(edge.actual().unwrap().policies, expected);
    edge.load_policies(&Policies::new()).unwrap();
    assert_eq!(edge.actual().unwrap().policies.as_ref(), &Policies::new());
    assert!(Program::over(&pins).passes(&syn("192.0.2.21")));
    edge.load_policies(&expected).unwrap();
    assert!(!Program::over(&pins).passes(&syn("192.0.2.21")));
}

#[test]
fn what_an_interrupted_load_has_left_is_taken_away() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    edge.load_policies(&sample(2).policies).unwrap();
    drop(edge);
    // As after a kill before the word changed: half a set is pinned under the next number.
    let half = pins.maps().join("sets/2");
    fs::create_dir(&half).unwrap();
    let table: aya::maps::HashMap<_, [u8; 4], [u8; Policy::SIZE]> =
        aya::maps::HashMap::create(1024, BPF_F_NO_PREALLOC).unwrap();
    table.pin(half.join(map::HOSTS4)).unwrap();
    let edge = pins.open();
    assert!(!half.exists());
    assert_eq!(edge.actual().unwrap().policies, sample(2).policies);
}

#[test]
fn a_set_that_does_not_fit_leaves_the_old_one_in_force() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    edge.load_policies(&sample(2).policies).unwrap();
    let error = edge.load_policies(&crowd(2_000).collect()).unwrap_err();
    assert!(
        matches!(error, EdgeError::PoliciesFull { policies_max: 1024 }),
        "{error}"
    );
    assert_eq!(error.blame(), Blame::Operator);
    assert_eq!(edge.actual().unwrap().policies, sample(2).policies);
    edge.load_policies(&crowd(500).collect()).unwrap();
    assert_eq!(edge.actual().unwrap().policies.len(), 2_000);
}

#[test]
fn another_size_is_taken_at_the_next_start() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    edge.load_policies(&crowd(500).collect()).unwrap();
    drop(edge);
    let mut config = pins.config();
    config.policies_max = 4096;
    let mut edge = Edge::open(config).unwrap();
    assert_eq!(edge.actual().unwrap().policies.len(), 2_000);
    edge.load_policies(&crowd(2_000).collect()).unwrap();
    drop(edge);
    let error = Edge::open(pins.config()).unwrap_err();
    assert!(
        error.to_string().contains("edge.policies_max is 1024"),
        "{error}"
    );
}

#[test]
fn the_kernel_says_what_policies_and_flows_cost() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let empty = edge.memory().unwrap();
    edge.load_policies(&crowd(1_000).collect()).unwrap();
    let full = edge.memory().unwrap();
    for name in map::SETS {
        assert!(full[name] > empty[name], "{name}: {full:?}");
    }
    assert!(full[map::FLOWS] >= 1024 * 104, "{full:?}");
}

const ROUNDS: usize = 8;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const BPF_F_NO_PREALLOC: u32 = 1;
