//! The pinned maps as the kernel program sees them, read-only: what it would write stays here.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    convert::Infallible,
    ops::Deref,
    rc::Rc,
};

use redirector_common::{
    abi::{
        Bucket, CookieKey, Event, Flow, FlowKey, L2Path, ListenerKey, Policy, Pool, Refusal, Relay,
        Role, RoleKey, SLOTS_PER_POOL, Settings, map, port_bit,
    },
    addr::{Addr, AddrRef},
    counters::Counter,
    decide::Work,
    radar::{Ending, Place},
    tables::{FlowEntry, InsertError, Sighted, Tables},
};

use crate::edge::{
    Edge, EdgeError,
    clock::monotonic_ns,
    maps::{found, host_key},
};

/// The maps of one [`Edge`], with what one judgement would have written.
pub(super) struct Overlay<'a> {
    edge: &'a Edge,
    entries: RefCell<BTreeMap<[u8; FlowKey::SIZE], Rc<Cell<Flow>>>>,
    buckets: BTreeMap<[u8; 16], Bucket>,
    /// The first map that could not be read: the judgement is worth nothing.
    error: RefCell<Option<EdgeError>>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(edge: &'a Edge) -> Self {
        Self {
            edge,
            entries: RefCell::default(),
            buckets: BTreeMap::new(),
            error: RefCell::default(),
        }
    }

    /// What made the judgement worthless, if anything did.
    pub(super) fn into_error(self) -> Option<EdgeError> {
        self.error.into_inner()
    }

    /// The program's look-ups cannot fail; ours can, and then the judgement must not be believed.
    fn read<V>(&self, outcome: Result<Option<V>, EdgeError>) -> Option<V> {
        outcome.unwrap_or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            None
        })
    }
}

impl Tables for Overlay<'_> {
    type Entry = OverlayEntry;
    type Loan = Box<Work>;
    type Sighted = NotSighted;

    fn work(&mut self) -> Option<Box<Work>> {
        Some(Box::default())
    }

    fn now_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn settings(&self) -> Settings {
        self.read(self.edge.maps.settings().map(Some))
            .unwrap_or_default()
    }

    fn role(&self, key: &RoleKey) -> Option<Role> {
        let number = self.read(found(
            map::ROLES,
            self.edge.maps.roles.get(&key.to_octets(), 0),
        ))?;
        u8::try_from(number).ok().and_then(Role::from_number)
    }

    // Only this thread switches sets, so the one in force is the one that was asked for.
    fn host_policy(&self, _set: u32, source: AddrRef<'_>) -> Option<Policy> {
        self.read(self.edge.sets.find(source.addr().into(), false))
    }

    fn prefix_policy(&self, _set: u32, source: AddrRef<'_>) -> Option<Policy> {
        self.read(self.edge.sets.find(source.addr().into(), true))
    }

    fn is_customer(&self, addr: AddrRef<'_>) -> bool {
        let maps = &self.edge.maps;
        let outcome = match addr.addr() {
            Addr::V4(octets) => found(map::CUSTOMERS4, maps.customers4.get(&host_key(octets), 0)),
            Addr::V6(octets) => found(map::CUSTOMERS6, maps.customers6.get(&host_key(octets), 0)),
        };
        self.read(outcome).is_some()
    }

    fn pool(&self, number: u16) -> Option<Pool> {
        let octets = found(map::POOLS, self.edge.maps.pools.get(&u32::from(number), 0));
        self.read(octets).map(|octets| Pool::from_octets(&octets))
    }

    fn slot(&self, pool: u16, slot: u32) -> Option<u32> {
        let index = u32::from(pool)
            .checked_mul(SLOTS_PER_POOL)?
            .checked_add(slot)?;
        self.read(found(map::SLOTS, self.edge.maps.slots.get(&index, 0)))
    }

    fn relay(&self, number: u32) -> Option<Relay> {
        let octets = found(map::RELAYS, self.edge.maps.relays.get(&number, 0));
        self.read(octets).map(|octets| Relay::from_octets(&octets))
    }

    fn is_listener(&self, key: &ListenerKey) -> bool {
        let listeners = &self.edge.maps.listeners;
        self.read(found(map::LISTENERS, listeners.get(&key.to_octets(), 0)))
            .is_some()
    }

    fn is_uplink_port(&self, port_be: [u8; 2]) -> bool {
        let (word, bit) = port_bit(port_be);
        let uplink_ports = &self.edge.maps.uplink_ports;
        self.read(found(map::UPLINK_PORTS, uplink_ports.get(&word, 0)))
            .is_some_and(|word| word & bit != 0)
    }

    fn flow(&self, key: &FlowKey) -> Option<OverlayEntry> {
        let octets = key.to_octets();
        let mut entries = self.entries.borrow_mut();
        let entry = match entries.get(&octets) {
            Some(entry) => Rc::clone(entry),
            None => {
                let flow = self.read(self.edge.flow(&octets))?;
                Rc::clone(
                    entries
                        .entry(octets)
                        .or_insert_with(|| Rc::new(Cell::new(flow))),
                )
            }
        };
        Some(OverlayEntry(entry))
    }

    fn insert_flow(&mut self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        if self.flow(key).is_some() {
            return Err(InsertError::Exists);
        }
        let count = self.read(self.edge.flow_count().map(Some));
        if count.is_some_and(|count| count >= self.edge.config.flows_max as usize) {
            return Err(InsertError::Full);
        }
        self.entries
            .borrow_mut()
            .insert(key.to_octets(), Rc::new(Cell::new(*flow)));
        Ok(())
    }

    fn bucket(&self, customer: &[u8; 16]) -> Option<Bucket> {
        if let Some(bucket) = self.buckets.get(customer) {
            return Some(*bucket);
        }
        let octets = found(map::SYN_BUCKETS, self.edge.maps.buckets.get(customer, 0));
        self.read(octets).map(|octets| Bucket::from_octets(&octets))
    }

    fn put_bucket(&mut self, customer: &[u8; 16], bucket: &Bucket) {
        self.buckets.insert(*customer, *bucket);
    }

    fn cookie_key(&self) -> Option<CookieKey> {
        let octets = found(map::COOKIE_KEY, self.edge.maps.cookie_key.get(&0, 0));
        self.read(octets)
            .map(|octets| CookieKey::from_octets(&octets))
    }

    fn refusal(&self, index: u32) -> Option<impl Deref<Target = Refusal>> {
        let octets = found(map::REFUSALS, self.edge.maps.refusals.get(&index, 0));
        let refusal = self
            .read(octets)
            .map(|octets| Refusal::from_octets(&octets));
        refusal.map(Box::new)
    }

    fn redirect(&mut self, ifindex: u32) -> bool {
        let device = found(map::DEVICES, self.edge.maps.devices.get(ifindex, 0));
        self.read(device).is_some()
    }

    fn count(&mut self, _counter: Counter) {}

    fn event(&mut self, _event: &Event) {}

    // The radar counts frames, and this judgement is none.
    fn sighting(&self, _window: u32, _source: &[u8; 16]) -> Option<NotSighted> {
        None
    }

    fn first_sighting(&mut self, _window: u32, _source: &[u8; 16]) {}

    fn opening(&self, _connection: u64) -> Option<u32> {
        None
    }

    fn put_opening(&mut self, _connection: u64, _first: u32) {}

    fn forget_opening(&mut self, _connection: u64) {}
}

/// There is no record of the radar here.
pub(super) struct NotSighted(Infallible);

impl Sighted for NotSighted {
    fn sent(&self, _octets: u64, _place: Option<Place>) {
        match self.0 {}
    }

    fn received(&self, _octets: u64, _ending: Option<Ending>) {
        match self.0 {}
    }
}

/// An entry that is changed here only.
pub(super) struct OverlayEntry(Rc<Cell<Flow>>);

impl FlowEntry for OverlayEntry {
    fn flow(&self) -> Flow {
        self.0.get()
    }

    fn mark_customer(&self, from_customer: u8, now_s: u32) {
        self.0.set(Flow {
            from_customer,
            last_seen_s: now_s,
            ..self.0.get()
        });
    }

    fn mark_relay(&self, from_relay: u8, now_s: u32) {
        self.0.set(Flow {
            from_relay,
            last_seen_s: now_s,
            ..self.0.get()
        });
    }

    fn move_customer(&self, path: &L2Path) {
        self.0.set(Flow {
            customer_path: *path,
            ..self.0.get()
        });
    }

    fn reopen(&self, from_customer: u8, flag_id: u32, relay: u16, now_s: u32) {
        let before = self.0.get();
        self.0.set(Flow {
            from_customer,
            from_relay: 0,
            flag_id,
            relay,
            created_s: now_s,
            last_seen_s: now_s,
            ..before
        });
    }
}
