//! The flow table: only what has ended goes, and whoever still has connections is named.

use aya::maps::{HashMap, Map, MapData};
use redirector_common::{
    abi::{Flow, FlowKey, map},
    addr::Addr,
    flow::{SEEN_ACK, SEEN_FIN, SEEN_RST, SEEN_SYN},
};
use redirector_user::edge::monotonic_s;

use crate::bench::{PinDir, address};

type Flows = HashMap<MapData, [u8; FlowKey::SIZE], [u8; Flow::SIZE]>;

fn table(pins: &PinDir) -> Flows {
    let map = MapData::from_pin(pins.maps().join(map::FLOWS)).unwrap();
    Map::HashMap(map).try_into().unwrap()
}

fn key(customer: &str, port: u16) -> FlowKey {
    let customer = Addr::from(address(customer));
    let relay = match customer {
        Addr::V4(_) => address("198.51.100.2"),
        Addr::V6(_) => address("2001:db8:2::2"),
    };
    FlowKey::new(
        customer,
        port.to_be_bytes(),
        relay.into(),
        2525_u16.to_be_bytes(),
    )
}

/// An entry that was last seen `age_s` ago.
fn flow(from_customer: u8, from_relay: u8, age_s: u32) -> Flow {
    let last_seen_s = monotonic_s()
        .checked_sub(age_s)
        .expect("the machine is up for an hour");
    Flow {
        from_customer,
        from_relay,
        last_seen_s,
        ..Flow::default()
    }
}

const OPEN: (u8, u8) = (SEEN_SYN | SEEN_ACK, SEEN_SYN | SEEN_ACK);

#[test]
fn a_sweep_removes_what_has_ended_and_nothing_else() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let mut table = table(&pins);
    let closed = (OPEN.0 | SEEN_FIN, OPEN.1 | SEEN_FIN);
    let cases = [
        (
            "a handshake",
            key("192.0.2.10", 1),
            flow(SEEN_SYN, 0, 20),
            true,
        ),
        (
            "a SYN without an answer",
            key("192.0.2.10", 2),
            flow(SEEN_SYN, 0, 40),
            false,
        ),
        (
            "an idle connection",
            key("2001:db8:a:a::10", 3),
            flow(OPEN.0, OPEN.1, 60),
            true,
        ),
        (
            "a closing one",
            key("192.0.2.20", 4),
            flow(closed.0, closed.1, 30),
            true,
        ),
        (
            "a closed one",
            key("192.0.2.30", 5),
            flow(closed.0, closed.1, 70),
            false,
        ),
        (
            "a reset one",
            key("192.0.2.40", 6),
            flow(OPEN.0, OPEN.1 | SEEN_RST, 20),
            false,
        ),
    ];
    for (_, key, flow, _) in &cases {
        table.insert(key.to_octets(), flow.to_octets(), 0).unwrap();
    }
    assert_eq!(edge.flow_count().unwrap(), cases.len());
    let mut all = edge.flows().unwrap();
    all.sort_by_key(|(key, _)| key.shown_port_be);
    assert_eq!(all, cases.map(|(_, key, flow, _)| (key, flow)));

    let report = edge.sweep().unwrap();
    assert_eq!(
        (report.live, report.removed, report.pressure),
        (3, 3, false)
    );
    let live = ["192.0.2.10", "192.0.2.20", "2001:db8:a:a::10"].map(address);
    assert_eq!(report.customers, live.into());
    for (what, key, _, lives) in &cases {
        assert_eq!(table.get(&key.to_octets(), 0).is_ok(), *lives, "{what}");
    }
}

#[test]
fn pressure_begins_at_four_fifths() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let mut table = table(&pins);
    let mut fill = |ports: std::ops::Range<u16>| {
        for port in ports {
            let entry = flow(OPEN.0, OPEN.1, 0).to_octets();
            table
                .insert(key("192.0.2.10", port).to_octets(), entry, 0)
                .unwrap();
        }
    };
    fill(0..819);
    assert!(!edge.sweep().unwrap().pressure, "819 of 1024");
    fill(819..820);
    assert!(edge.sweep().unwrap().pressure, "820 of 1024");
}
