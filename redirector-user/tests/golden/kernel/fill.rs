//! Bringing the kernel's maps into the state that a case asks for.

use std::borrow::Borrow;

use aya::{
    Pod,
    maps::{HashMap, LpmTrie, MapData, lpm_trie::Key},
};
use redirector_common::{
    abi::{NO_RELAY, POOLS_MAX, REFUSALS_MAX, SLOTS_PER_POOL, port_bit},
    addr::Addr,
    tables::memory::MemoryTables,
};

use super::Kernel;

impl Kernel {
    /// Makes the maps hold what the case says, and nothing else.
    pub(crate) fn fill(&mut self, tables: &MemoryTables) {
        self.empty();
        assert!(
            tables.settings.policy_set % 2 == 1,
            "cases' sets have odd numbers"
        );
        for (address, policy) in &tables.hosts {
            match *address {
                Addr::V4(octets) => self.hosts4.insert(octets, policy.to_octets(), 0).unwrap(),
                Addr::V6(octets) => self.hosts6.insert(octets, policy.to_octets(), 0).unwrap(),
            }
        }
        for ((prefix, length), policy) in &tables.prefixes {
            put(
                &mut self.prefixes4,
                &mut self.prefixes6,
                *prefix,
                *length,
                policy.to_octets(),
            );
        }
        for (prefix, length) in &tables.customers {
            put(
                &mut self.customers4,
                &mut self.customers6,
                *prefix,
                *length,
                1,
            );
        }
        for (prefix, length) in &tables.bypasses {
            put(
                &mut self.bypasses4,
                &mut self.bypasses6,
                *prefix,
                *length,
                1,
            );
        }
        for number in 0..POOLS_MAX {
            let pool = tables.pools.get(&u16::try_from(number).unwrap()).copied();
            self.pools
                .set(number, pool.unwrap_or_default().to_octets(), 0)
                .unwrap();
        }
        assert!(
            tables.slots.keys().all(|pool| *pool == 0),
            "cases have one pool"
        );
        let in_slots = tables.slots.get(&0).copied().unwrap_or(NO_RELAY);
        if self.in_slots != Some(in_slots) {
            for slot in 0..SLOTS_PER_POOL {
                self.slots.set(slot, in_slots, 0).unwrap();
            }
            self.in_slots = Some(in_slots);
        }
        assert!(tables.relays.keys().all(|number| *number < RELAYS_IN_CASES));
        for number in 0..RELAYS_IN_CASES {
            let relay = tables.relays.get(&number).copied();
            self.relays
                .set(number, relay.unwrap_or_default().to_octets(), 0)
                .unwrap();
        }
        for listener in &tables.listeners {
            self.listeners.insert(listener.to_octets(), 0, 0).unwrap();
        }
        for (key, number) in &tables.tunnels {
            self.tunnels.insert(key.to_octets(), *number, 0).unwrap();
        }
        for port in &tables.uplink_ports {
            let (word, bit) = port_bit(port.to_be_bytes());
            let others = self.uplink_ports.get(&word, 0).unwrap();
            self.uplink_ports.set(word, others | bit, 0).unwrap();
            self.uplink_words.insert(word);
        }
        for (key, flow) in tables.flow_records() {
            self.flows
                .insert(key.to_octets(), flow.to_octets(), 0)
                .unwrap();
        }
        for (customer, bucket) in &tables.buckets {
            self.buckets
                .insert(customer, bucket.to_octets(), 0)
                .unwrap();
        }
        for (key, role) in &tables.roles {
            self.roles
                .insert(key.to_octets(), u32::from(*role as u8), 0)
                .unwrap();
        }
        self.settings
            .set(0, tables.settings.to_octets(), 0)
            .unwrap();
        for (map, records) in self.radar.iter_mut().zip(tables.sighting_records()) {
            for (source, record) in records {
                map.insert(source, record.to_octets(), 0).unwrap();
            }
        }
        for (connection, first) in &tables.openings {
            self.openings.insert(connection, first, 0).unwrap();
        }
        self.cookie_key
            .set(0, tables.cookie_key.to_octets(), 0)
            .unwrap();
        for index in 0..REFUSALS_MAX {
            let refusal = tables.refusals.get(&index).copied().unwrap_or_default();
            self.refusals.set(index, refusal.to_octets(), 0).unwrap();
        }
        for key in &tables.devices {
            // Whatever the interface is called in a case, the loopback is there on every machine; a
            // test run does not send.
            self.devices.insert(*key, LOOPBACK, None, 0).unwrap();
        }
    }

    fn empty(&mut self) {
        clear(&mut self.hosts4);
        clear(&mut self.hosts6);
        clear(&mut self.listeners);
        clear(&mut self.tunnels);
        clear(&mut self.flows);
        clear(&mut self.buckets);
        clear(&mut self.roles);
        self.radar.iter_mut().for_each(clear);
        clear(&mut self.openings);
        clear_trie(&mut self.prefixes4);
        clear_trie(&mut self.prefixes6);
        clear_trie(&mut self.customers4);
        clear_trie(&mut self.customers6);
        clear_trie(&mut self.bypasses4);
        clear_trie(&mut self.bypasses6);
        while let Some(word) = self.uplink_words.pop_first() {
            self.uplink_ports.set(word, 0, 0).unwrap();
        }
        let keys: Vec<u32> = self.devices.keys().map(|key| key.unwrap()).collect();
        for key in keys {
            self.devices.remove(key).unwrap();
        }
        while self.events.next().is_some() {}
    }
}

fn put<V: Pod>(
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

fn clear<K: Pod, V: Pod>(map: &mut HashMap<MapData, K, V>) {
    let keys: Vec<K> = map.keys().map(|key| key.unwrap()).collect();
    for key in keys {
        map.remove(&key).unwrap();
    }
}

fn clear_trie<K: Pod, V: Pod>(map: &mut LpmTrie<MapData, K, V>) {
    let keys: Vec<Key<K>> = map.keys().map(|key| key.unwrap()).collect();
    for key in keys {
        map.remove(&key).unwrap();
    }
}

/// Relay numbers in cases are below.
const RELAYS_IN_CASES: u32 = 8;
/// Index of the loopback interface in every namespace.
const LOOPBACK: u32 = 1;
