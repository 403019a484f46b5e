//! The maps of listeners, which follow from the relays.

use aya::maps::{Array, HashMap, MapData};
use redirector_common::{
    abi::{ANY_PORT, ListenerKey, Relay, map, port_bit},
    addr::Addr,
};
use redirector_user::reconcile::MapOp;

use crate::{
    bench::{PinDir, address},
    state::relay,
};

/// Every key of the map with its relay.
fn keys(pins: &PinDir) -> Vec<(ListenerKey, u32)> {
    let map = MapData::from_pin(pins.maps().join(map::LISTENERS)).unwrap();
    let map: HashMap<_, [u8; ListenerKey::SIZE], u32> =
        aya::maps::Map::HashMap(map).try_into().unwrap();
    let mut all: Vec<_> = map
        .iter()
        .map(|entry| entry.unwrap())
        .map(|(key, number)| (ListenerKey::from_octets(&key), number))
        .collect();
    all.sort_by_key(|(key, _)| key.to_octets());
    all
}

/// Every listener with its relay. Beside each one stands its address, and nothing else does.
#[track_caller]
pub(crate) fn listeners(pins: &PinDir) -> Vec<(ListenerKey, u32)> {
    let (addresses, listeners): (Vec<_>, Vec<_>) = keys(pins)
        .into_iter()
        .partition(|(key, _)| key.port_be == ANY_PORT);
    let alone = |(key, number): &(ListenerKey, u32)| {
        let port_be = ANY_PORT;
        (ListenerKey { port_be, ..*key }, *number)
    };
    let mut expected: Vec<_> = listeners.iter().map(alone).collect();
    expected.sort_by_key(|(key, _)| key.to_octets());
    assert_eq!(addresses, expected);
    listeners
}

pub(crate) fn listener(text: &str, port: u16) -> ListenerKey {
    ListenerKey::new(Addr::from(address(text)), port.to_be_bytes())
}

#[test]
fn listeners_follow_their_relays() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let only4 = |host| Relay {
        addr6: [0; 16],
        ..relay(host, 2)
    };
    edge.apply(&[MapOp::PutRelay(1, only4(2)), MapOp::PutRelay(2, only4(3))])
        .unwrap();

    // An address moves: its old listener is forgotten.
    edge.apply(&[MapOp::PutRelay(1, only4(4))]).unwrap();
    let expected = [
        (listener("198.51.100.3", 2525), 2),
        (listener("198.51.100.4", 2525), 1),
    ];
    assert_eq!(listeners(&pins), expected);

    // Two relays swap their addresses, one after the other.
    edge.apply(&[MapOp::PutRelay(1, only4(3)), MapOp::PutRelay(2, only4(4))])
        .unwrap();
    let expected = [
        (listener("198.51.100.3", 2525), 1),
        (listener("198.51.100.4", 2525), 2),
    ];
    assert_eq!(listeners(&pins), expected);

    // Only the port differs.
    let moved = Relay {
        port_be: 587_u16.to_be_bytes(),
        ..only4(3)
    };
    edge.apply(&[MapOp::PutRelay(1, moved), MapOp::RemoveRelay(2, only4(4))])
        .unwrap();
    assert_eq!(listeners(&pins), [(listener("198.51.100.3", 587), 1)]);
}

#[test]
fn listeners_are_mended_after_a_crash() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    edge.apply(&[MapOp::PutRelay(1, relay(2, 2))]).unwrap();
    let whole = keys(&pins);
    drop(edge);
    let map = MapData::from_pin(pins.maps().join(map::LISTENERS)).unwrap();
    let mut map: HashMap<_, [u8; ListenerKey::SIZE], u32> =
        aya::maps::Map::HashMap(map).try_into().unwrap();
    map.remove(&listener("198.51.100.2", 2525).to_octets())
        .unwrap();
    map.insert(listener("198.51.100.99", 2525).to_octets(), 1, 0)
        .unwrap();
    assert_ne!(keys(&pins), whole);

    pins.open();
    assert_eq!(keys(&pins), whole);
}

/// The ports whose bit is set.
fn uplink_ports(pins: &PinDir) -> Vec<u16> {
    let map = MapData::from_pin(pins.maps().join(map::UPLINK_PORTS)).unwrap();
    let map: Array<_, u64> = aya::maps::Map::Array(map).try_into().unwrap();
    let is_set = |port: &u16| {
        let (word, bit) = port_bit(port.to_be_bytes());
        map.get(&word, 0).unwrap() & bit != 0
    };
    (0..=u16::MAX).filter(is_set).collect()
}

#[test]
fn uplink_ports_follow_the_relays_beyond_the_uplink() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let beyond = |host, port: u16| Relay {
        port_be: port.to_be_bytes(),
        flags: Relay::BEYOND_UPLINK,
        ..relay(host, 2)
    };
    let first = [
        MapOp::PutRelay(1, beyond(2, 587)),
        MapOp::PutRelay(2, beyond(3, 587)),
        MapOp::PutRelay(3, beyond(4, 65_535)),
        MapOp::PutRelay(4, relay(5, 2)),
    ];
    edge.apply(&first).unwrap();
    assert_eq!(uplink_ports(&pins), [587, 65_535]);
    assert_eq!(edge.actual().unwrap().relays[&1], beyond(2, 587));

    // One of two on a port goes; one moves; one comes over to this side.
    let second = [
        MapOp::RemoveRelay(1, beyond(2, 587)),
        MapOp::PutRelay(3, beyond(4, 25)),
    ];
    edge.apply(&second).unwrap();
    assert_eq!(uplink_ports(&pins), [25, 587]);
    edge.apply(&[MapOp::PutRelay(2, relay(3, 2))]).unwrap();
    assert_eq!(uplink_ports(&pins), [25]);

    // A crash has left a bit behind, and taken one away.
    drop(edge);
    let ports = MapData::from_pin(pins.maps().join(map::UPLINK_PORTS)).unwrap();
    let mut ports: Array<_, u64> = aya::maps::Map::Array(ports).try_into().unwrap();
    for (word, bits) in [(0, 0), (9, 1)] {
        ports.set(word, bits, 0).unwrap();
    }
    assert_eq!(uplink_ports(&pins), [576]);
    pins.open();
    assert_eq!(uplink_ports(&pins), [25]);
}
