//! Maps in memory, for tests: the host side of the golden packet table.

use std::{
    boxed::Box,
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Deref,
    rc::Rc,
    vec::Vec,
};

use super::{FlowEntry, InsertError, Sighted, Tables};
use crate::{
    abi::{
        Bucket, CookieKey, Event, Flow, FlowKey, L2Path, ListenerKey, Policy, Pool, Refusal, Relay,
        Role, RoleKey, Settings, Sighting, TunnelKey,
    },
    addr::{Addr, AddrRef},
    counters::Counter,
    decide::Work,
    radar::{Ending, Place},
};

/// Every map, as plain collections. What the program counts and tells is in `counters` and `events`.
#[derive(Debug, Default)]
pub struct MemoryTables {
    /// The clock.
    pub now_ns: u64,
    /// `SETTINGS`.
    pub settings: Settings,
    /// `ROLES`.
    pub roles: HashMap<RoleKey, Role>,
    /// `HOSTS4` and `HOSTS6` of the set in force.
    pub hosts: BTreeMap<Addr, Policy>,
    /// `PREFIXES4` and `PREFIXES6` of the set in force: address and length of the prefix.
    pub prefixes: BTreeMap<(Addr, u8), Policy>,
    /// `CUSTOMERS4` and `CUSTOMERS6`.
    pub customers: BTreeSet<(Addr, u8)>,
    /// `BYPASSES4` and `BYPASSES6`.
    pub bypasses: BTreeSet<(Addr, u8)>,
    /// `POOLS`.
    pub pools: BTreeMap<u16, Pool>,
    /// `SLOTS`, by pool; one relay in every slot.
    pub slots: BTreeMap<u16, u32>,
    /// `RELAYS`.
    pub relays: BTreeMap<u32, Relay>,
    /// `LISTENERS`.
    pub listeners: HashSet<ListenerKey>,
    /// `TUNNELS`.
    pub tunnels: HashMap<TunnelKey, u32>,
    /// `UPLINK_PORTS`.
    pub uplink_ports: BTreeSet<u16>,
    /// `FLOWS`.
    pub flows: HashMap<FlowKey, Rc<Cell<Flow>>>,
    /// How many of them there may be.
    pub flows_max: usize,
    /// Another CPU makes the entry just before this one does.
    pub next_insert_races: bool,
    /// `SYN_BUCKETS`.
    pub buckets: BTreeMap<[u8; 16], Bucket>,
    /// `DEVICES`.
    pub devices: BTreeSet<u32>,
    /// `COOKIE_KEY`.
    pub cookie_key: CookieKey,
    /// `REFUSALS`.
    pub refusals: BTreeMap<u32, Refusal>,
    /// `COUNTERS`; what is not there is zero.
    pub counters: BTreeMap<Counter, u64>,
    /// `EVENTS`.
    pub events: Vec<Event>,
    /// `RADAR_EVEN` and `RADAR_ODD`.
    pub sightings: [BTreeMap<[u8; 16], Rc<Cell<Sighting>>>; 2],
    /// `RADAR_OPENINGS`.
    pub openings: BTreeMap<u64, u32>,
}

impl Clone for MemoryTables {
    /// A copy that shares no entry with the original.
    fn clone(&self) -> Self {
        let flows = self
            .flows
            .iter()
            .map(|(key, flow)| (*key, Rc::new(Cell::new(flow.get()))));
        Self {
            flows: flows.collect(),
            settings: self.settings,
            roles: self.roles.clone(),
            hosts: self.hosts.clone(),
            prefixes: self.prefixes.clone(),
            customers: self.customers.clone(),
            bypasses: self.bypasses.clone(),
            pools: self.pools.clone(),
            slots: self.slots.clone(),
            relays: self.relays.clone(),
            listeners: self.listeners.clone(),
            tunnels: self.tunnels.clone(),
            uplink_ports: self.uplink_ports.clone(),
            buckets: self.buckets.clone(),
            devices: self.devices.clone(),
            refusals: self.refusals.clone(),
            counters: self.counters.clone(),
            events: self.events.clone(),
            sightings: self.sighting_records().map(counting),
            openings: self.openings.clone(),
            ..*self
        }
    }
}

impl MemoryTables {
    /// Puts an entry into the flow table.
    pub fn put_flow(&mut self, key: FlowKey, flow: Flow) {
        self.flows.insert(key, Rc::new(Cell::new(flow)));
    }

    /// The flow table as plain records.
    #[must_use]
    pub fn flow_records(&self) -> HashMap<FlowKey, Flow> {
        self.flows
            .iter()
            .map(|(key, flow)| (*key, flow.get()))
            .collect()
    }

    /// The radar's tables as plain records.
    #[must_use]
    pub fn sighting_records(&self) -> [BTreeMap<[u8; 16], Sighting>; 2] {
        let plain = |table: &BTreeMap<[u8; 16], Rc<Cell<Sighting>>>| {
            let records = table.iter().map(|(key, record)| (*key, record.get()));
            records.collect()
        };
        self.sightings.each_ref().map(plain)
    }

    /// Puts a record into the radar's table of a window.
    pub fn put_sighting(&mut self, window: u32, source: [u8; 16], sighting: Sighting) {
        let [even, odd] = &mut self.sightings;
        let table = if window & 1 == 0 { even } else { odd };
        table.insert(source, Rc::new(Cell::new(sighting)));
    }
}

impl Tables for MemoryTables {
    type Entry = Rc<Cell<Flow>>;
    type Loan = Box<Work>;
    type Sighted = Rc<Cell<Sighting>>;

    fn work(&mut self) -> Option<Box<Work>> {
        Some(Box::default())
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn settings(&self) -> Settings {
        self.settings
    }

    fn role(&self, key: &RoleKey) -> Option<Role> {
        self.roles.get(key).copied()
    }

    fn host_policy(&self, set: u32, source: AddrRef<'_>) -> Option<Policy> {
        if set != self.settings.policy_set {
            return None;
        }
        self.hosts.get(&source.addr()).copied()
    }

    fn prefix_policy(&self, set: u32, source: AddrRef<'_>) -> Option<Policy> {
        if set != self.settings.policy_set {
            return None;
        }
        let around = self
            .prefixes
            .iter()
            .filter(|((prefix, length), _)| contains(*prefix, *length, source.addr()));
        around
            .max_by_key(|((_, length), _)| *length)
            .map(|(_, policy)| *policy)
    }

    fn is_customer(&self, addr: AddrRef<'_>) -> bool {
        self.customers
            .iter()
            .any(|(prefix, length)| contains(*prefix, *length, addr.addr()))
    }

    fn is_bypassed(&self, destination: AddrRef<'_>) -> bool {
        self.bypasses
            .iter()
            .any(|(prefix, length)| contains(*prefix, *length, destination.addr()))
    }

    fn pool(&self, number: u16) -> Option<Pool> {
        self.pools.get(&number).copied()
    }

    fn slot(&self, pool: u16, _slot: u32) -> Option<u32> {
        self.slots.get(&pool).copied()
    }

    fn relay(&self, number: u32) -> Option<Relay> {
        self.relays.get(&number).copied()
    }

    fn is_listener(&self, key: &ListenerKey) -> bool {
        self.listeners.contains(key)
    }

    fn tunnel_end(&self, key: &TunnelKey) -> Option<u32> {
        self.tunnels.get(key).copied()
    }

    fn is_uplink_port(&self, port_be: [u8; 2]) -> bool {
        self.uplink_ports.contains(&u16::from_be_bytes(port_be))
    }

    fn flow(&self, key: &FlowKey) -> Option<Rc<Cell<Flow>>> {
        self.flows.get(key).map(Rc::clone)
    }

    fn insert_flow(&mut self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        if self.next_insert_races || self.flows.contains_key(key) {
            return Err(InsertError::Exists);
        }
        if self.flows.len() >= self.flows_max {
            return Err(InsertError::Full);
        }
        self.put_flow(*key, *flow);
        Ok(())
    }

    fn bucket(&self, customer: &[u8; 16]) -> Option<Bucket> {
        self.buckets.get(customer).copied()
    }

    fn put_bucket(&mut self, customer: &[u8; 16], bucket: &Bucket) {
        self.buckets.insert(*customer, *bucket);
    }

    fn cookie_key(&self) -> Option<CookieKey> {
        Some(self.cookie_key)
    }

    fn refusal(&self, index: u32) -> Option<impl Deref<Target = Refusal>> {
        self.refusals.get(&index)
    }

    fn redirect(&mut self, ifindex: u32) -> bool {
        self.devices.contains(&ifindex)
    }

    fn count(&mut self, counter: Counter) {
        *self.counters.entry(counter).or_default() += 1;
    }

    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }

    fn sighting(&self, window: u32, source: &[u8; 16]) -> Option<Rc<Cell<Sighting>>> {
        let [even, odd] = &self.sightings;
        let table = if window & 1 == 0 { even } else { odd };
        table.get(source).map(Rc::clone)
    }

    fn first_sighting(&mut self, window: u32, source: &[u8; 16]) {
        self.put_sighting(window, *source, Sighting::NOTHING);
    }

    fn opening(&self, connection: u64) -> Option<u32> {
        self.openings.get(&connection).copied()
    }

    fn put_opening(&mut self, connection: u64, first: u32) {
        self.openings.insert(connection, first);
    }

    fn forget_opening(&mut self, connection: u64) {
        self.openings.remove(&connection);
    }
}

impl FlowEntry for Rc<Cell<Flow>> {
    fn flow(&self) -> Flow {
        self.get()
    }

    fn mark_customer(&self, from_customer: u8, now_s: u32) {
        self.set(Flow {
            from_customer,
            last_seen_s: now_s,
            ..self.get()
        });
    }

    fn mark_relay(&self, from_relay: u8, now_s: u32) {
        self.set(Flow {
            from_relay,
            last_seen_s: now_s,
            ..self.get()
        });
    }

    fn move_customer(&self, path: &L2Path) {
        self.set(Flow {
            customer_path: *path,
            ..self.get()
        });
    }

    fn reopen(&self, from_customer: u8, flag_id: u32, relay: u16, now_s: u32) {
        self.set(Flow {
            from_customer,
            from_relay: 0,
            flag_id,
            relay,
            created_s: now_s,
            last_seen_s: now_s,
            ..self.get()
        });
    }
}

impl Sighted for Rc<Cell<Sighting>> {
    fn sent(&self, octets: u64, place: Option<Place>) {
        let mut record = self.get();
        record.packets_out += 1;
        record.octets_out += octets;
        if let Some(Place { register, rank }) = place {
            record.syns += 1;
            let registers = record.destinations.as_flattened_mut();
            if let Some(value) = registers.get_mut(usize::from(register)) {
                *value = rank.max(*value);
            }
        }
        self.set(record);
    }

    fn received(&self, octets: u64, ending: Option<Ending>) {
        let mut record = self.get();
        record.packets_in += 1;
        record.octets_in += octets;
        if let Some(Ending { reset, short }) = ending {
            record.ended += 1;
            record.reset += u64::from(reset);
            record.short += u64::from(short);
        }
        self.set(record);
    }
}

/// Records that can be counted into.
fn counting(records: BTreeMap<[u8; 16], Sighting>) -> BTreeMap<[u8; 16], Rc<Cell<Sighting>>> {
    let counting = |(key, record)| (key, Rc::new(Cell::new(record)));
    records.into_iter().map(counting).collect()
}

/// Whether the first `length` bits agree.
fn contains(prefix: Addr, length: u8, addr: Addr) -> bool {
    let bits = |addr: Addr| match addr {
        Addr::V4(octets) => u128::from(u32::from_be_bytes(octets)) << 96,
        Addr::V6(octets) => u128::from_be_bytes(octets),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    prefix.family() == addr.family() && (bits(prefix) ^ bits(addr)) & mask == 0
}
