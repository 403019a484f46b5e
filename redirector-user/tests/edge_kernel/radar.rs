//! The radar's maps: windows turn, finished ones are taken out whole.

use aya::maps::{HashMap, Map, MapData};
use redirector_common::abi::{RADAR_OFF, Sighting, map};

use crate::bench::PinDir;

type Table = HashMap<MapData, [u8; 16], [u8; Sighting::SIZE]>;

/// The kernel's side of a window, as the program finds it.
fn table(pins: &PinDir, name: &str) -> Table {
    let data = MapData::from_pin(pins.maps().join(name)).unwrap();
    Map::LruHashMap(data).try_into().unwrap()
}

fn sighting(syns: u64) -> [u8; Sighting::SIZE] {
    Sighting {
        syns,
        ..Sighting::NOTHING
    }
    .to_octets()
}

#[test]
fn a_finished_window_is_taken_out_whole_and_once() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    let v4 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 10];
    let v6 = [
        0x20, 1, 0x0d, 0xb8, 0, 0x0a, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(edge.turn_radar().unwrap(), RADAR_OFF);
    table(&pins, map::RADAR_ODD)
        .insert(v4, sighting(7), 0)
        .unwrap();
    table(&pins, map::RADAR_ODD)
        .insert(v6, sighting(9), 0)
        .unwrap();
    assert_eq!(edge.turn_radar().unwrap(), 1);
    table(&pins, map::RADAR_EVEN)
        .insert(v4, sighting(1), 0)
        .unwrap();

    let mut harvest = edge.harvest_radar(1, 1).unwrap();
    assert_eq!(harvest.len(), 1, "in pieces");
    harvest.extend(edge.harvest_radar(1, 100).unwrap());
    harvest.sort_by_key(|(source, _)| *source);
    let seen: Vec<(String, u64)> = harvest
        .iter()
        .map(|(source, sighting)| (source.to_string(), sighting.syns))
        .collect();
    let expected = [("192.0.2.10/32", 7), ("2001:db8:a:a::/64", 9)];
    assert_eq!(
        seen,
        expected.map(|(source, syns)| (source.to_owned(), syns))
    );
    assert_eq!(edge.harvest_radar(1, 100).unwrap(), []);
    let running = table(&pins, map::RADAR_EVEN).get(&v4, 0).unwrap();
    assert_eq!(running, sighting(1), "the running window is not touched");
}

#[test]
fn a_heartbeat_leaves_the_window_alone_and_off_is_off() {
    let pins = PinDir::new();
    let mut edge = pins.open();
    for _ in 0..3 {
        edge.turn_radar().unwrap();
    }
    edge.heartbeat().unwrap();
    assert_eq!(edge.turn_radar().unwrap(), 3);
    edge.stop_radar().unwrap();
    edge.heartbeat().unwrap();
    assert_eq!(edge.turn_radar().unwrap(), RADAR_OFF);
}
