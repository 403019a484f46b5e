//! What `why` says is what the kernel does, and saying it changes nothing.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use aya::maps::{HashMap, MapData};
use redirector_common::{
    abi::{Action, Event, EventKind, Flow, FlowKey, NO_RELAY, OnFailure, Role, Via, map},
    addr::Addr,
};
use redirector_user::{
    edge::{
        AttachMode, Edge, EdgeConfig, EdgeError, Entrance, EventReader, Judgement, Unjudgeable,
    },
    reconcile::EdgeState,
};

use crate::{
    bench::{Elsewhere, PinDir, address, isolated, veth},
    state::{enforce, policy, sample},
};

/// A customer behind `cust0` (`192.0.2.10`, `2001:db8:a:a::10`), and a relay side, both attached.
fn edge(pins: &PinDir) -> (Elsewhere, Edge) {
    edge_with(pins.config())
}

fn edge_with(config: EdgeConfig) -> (Elsewhere, Edge) {
    let customer = Elsewhere::new();
    customer.wire(
        "cust0",
        &["192.0.2.1/24", "2001:db8:a:a::1/64"],
        &["192.0.2.10/24", "2001:db8:a:a::10/64"],
    );
    customer.run(|| {
        crate::bench::ip("route add default via 192.0.2.1");
        crate::bench::ip("route add default via 2001:db8:a:a::1");
    });
    veth("relay0", "far0");
    let mut edge = Edge::open(config).unwrap();
    edge.attach("cust0", Role::Customer, AttachMode::Native)
        .unwrap();
    let relay_side = edge
        .attach("relay0", Role::Relay, AttachMode::Native)
        .unwrap();
    enforce(&mut edge, &sample(relay_side.ifindex));
    edge.heartbeat().unwrap();
    (customer, edge)
}

/// All that a judgement must leave alone.
fn snapshot(edge: &Edge) -> (EdgeState, BTreeMap<&'static str, u64>, Vec<(FlowKey, Flow)>) {
    (
        edge.actual().unwrap(),
        edge.counters().unwrap(),
        edge.flows().unwrap(),
    )
}

/// What the program says of a SYN to port 25 from a customer.
fn judge(edge: &mut Edge, source: &str, destination: &str) -> Result<Judgement, EdgeError> {
    let ingress = edge.entrance(&Entrance::Role(Role::Customer))?;
    assert_eq!(ingress.interfaces, ["cust0"]);
    assert_eq!(ingress.other_build, [""; 0], "it is the very build");
    edge.judge(address(source), address(destination), 25, &ingress)
}

#[track_caller]
fn check(edge: &mut Edge, source: &str, destination: &str, expected: (&str, &str), rule: &str) {
    let before = snapshot(edge);
    let judged = judge(edge, source, destination).unwrap();
    assert_eq!(snapshot(edge), before, "a judgement changes nothing");
    assert_eq!(
        (judged.verdict.as_str(), judged.counter.as_str()),
        expected,
        "{judged:?}"
    );
    let found = judged
        .rule
        .map(|prefix| prefix.to_string())
        .unwrap_or_default();
    assert_eq!(found, rule, "{judged:?}");
}

#[test]
fn each_action_is_judged_as_it_is_meant() {
    isolated(|| {
        let pins = PinDir::new();
        let (_customer, mut edge) = edge(&pins);
        let (mx4, mx6) = ("203.0.113.10", "2001:db8:b:1::10");
        check(
            &mut edge,
            "192.0.2.10",
            mx4,
            ("redirect", "to_relay"),
            "192.0.2.10/32",
        );
        check(&mut edge, "192.0.2.20", mx4, ("pass", "unflagged"), "");
        check(
            &mut edge,
            "192.0.2.64",
            mx4,
            ("drop", "dropped"),
            "192.0.2.64/26",
        );
        check(
            &mut edge,
            "192.0.2.65",
            mx4,
            ("pass", "passed"),
            "192.0.2.65/32",
        );
        check(
            &mut edge,
            "2001:db8:a:a::99",
            mx6,
            ("redirect", "to_relay"),
            "2001:db8:a:a::/64",
        );
        check(
            &mut edge,
            "2001:db8:a:b::20",
            mx6,
            ("tx", "reset"),
            "2001:db8:a:b::20/128",
        );
        check(
            &mut edge,
            "2001:db8:a:b::21",
            mx6,
            ("pass", "unflagged"),
            "",
        );
        judge(&mut edge, "192.0.2.10", mx6).unwrap_err();
    });
}

#[test]
fn a_redirect_names_flag_action_and_relay() {
    isolated(|| {
        let pins = PinDir::new();
        let (_customer, mut edge) = edge(&pins);
        let judged = judge(&mut edge, "192.0.2.10", "203.0.113.10").unwrap();
        let expected = Judgement {
            verdict: "redirect".to_owned(),
            counter: "to_relay".to_owned(),
            rule: Some("192.0.2.10/32".parse().unwrap()),
            flag_id: Some(7),
            action: Some("redirect".to_owned()),
            relay: Some((1, address("198.51.100.2"))),
            counters: ["flow_opened", "to_relay"].map(str::to_owned).to_vec(),
            leaves_by: Some("relay0".to_owned()),
            changed: true,
        };
        assert_eq!(judged, expected);
        let judged = judge(&mut edge, "2001:db8:a:a::10", "2001:db8:b:1::10").unwrap();
        assert_eq!(judged.relay, Some((1, address("2001:db8:2::2"))));
    });
}

#[test]
fn failure_policies_are_judged_too() {
    isolated(|| {
        let pins = PinDir::new();
        let (_customer, mut edge) = edge(&pins);
        let mut state = edge.actual().unwrap();
        state.pools.get_mut(&0).unwrap().slots.fill(NO_RELAY);
        enforce(&mut edge, &state);
        let mx = "203.0.113.10";
        check(
            &mut edge,
            "192.0.2.10",
            mx,
            ("drop", "failed_closed"),
            "192.0.2.10/32",
        );
        state.pools.get_mut(&0).unwrap().pool.on_failure = OnFailure::Open as u8;
        enforce(&mut edge, &state);
        check(
            &mut edge,
            "192.0.2.10",
            mx,
            ("pass", "failed_open"),
            "192.0.2.10/32",
        );
    });
}

#[test]
fn the_kernel_does_what_was_judged() {
    isolated(|| {
        let pins = PinDir::new();
        let (customer, mut edge) = edge(&pins);
        let mut events = edge.events().unwrap();
        for (source, mx) in [
            ("192.0.2.10", "203.0.113.10"),
            ("2001:db8:a:a::10", "2001:db8:b:1::10"),
        ] {
            let judged = judge(&mut edge, source, mx).unwrap();
            let before = edge.counters().unwrap()[judged.counter.as_str()];
            assert!(events.next_event().is_none(), "a judgement tells nobody");
            syn(&customer, address(mx));
            let event = awaited(&mut events);
            assert_eq!(event.kind, EventKind::FlowOpened as u8);
            assert_eq!(event.customer, Addr::from(address(source)).mapped());
            assert_eq!(event.original_dst, Addr::from(address(mx)).mapped());
            assert_eq!(Some(event.flag_id), judged.flag_id);
            let (number, listener) = judged.relay.unwrap();
            assert_eq!(event.relay, number);
            assert!(edge.counters().unwrap()[judged.counter.as_str()] > before);
            let flows = edge.flows().unwrap();
            assert!(flows.iter().any(|(key, flow)| {
                key.relay == Addr::from(listener).mapped()
                    && flow.original_dst == Addr::from(address(mx)).mapped()
            }));
        }
    });
}

#[test]
fn a_steered_connection_is_judged_and_stands_under_its_own_ends() {
    isolated(|| {
        let pins = PinDir::new();
        let (customer, mut edge) = edge(&pins);
        let mut state = edge.actual().unwrap();
        state.pools.get_mut(&0).unwrap().pool.via = Via::Steer as u8;
        enforce(&mut edge, &state);
        for (source, mx) in [
            ("192.0.2.10", "203.0.113.10"),
            ("2001:db8:a:a::10", "2001:db8:b:1::10"),
        ] {
            check(
                &mut edge,
                source,
                mx,
                ("redirect", "to_relay"),
                if mx.contains(':') {
                    "2001:db8:a:a::/64"
                } else {
                    "192.0.2.10/32"
                },
            );
            let before = edge.counters().unwrap()["to_relay"];
            syn(&customer, address(mx));
            assert!(edge.counters().unwrap()["to_relay"] > before);
            let (source, mx) = (Addr::from(address(source)), Addr::from(address(mx)));
            let flows = edge.flows().unwrap();
            let standing = flows.iter().any(|(key, flow)| {
                *key == FlowKey::new(source, flow.customer_port_be, mx, 25_u16.to_be_bytes())
                    && flow.original_dst == mx.mapped()
                    && flow.relay == 1
            });
            assert!(standing, "{flows:?}");
        }
    });
}

#[test]
fn a_lingering_policy_lets_new_connections_go() {
    isolated(|| {
        let pins = PinDir::new();
        let (_customer, mut edge) = edge(&pins);
        let mut state = edge.actual().unwrap();
        Arc::make_mut(&mut state.policies).insert(
            "192.0.2.10/32".parse().unwrap(),
            policy(Action::Linger, 7, 32),
        );
        enforce(&mut edge, &state);
        let judged = judge(&mut edge, "192.0.2.10", "203.0.113.10").unwrap();
        assert_eq!((judged.verdict.as_str(), judged.relay), ("pass", None));
        assert_eq!(judged.action.as_deref(), Some("linger"));
    });
}

#[test]
fn a_full_table_is_judged_as_full() {
    isolated(|| {
        let pins = PinDir::new();
        let mut config = pins.config();
        config.flows_max = 4;
        let (_customer, mut edge) = edge_with(config);
        let flows = MapData::from_pin(pins.maps().join(map::FLOWS)).unwrap();
        let mut flows: HashMap<_, [u8; FlowKey::SIZE], [u8; Flow::SIZE]> =
            aya::maps::Map::HashMap(flows).try_into().unwrap();
        let (source, mx) = ("192.0.2.10", "203.0.113.10");
        for number in 0..4 {
            let customer = Addr::from(address("192.0.2.99"));
            let key = FlowKey::new(customer, [1, number], customer, [0, 25]);
            flows
                .insert(key.to_octets(), Flow::default().to_octets(), 0)
                .unwrap();
        }
        let full = ("drop", "failed_closed");
        check(&mut edge, source, mx, full, "192.0.2.10/32");
        let judged = judge(&mut edge, source, mx).unwrap();
        assert!(judged.counters.contains(&"flow_table_full".to_owned()));
        // Flows that have ended make room; a sweep takes them out.
        edge.sweep().unwrap();
        check(
            &mut edge,
            source,
            mx,
            ("redirect", "to_relay"),
            "192.0.2.10/32",
        );
    });
}

#[test]
fn where_a_frame_comes_in_decides() {
    isolated(|| {
        let pins = PinDir::new();
        let (_customer, mut edge) = edge(&pins);
        let ends = (address("192.0.2.10"), address("203.0.113.10"));
        for (entrance, verdict) in [
            (Entrance::Interface("cust0".to_owned()), "redirect"),
            (Entrance::Role(Role::Customer), "redirect"),
            // A relay has no right to the customer's address.
            (Entrance::Interface("relay0".to_owned()), "drop"),
            (Entrance::Role(Role::Uplink), "pass"),
        ] {
            let ingress = edge.entrance(&entrance).unwrap();
            let judged = edge.judge(ends.0, ends.1, 25, &ingress).unwrap();
            assert_eq!(judged.verdict, verdict, "{entrance:?}: {judged:?}");
        }
        let uplink = edge.entrance(&Entrance::Role(Role::Uplink)).unwrap();
        assert!(uplink.interfaces.is_empty());
        let nowhere = edge.entrance(&Entrance::Interface("lo".to_owned()));
        assert!(matches!(nowhere, Err(EdgeError::NotAttached { .. })));

        let ingress = edge.entrance(&Entrance::Role(Role::Customer)).unwrap();
        let other = edge.judge(ends.0, ends.1, 587, &ingress).unwrap();
        assert_eq!(
            (other.verdict.as_str(), other.counter.as_str()),
            ("pass", "none")
        );
        for (octets, expected) in [
            (13, Some(Unjudgeable::TooShort)),
            (14, None),
            (3520, None),
            (3521, Some(Unjudgeable::TooLong)),
        ] {
            let judged = edge.judge_frame(&vec![0; octets], &ingress).unwrap();
            assert_eq!(judged.err(), expected, "{octets} octets");
        }
    });
}

/// Starts a connection that nobody answers.
pub(crate) fn syn(customer: &Elsewhere, mx: IpAddr) {
    let mx = SocketAddr::new(mx, 25);
    customer.run(move || {
        TcpStream::connect_timeout(&mx, Duration::from_millis(100)).unwrap_err();
    });
}

fn awaited(events: &mut EventReader) -> Event {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(event) = events.next_event() {
            return event;
        }
        assert!(Instant::now() < deadline, "no event within five seconds");
        std::thread::sleep(Duration::from_millis(5));
    }
}
