//! Filling, emptying and dumping maps, whatever is in them.

use std::borrow::Borrow;

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, lpm_trie::Key},
};
use redirector_common::{abi::RELAYS_MAX, addr::Addr};

pub(super) type Dump = Vec<(&'static str, Vec<u8>, Vec<u8>)>;

pub(super) fn hash<K: Pod, V: Pod>(
    name: &'static str,
    map: &HashMap<MapData, K, V>,
    dump: &mut Dump,
) {
    for entry in map.iter() {
        let (key, value) = entry.unwrap();
        dump.push((name, octets_of(&key), octets_of(&value)));
    }
}

pub(super) fn trie<K: Pod, V: Pod>(
    name: &'static str,
    map: &LpmTrie<MapData, K, V>,
    dump: &mut Dump,
) {
    for entry in map.iter() {
        let (key, value) = entry.unwrap();
        let mut octets = octets_of(&key.data());
        octets.extend(key.prefix_len().to_be_bytes());
        dump.push((name, octets, octets_of(&value)));
    }
}

/// Of the slots, the largest map by far, the first ones.
pub(super) fn array<V: Pod>(name: &'static str, map: &Array<MapData, V>, dump: &mut Dump) {
    for index in 0..map.len().min(RELAYS_MAX) {
        dump.push((
            name,
            octets_of(&index),
            octets_of(&map.get(&index, 0).unwrap()),
        ));
    }
}

/// The octets of a key or value.
pub(super) fn octets_of<V: Pod>(value: &V) -> Vec<u8> {
    let octets = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: `Pod` says that a value is so many initialised octets.
    unsafe { std::slice::from_raw_parts(octets, size_of::<V>()) }.to_vec()
}

pub(super) fn take<M>(ebpf: &mut Ebpf, name: &str) -> M
where
    M: TryFrom<Map>,
    M::Error: std::fmt::Debug,
{
    let map = ebpf
        .take_map(name)
        .unwrap_or_else(|| panic!("the object has no map {name}"));
    M::try_from(map).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

pub(super) fn put<V: Pod>(
    four: &mut LpmTrie<MapData, [u8; 4], V>,
    six: &mut LpmTrie<MapData, [u8; 16], V>,
    prefix: Addr,
    length: u8,
    value: impl Borrow<V>,
) {
    match prefix {
        Addr::V4(octets) => four
            .insert(&Key::new(length.into(), octets), value, 0)
            .unwrap(),
        Addr::V6(octets) => six
            .insert(&Key::new(length.into(), octets), value, 0)
            .unwrap(),
    }
}

pub(super) fn clear<K: Pod, V: Pod>(map: &mut HashMap<MapData, K, V>) {
    let keys: Vec<K> = map.keys().map(|key| key.unwrap()).collect();
    for key in keys {
        map.remove(&key).unwrap();
    }
}

pub(super) fn clear_trie<K: Pod, V: Pod>(map: &mut LpmTrie<MapData, K, V>) {
    let keys: Vec<Key<K>> = map.keys().map(|key| key.unwrap()).collect();
    for key in keys {
        map.remove(&key).unwrap();
    }
}
