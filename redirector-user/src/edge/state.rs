//! Reading the controller's part of the maps back, and changing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use redirector_common::{
    abi::{
        ANY_PORT, ListenerKey, POOLS_MAX, PORT_WORDS, Pool, RELAYS_MAX, Relay, Role, RoleKey,
        SLOTS_PER_POOL, Settings, map, port_bit,
    },
    addr::Addr,
};

use super::{
    Edge, EdgeError,
    maps::{found, reading, removed, writing},
};
use crate::reconcile::{EdgeState, MapOp, PoolState};

impl Edge {
    /// What the maps hold of what the controller decides.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn actual(&self) -> Result<EdgeState, EdgeError> {
        let mut state = EdgeState {
            generation: self.maps.settings()?.generation,
            ..EdgeState::default()
        };
        state.customers = self.customers()?;
        state.bypasses = self.bypasses()?;
        state.policies = Arc::new(self.policies()?);
        for number in 0..POOLS_MAX {
            let octets = self
                .maps
                .pools
                .get(&number, 0)
                .map_err(|error| reading(map::POOLS, error))?;
            let pool = Pool::from_octets(&octets);
            if pool.present != 0 {
                let slots = self.slots(number)?;
                let number = u16::try_from(number).map_err(|_too_large| beyond("pool", number))?;
                state.pools.insert(number, PoolState { pool, slots });
            }
        }
        for number in 0..RELAYS_MAX {
            let relay = self.relay(number)?;
            if relay != Relay::default() {
                state.relays.insert(number, relay);
            }
        }
        Ok(state)
    }

    /// Makes changes, in their order. Stops at the first that fails: what came before stands.
    ///
    /// # Errors
    ///
    /// [`EdgeError::Impossible`] for a number or prefix that no map can hold, else what the kernel
    /// answers (`E2BIG`: a map is full).
    pub fn apply(&mut self, ops: &[MapOp]) -> Result<(), EdgeError> {
        ops.iter().try_for_each(|op| self.apply_one(op))
    }

    fn apply_one(&mut self, op: &MapOp) -> Result<(), EdgeError> {
        match *op {
            MapOp::PutRelay(number, relay) => self.put_relay(number, &relay),
            MapOp::RemoveRelay(number, _) => self.put_relay(number, &Relay::default()),
            MapOp::PutPool(number, pool) => self.put_pool(number, &Pool { present: 1, ..pool }),
            MapOp::RemovePool(number) => self.put_pool(number, &Pool::default()),
            MapOp::PutSlot(pool, slot, relay) => {
                if u32::from(pool) >= POOLS_MAX || slot >= SLOTS_PER_POOL {
                    return Err(beyond("slot", slot));
                }
                self.maps
                    .slots
                    .set(u32::from(pool) * SLOTS_PER_POOL + slot, relay, 0)
                    .map_err(|error| writing(map::SLOTS, error))
            }
            MapOp::PutCustomer(prefix) => self.put_customer(prefix),
            MapOp::RemoveCustomer(prefix) => self.remove_customer(prefix),
            MapOp::PutBypass(prefix) => self.put_bypass(prefix),
            MapOp::RemoveBypass(prefix) => self.remove_bypass(prefix),
            MapOp::PutPolicy(prefix, policy) => self.put_policy(prefix, &policy),
            MapOp::RemovePolicy(prefix) => self.remove_policy(prefix),
            MapOp::ChangePolicies(ref changes) => self.change_policies(changes),
            MapOp::LoadPolicies(ref policies) => self.load_policies(policies),
            MapOp::SetGeneration(generation) => {
                let settings = Settings {
                    generation,
                    ..self.maps.settings()?
                };
                self.maps.put_settings(&settings)
            }
        }
    }

    /// Relay of that number; all zero = none.
    pub(crate) fn relay(&self, number: u32) -> Result<Relay, EdgeError> {
        let octets = self
            .maps
            .relays
            .get(&number, 0)
            .map_err(|error| reading(map::RELAYS, error))?;
        Ok(Relay::from_octets(&octets))
    }

    /// Indices of the interfaces that the internet is behind.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn uplinks(&self) -> Result<BTreeSet<u32>, EdgeError> {
        let mut uplinks = BTreeSet::new();
        for entry in self.maps.roles.iter() {
            let (key, role) = entry.map_err(|error| reading(map::ROLES, error))?;
            if role == u32::from(Role::Uplink as u8) {
                uplinks.insert(RoleKey::from_octets(&key).ifindex);
            }
        }
        Ok(uplinks)
    }

    /// Makes LISTENERS, UPLINK_PORTS and TUNNELS say exactly what RELAYS says. A crash between them leaves them
    /// apart, and no reconciliation would see it, because they are not a state of their own.
    pub(crate) fn mend_listeners(&mut self) -> Result<(), EdgeError> {
        let mut wanted = BTreeMap::new();
        for number in 0..RELAYS_MAX {
            for key in listeners(&self.relay(number)?) {
                wanted.insert(key.to_octets(), number);
            }
        }
        let standing: Vec<[u8; ListenerKey::SIZE]> = self
            .maps
            .listeners
            .keys()
            .collect::<Result<_, _>>()
            .map_err(|error| reading(map::LISTENERS, error))?;
        for key in standing.iter().filter(|key| !wanted.contains_key(*key)) {
            removed(map::LISTENERS, self.maps.listeners.remove(key))?;
        }
        for (key, number) in wanted {
            self.put_listener(&key, number)?;
        }
        self.mend_tunnels()?;
        self.mend_uplink_ports()
    }

    fn slots(&self, pool: u32) -> Result<Vec<u32>, EdgeError> {
        (0..SLOTS_PER_POOL)
            .map(|slot| self.maps.slots.get(&(pool * SLOTS_PER_POOL + slot), 0))
            .collect::<Result<_, _>>()
            .map_err(|error| reading(map::SLOTS, error))
    }

    /// Writes a relay, new listeners before it and old ones after it: while connections go to an
    /// address, what comes back from there is recognised.
    fn put_relay(&mut self, number: u32, relay: &Relay) -> Result<(), EdgeError> {
        if number >= RELAYS_MAX {
            return Err(beyond("relay", number));
        }
        let before = self.relay(number)?;
        let wanted: Vec<ListenerKey> = listeners(relay).collect();
        for key in &wanted {
            self.put_listener(&key.to_octets(), number)?;
        }
        if relay.is_beyond_uplink() {
            self.add_uplink_port(relay.port_be)?;
        }
        self.open_tunnel(number, &relay.tunnel)?;
        self.maps
            .relays
            .set(number, relay.to_octets(), 0)
            .map_err(|error| writing(map::RELAYS, error))?;
        for key in listeners(&before).filter(|key| !wanted.contains(key)) {
            let key = key.to_octets();
            // Another relay may have taken the address over in the meantime.
            if found(map::LISTENERS, self.maps.listeners.get(&key, 0))? == Some(number) {
                removed(map::LISTENERS, self.maps.listeners.remove(&key))?;
            }
        }
        if before.is_beyond_uplink() {
            self.mend_uplink_ports()?;
        }
        if before.tunnel.key() != relay.tunnel.key() {
            self.close_tunnel(number, &before.tunnel)?;
        }
        Ok(())
    }

    fn add_uplink_port(&mut self, port_be: [u8; 2]) -> Result<(), EdgeError> {
        let (word, bit) = port_bit(port_be);
        let others = self.uplink_ports(word)?;
        self.put_uplink_ports(word, others | bit)
    }

    /// Leaves the ports that relays beyond the uplink listen on, and no other.
    fn mend_uplink_ports(&mut self) -> Result<(), EdgeError> {
        let mut wanted: BTreeMap<u32, u64> = BTreeMap::new();
        for number in 0..RELAYS_MAX {
            let relay = self.relay(number)?;
            if relay.is_beyond_uplink() {
                let (word, bit) = port_bit(relay.port_be);
                *wanted.entry(word).or_default() |= bit;
            }
        }
        for word in 0..PORT_WORDS {
            let bits = wanted.get(&word).copied().unwrap_or_default();
            if self.uplink_ports(word)? != bits {
                self.put_uplink_ports(word, bits)?;
            }
        }
        Ok(())
    }

    fn uplink_ports(&self, word: u32) -> Result<u64, EdgeError> {
        let bits = self.maps.uplink_ports.get(&word, 0);
        bits.map_err(|error| reading(map::UPLINK_PORTS, error))
    }

    fn put_uplink_ports(&mut self, word: u32, bits: u64) -> Result<(), EdgeError> {
        let written = self.maps.uplink_ports.set(word, bits, 0);
        written.map_err(|error| writing(map::UPLINK_PORTS, error))
    }

    fn put_listener(
        &mut self,
        key: &[u8; ListenerKey::SIZE],
        number: u32,
    ) -> Result<(), EdgeError> {
        self.maps
            .listeners
            .insert(key, number, 0)
            .map_err(|error| writing(map::LISTENERS, error))
    }

    fn put_pool(&mut self, number: u16, pool: &Pool) -> Result<(), EdgeError> {
        if u32::from(number) >= POOLS_MAX {
            return Err(beyond("pool", u32::from(number)));
        }
        self.maps
            .pools
            .set(u32::from(number), pool.to_octets(), 0)
            .map_err(|error| writing(map::POOLS, error))
    }
}

/// Listeners that a relay has, one per family at most, each followed by the address alone: that is how the
/// program tells a relay among the customers' addresses from one that spoofs them.
pub(crate) fn listeners(relay: &Relay) -> impl Iterator<Item = ListenerKey> + use<> {
    let port_be = relay.port_be;
    let v4 = (relay.addr4 != [0; 4]).then_some(Addr::V4(relay.addr4));
    let v6 = (relay.addr6 != [0; 16]).then_some(Addr::V6(relay.addr6));
    v4.into_iter()
        .chain(v6)
        .flat_map(move |addr| [port_be, ANY_PORT].map(|port_be| ListenerKey::new(addr, port_be)))
}

/// A number that does not fit its map: whoever made the operation counted wrong.
fn beyond(what: &str, number: u32) -> EdgeError {
    EdgeError::Impossible(format!("no map has room for {what} {number}"))
}
