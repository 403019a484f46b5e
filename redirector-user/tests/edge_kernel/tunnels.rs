//! The map of tunnels' ends, which follows from the relays.

use aya::maps::{HashMap, MapData};
use redirector_common::{
    abi::{Relay, Tunnel, TunnelKey, map},
    addr::Addr,
};
use redirector_user::reconcile::MapOp;

use crate::{
    bench::{PinDir, address},
    state::relay,
};

/// Every key of the map with its relay.
fn ends(pins: &PinDir) -> Vec<(TunnelKey, u32)> {
    let map = MapData::from_pin(pins.maps().join(map::TUNNELS)).unwrap();
    let map: HashMap<_, [u8; TunnelKey::SIZE], u32> =
        aya::maps::Map::HashMap(map).try_into().unwrap();
    let mut all: Vec<_> = map
        .iter()
        .map(|entry| entry.unwrap())
        .map(|(key, number)| (TunnelKey::from_octets(&key), number))
        .collect();
    all.sort_by_key(|(_, number)| *number);
    all
}

fn tunnel(near: &str, far: &str) -> Tunnel {
    Tunnel::new(Addr::from(address(near)), Addr::from(address(far)), 1480)
}

#[test]
fn tunnels_follow_their_relays() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let four = tunnel("198.51.100.1", "198.51.100.130");
    let six = tunnel("2001:db8:2::1", "2001:db8:2:1::2");
    let through = |number, tunnel| {
        let host = u8::try_from(number + 2).unwrap();
        MapOp::PutRelay(
            number,
            Relay {
                tunnel,
                ..relay(host, 2)
            },
        )
    };
    edge.apply(&[through(1, four), through(2, six)]).unwrap();
    assert_eq!(ends(&pins), [(four.key(), 1), (six.key(), 2)]);
    assert_eq!(edge.actual().unwrap().relays[&1].tunnel, four);

    // Another length is no other tunnel.
    let narrower = Tunnel { mtu: 1400, ..four };
    edge.apply(&[through(1, narrower)]).unwrap();
    assert_eq!(ends(&pins), [(four.key(), 1), (six.key(), 2)]);

    // An end changes hands: whoever had it before does not take it away again.
    let other = tunnel("198.51.100.1", "198.51.100.131");
    edge.apply(&[through(2, four), through(1, other)]).unwrap();
    assert_eq!(ends(&pins), [(other.key(), 1), (four.key(), 2)]);

    // A relay comes onto a link of ours, and another goes.
    edge.apply(&[
        through(1, Tunnel::default()),
        MapOp::RemoveRelay(2, Relay::default()),
    ])
    .unwrap();
    assert_eq!(ends(&pins), []);
}

#[test]
fn a_crash_between_the_maps_is_mended() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let four = tunnel("198.51.100.1", "198.51.100.130");
    edge.apply(&[MapOp::PutRelay(
        1,
        Relay {
            tunnel: four,
            ..relay(2, 2)
        },
    )])
    .unwrap();
    drop(edge);
    let map = MapData::from_pin(pins.maps().join(map::TUNNELS)).unwrap();
    let mut map: HashMap<_, [u8; TunnelKey::SIZE], u32> =
        aya::maps::Map::HashMap(map).try_into().unwrap();
    let stray = tunnel("198.51.100.1", "198.51.100.199").key();
    map.insert(stray.to_octets(), 7, 0).unwrap();
    map.remove(&four.key().to_octets()).unwrap();
    drop(pins.open());
    assert_eq!(ends(&pins), [(four.key(), 1)]);
}
