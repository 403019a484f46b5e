//! The real program with maps of its own, filled from a case.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap as StdHashMap},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{
        Array, ArrayOfMaps, HashMap, LpmTrie, Map, MapData, PerCpuArray, RingBuf, lpm_trie::Key,
        xdp::DevMapHash,
    },
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use redirector_common::{
    abi::{
        Bucket, CookieKey, Event, Flow, FlowKey, ListenerKey, NO_RELAY, POOLS_MAX, Policy, Pool,
        REFUSALS_MAX, Refusal, Relay, Role, RoleKey, SLOTS_PER_POOL, Settings, Sighting, map,
    },
    addr::Addr,
    cases::FLOWS_MAX,
    counters::Counter,
    tables::{Verdict, memory::MemoryTables},
};
use redirector_user::edge::{PROGRAM, make_places};

/// One load of the program for one role.
pub(crate) struct Kernel {
    ebpf: Ebpf,
    hosts4: Hosts<4>,
    hosts6: Hosts<16>,
    prefixes4: Prefixes<4>,
    prefixes6: Prefixes<16>,
    customers4: LpmTrie<MapData, [u8; 4], u32>,
    customers6: LpmTrie<MapData, [u8; 16], u32>,
    pools: Array<MapData, [u8; Pool::SIZE]>,
    slots: Array<MapData, u32>,
    relays: Array<MapData, [u8; Relay::SIZE]>,
    listeners: HashMap<MapData, [u8; ListenerKey::SIZE], u32>,
    flows: HashMap<MapData, [u8; FlowKey::SIZE], [u8; Flow::SIZE]>,
    buckets: HashMap<MapData, [u8; 16], [u8; Bucket::SIZE]>,
    roles: HashMap<MapData, [u8; RoleKey::SIZE], u32>,
    settings: Array<MapData, [u8; Settings::SIZE]>,
    counters: PerCpuArray<MapData, u64>,
    events: RingBuf<MapData>,
    devices: DevMapHash<MapData>,
    radar: [HashMap<MapData, [u8; 16], [u8; Sighting::SIZE]>; 2],
    openings: HashMap<MapData, u64, u32>,
    cookie_key: Array<MapData, [u8; CookieKey::SIZE]>,
    refusals: Array<MapData, [u8; Refusal::SIZE]>,
    /// What stands in every slot of pool 0; writing them all takes longer than a case.
    in_slots: Option<u32>,
}

type Hosts<const N: usize> = HashMap<MapData, [u8; N], [u8; Policy::SIZE]>;
type Prefixes<const N: usize> = LpmTrie<MapData, [u8; N], [u8; Policy::SIZE]>;

/// What came of a frame in the kernel.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `enum xdp_action`.
    pub(crate) verdict: u32,
    /// The frame afterwards.
    pub(crate) frame: Vec<u8>,
    /// Counters that were raised.
    pub(crate) counters: BTreeMap<Counter, u64>,
    /// The flow table afterwards.
    pub(crate) flows: StdHashMap<FlowKey, Flow>,
    /// The buckets afterwards, without their tokens.
    pub(crate) buckets: BTreeMap<[u8; 16], Bucket>,
    /// What was told, without the time.
    pub(crate) events: Vec<Event>,
    /// The radar's tables afterwards.
    pub(crate) sightings: [BTreeMap<[u8; 16], Sighting>; 2],
    /// The openings that it remembers.
    pub(crate) openings: BTreeMap<u64, u32>,
}

impl Kernel {
    /// Loads the program, without pinning or attaching anything.
    pub(crate) fn load(role: Option<Role>, debug_lines: bool) -> Self {
        let role = role.map_or(0, |role| role as u8);
        let debug_lines = u8::from(debug_lines);
        // The maps of sets are made as the controller makes them, and found by their pins.
        static LOADS: AtomicU32 = AtomicU32::new(0);
        let load = LOADS.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(format!("/sys/fs/bpf/golden-{}-{load}", std::process::id()));
        std::fs::create_dir(&dir).expect("a BPF file system is mounted at /sys/fs/bpf");
        make_places(&dir).unwrap();
        let mut loader = EbpfLoader::new();
        for name in map::SETS {
            loader.map_pin_path(name, dir.join(name));
        }
        let loaded = loader
            .override_global("ROLE", &role, true)
            .override_global("DEBUG_LINES", &debug_lines, true)
            .map_max_entries(map::FLOWS, u32::try_from(FLOWS_MAX).unwrap())
            .map_max_entries(map::RADAR_EVEN, SOURCES_MAX)
            .map_max_entries(map::RADAR_ODD, SOURCES_MAX)
            .map_max_entries(map::RADAR_OPENINGS, SOURCES_MAX)
            .load(PROGRAM);
        std::fs::remove_dir_all(&dir).unwrap();
        let mut ebpf = loaded.expect("the object is well-formed, and we are privileged");
        let program: &mut Xdp = ebpf.program_mut("outgate_xdp").unwrap().try_into().unwrap();
        program.load().expect("the verifier accepts the program");
        let mut places4: ArrayOfMaps<MapData, Hosts<4>> = take(&mut ebpf, map::HOSTS4);
        let mut places6: ArrayOfMaps<MapData, Hosts<16>> = take(&mut ebpf, map::HOSTS6);
        let mut wide4: ArrayOfMaps<MapData, Prefixes<4>> = take(&mut ebpf, map::PREFIXES4);
        let mut wide6: ArrayOfMaps<MapData, Prefixes<16>> = take(&mut ebpf, map::PREFIXES6);
        let flags = aya_obj::generated::BPF_F_NO_PREALLOC;
        let hosts4 = HashMap::create(POLICIES_MAX, flags).unwrap();
        let hosts6 = HashMap::create(POLICIES_MAX, flags).unwrap();
        let prefixes4 = LpmTrie::create(POLICIES_MAX, flags).unwrap();
        let prefixes6 = LpmTrie::create(POLICIES_MAX, flags).unwrap();
        // The place of cases' sets, which have odd numbers; the other stays empty.
        places4.set(1, &hosts4, 0).unwrap();
        places6.set(1, &hosts6, 0).unwrap();
        wide4.set(1, &prefixes4, 0).unwrap();
        wide6.set(1, &prefixes6, 0).unwrap();
        Self {
            hosts4,
            hosts6,
            prefixes4,
            prefixes6,
            customers4: take(&mut ebpf, map::CUSTOMERS4),
            customers6: take(&mut ebpf, map::CUSTOMERS6),
            pools: take(&mut ebpf, map::POOLS),
            slots: take(&mut ebpf, map::SLOTS),
            relays: take(&mut ebpf, map::RELAYS),
            listeners: take(&mut ebpf, map::LISTENERS),
            flows: take(&mut ebpf, map::FLOWS),
            buckets: take(&mut ebpf, map::SYN_BUCKETS),
            roles: take(&mut ebpf, map::ROLES),
            settings: take(&mut ebpf, map::SETTINGS),
            counters: take(&mut ebpf, map::COUNTERS),
            events: take(&mut ebpf, map::EVENTS),
            devices: take(&mut ebpf, map::DEVICES),
            radar: [map::RADAR_EVEN, map::RADAR_ODD].map(|name| take(&mut ebpf, name)),
            openings: take(&mut ebpf, map::RADAR_OPENINGS),
            cookie_key: take(&mut ebpf, map::COOKIE_KEY),
            refusals: take(&mut ebpf, map::REFUSALS),
            in_slots: None,
            ebpf,
        }
    }

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

    /// Runs the program once.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Ran {
        let before = self.counts();
        let mut out = vec![0; 4096];
        let program: &Xdp = self
            .ebpf
            .program("outgate_xdp")
            .unwrap()
            .try_into()
            .unwrap();
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::default()
            })
            .expect("the kernel runs the program");
        out.truncate(usize::try_from(result.data_size_out).unwrap());
        let raised = self
            .counts()
            .into_iter()
            .map(|(counter, value)| (counter, value - before[&counter]));
        let raised = raised.filter(|(_, value)| *value != 0).collect();
        let mut events = Vec::new();
        while let Some(event) = self.events.next() {
            events.push(timeless(Event::from_octets((*event).try_into().unwrap())));
        }
        let flows = self.flows.iter().map(|entry| entry.unwrap());
        let buckets = self.buckets.iter().map(|entry| entry.unwrap());
        Ran {
            verdict: result.return_value,
            frame: out,
            counters: raised,
            flows: flows
                .map(|(key, flow)| (FlowKey::from_octets(&key), Flow::from_octets(&flow)))
                .collect(),
            buckets: buckets
                .map(|(key, bucket)| (key, tokenless(Bucket::from_octets(&bucket))))
                .collect(),
            events,
            sightings: self.radar.each_ref().map(|map| {
                let records = map.iter().map(|entry| entry.unwrap());
                records
                    .map(|(source, record)| (source, Sighting::from_octets(&record)))
                    .collect()
            }),
            openings: self.openings.iter().map(|entry| entry.unwrap()).collect(),
        }
    }

    fn counts(&self) -> BTreeMap<Counter, u64> {
        let sum = |counter: &Counter| self.counters.get(&counter.index(), 0).unwrap().iter().sum();
        Counter::ALL
            .iter()
            .map(|counter| (*counter, sum(counter)))
            .collect()
    }

    fn empty(&mut self) {
        clear(&mut self.hosts4);
        clear(&mut self.hosts6);
        clear(&mut self.listeners);
        clear(&mut self.flows);
        clear(&mut self.buckets);
        clear(&mut self.roles);
        self.radar.iter_mut().for_each(clear);
        clear(&mut self.openings);
        clear_trie(&mut self.prefixes4);
        clear_trie(&mut self.prefixes6);
        clear_trie(&mut self.customers4);
        clear_trie(&mut self.customers6);
        let keys: Vec<u32> = self.devices.keys().map(|key| key.unwrap()).collect();
        for key in keys {
            self.devices.remove(key).unwrap();
        }
        while self.events.next().is_some() {}
    }
}

/// The verdict as the kernel numbers it.
pub(crate) fn code(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Drop => 1,
        Verdict::Pass => 2,
        Verdict::Tx => 3,
        Verdict::Redirect { .. } => 4,
    }
}

/// The event without the time, which two clocks do not agree upon.
pub(crate) fn timeless(event: Event) -> Event {
    Event { at_ns: 0, ..event }
}

/// The bucket without what depends on nanoseconds.
pub(crate) fn tokenless(bucket: Bucket) -> Bucket {
    Bucket {
        updated_ns: 0,
        millitokens: 0,
        ..bucket
    }
}

/// Seconds of the clock that the program reads.
pub(crate) fn monotonic_s() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u32::try_from(now.tv_sec).unwrap()
}

fn take<M>(ebpf: &mut Ebpf, name: &str) -> M
where
    M: TryFrom<Map>,
    M::Error: std::fmt::Debug,
{
    let map = ebpf
        .take_map(name)
        .unwrap_or_else(|| panic!("the object has no map {name}"));
    M::try_from(map).unwrap_or_else(|error| panic!("{name}: {error:?}"))
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

/// Policies of each kind in cases.
const POLICIES_MAX: u32 = 64;
/// Few, so that reading them all is quick.
const SOURCES_MAX: u32 = 1024;
/// Relay numbers in cases are below.
const RELAYS_IN_CASES: u32 = 8;
/// Index of the loopback interface in every namespace.
const LOOPBACK: u32 = 1;
