//! Every octet of the kernel's maps, to be compared with what it was before.

use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, MapData},
};
use redirector_common::abi::{RELAYS_MAX, map};

use super::Kernel;

impl Kernel {
    /// Every octet of every map that the program shares, but for the ring: nobody may take out of that
    /// and leave it as it was.
    pub(crate) fn dump(&self) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
        let mut dump = Vec::new();
        hash(map::HOSTS4, &self.hosts4, &mut dump);
        hash(map::HOSTS6, &self.hosts6, &mut dump);
        trie(map::PREFIXES4, &self.prefixes4, &mut dump);
        trie(map::PREFIXES6, &self.prefixes6, &mut dump);
        trie(map::CUSTOMERS4, &self.customers4, &mut dump);
        trie(map::CUSTOMERS6, &self.customers6, &mut dump);
        trie(map::BYPASSES4, &self.bypasses4, &mut dump);
        trie(map::BYPASSES6, &self.bypasses6, &mut dump);
        array(map::POOLS, &self.pools, &mut dump);
        array(map::SLOTS, &self.slots, &mut dump);
        array(map::RELAYS, &self.relays, &mut dump);
        hash(map::LISTENERS, &self.listeners, &mut dump);
        hash(map::FLOWS, &self.flows, &mut dump);
        hash(map::SYN_BUCKETS, &self.buckets, &mut dump);
        hash(map::ROLES, &self.roles, &mut dump);
        array(map::SETTINGS, &self.settings, &mut dump);
        hash(map::RADAR_EVEN, &self.radar[0], &mut dump);
        hash(map::RADAR_ODD, &self.radar[1], &mut dump);
        hash(map::RADAR_OPENINGS, &self.openings, &mut dump);
        array(map::COOKIE_KEY, &self.cookie_key, &mut dump);
        array(map::REFUSALS, &self.refusals, &mut dump);
        array(map::UPLINK_PORTS, &self.uplink_ports, &mut dump);
        array(map::CAPTURE, &self.capture, &mut dump);
        for (counter, count) in self.counts() {
            dump.push((map::COUNTERS, counter.name().into(), octets_of(&count)));
        }
        for key in self.devices.keys() {
            let key = key.unwrap();
            let device = self.devices.get(key, 0).unwrap();
            dump.push((map::DEVICES, octets_of(&key), octets_of(&device.if_index)));
        }
        dump.sort();
        dump
    }
}

type Dump = Vec<(&'static str, Vec<u8>, Vec<u8>)>;

fn hash<K: Pod, V: Pod>(name: &'static str, map: &HashMap<MapData, K, V>, dump: &mut Dump) {
    for entry in map.iter() {
        let (key, value) = entry.unwrap();
        dump.push((name, octets_of(&key), octets_of(&value)));
    }
}

fn trie<K: Pod, V: Pod>(name: &'static str, map: &LpmTrie<MapData, K, V>, dump: &mut Dump) {
    for entry in map.iter() {
        let (key, value) = entry.unwrap();
        let mut octets = octets_of(&key.data());
        octets.extend(key.prefix_len().to_be_bytes());
        dump.push((name, octets, octets_of(&value)));
    }
}

/// Of the slots, the largest map by far, the first ones.
fn array<V: Pod>(name: &'static str, map: &Array<MapData, V>, dump: &mut Dump) {
    for index in 0..map.len().min(RELAYS_MAX) {
        dump.push((
            name,
            octets_of(&index),
            octets_of(&map.get(&index, 0).unwrap()),
        ));
    }
}

/// The octets of a key or value.
fn octets_of<V: Pod>(value: &V) -> Vec<u8> {
    let octets = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: `Pod` says that a value is so many initialised octets.
    unsafe { std::slice::from_raw_parts(octets, size_of::<V>()) }.to_vec()
}
