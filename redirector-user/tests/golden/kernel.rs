//! The real program with maps of its own, filled from a case.

mod dump;
mod fill;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap as StdHashMap},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{
        Array, ArrayOfMaps, HashMap, LpmTrie, Map, MapData, PerCpuArray, RingBuf, xdp::DevMapHash,
    },
    programs::{
        ProgramError, ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions, TestRunResult,
        Xdp,
    },
};
use redirector_common::{
    abi::{
        Bucket, CookieKey, Event, Flow, FlowKey, ListenerKey, Policy, Pool, Refusal, Relay, Role,
        RoleKey, Settings, Sighting, TunnelKey,
        capture::{CaptureOrder, Captured},
        map,
        trial::{TRIAL, Trial},
    },
    cases::FLOWS_MAX,
    counters::Counter,
};
use redirector_user::edge::{PROGRAM, make_places};

use super::hook::Hook;

/// One load of the program for one role.
pub(crate) struct Kernel {
    ebpf: Ebpf,
    hook: Hook,
    hosts4: Hosts<4>,
    hosts6: Hosts<16>,
    prefixes4: Prefixes<4>,
    prefixes6: Prefixes<16>,
    customers4: LpmTrie<MapData, [u8; 4], u32>,
    customers6: LpmTrie<MapData, [u8; 16], u32>,
    bypasses4: LpmTrie<MapData, [u8; 4], u32>,
    bypasses6: LpmTrie<MapData, [u8; 16], u32>,
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
    uplink_ports: Array<MapData, u64>,
    tunnels: HashMap<MapData, [u8; TunnelKey::SIZE], u32>,
    capture: Array<MapData, [u8; CaptureOrder::SIZE]>,
    captured: RingBuf<MapData>,
    capture_lost: PerCpuArray<MapData, u64>,
    /// What a dry run is told and says.
    trial: Array<MapData, [u8; Trial::SIZE]>,
    /// What stands in every slot of pool 0; writing them all takes longer than a case.
    in_slots: Option<u32>,
    /// Words of `uplink_ports` that are not zero.
    uplink_words: BTreeSet<u32>,
}

type Hosts<const N: usize> = HashMap<MapData, [u8; N], [u8; Policy::SIZE]>;
type Prefixes<const N: usize> = LpmTrie<MapData, [u8; N], [u8; Policy::SIZE]>;

/// What came of a frame in the kernel.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `enum xdp_action`, or a `TC_ACT_`.
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

/// What came of a frame in an instance that only judges.
#[derive(Debug)]
pub(crate) struct Tried {
    /// `enum xdp_action`.
    pub(crate) verdict: u32,
    /// The frame afterwards.
    pub(crate) frame: Vec<u8>,
    /// What the program says of it.
    pub(crate) said: Trial,
}

impl Kernel {
    /// Loads the program, without pinning or attaching anything.
    pub(crate) fn load(hook: Hook, role: Option<Role>, debug_lines: bool) -> Self {
        Self::load_as(hook, role, u8::from(debug_lines), 0)
    }

    /// The same for an instance that only judges.
    pub(crate) fn load_dry(hook: Hook, role: Option<Role>) -> Self {
        Self::load_as(hook, role, 0, 1)
    }

    fn load_as(hook: Hook, role: Option<Role>, debug_lines: u8, dry_run: u8) -> Self {
        let role = role.map_or(0, |role| role as u8);
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
            .override_global("DRY_RUN", &dry_run, true)
            .map_max_entries(map::FLOWS, u32::try_from(FLOWS_MAX).unwrap())
            .map_max_entries(map::RADAR_EVEN, SOURCES_MAX)
            .map_max_entries(map::RADAR_ODD, SOURCES_MAX)
            .map_max_entries(map::RADAR_OPENINGS, SOURCES_MAX)
            .load(PROGRAM);
        std::fs::remove_dir_all(&dir).unwrap();
        let mut ebpf = loaded.expect("the object is well-formed, and we are privileged");
        let program = ebpf.program_mut(hook.program()).unwrap();
        let loaded = match hook {
            Hook::Xdp => <&mut Xdp>::try_from(program).unwrap().load(),
            Hook::Tc => <&mut SchedClassifier>::try_from(program).unwrap().load(),
        };
        loaded.unwrap_or_else(|error| {
            panic!("role {role}, debug lines {debug_lines}, dry run {dry_run}: the verifier refuses the program: {error:?}")
        });
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
            bypasses4: take(&mut ebpf, map::BYPASSES4),
            bypasses6: take(&mut ebpf, map::BYPASSES6),
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
            uplink_ports: take(&mut ebpf, map::UPLINK_PORTS),
            tunnels: take(&mut ebpf, map::TUNNELS),
            capture: take(&mut ebpf, map::CAPTURE),
            captured: take(&mut ebpf, map::CAPTURED),
            capture_lost: take(&mut ebpf, map::CAPTURE_LOST),
            trial: take(&mut ebpf, TRIAL),
            in_slots: None,
            uplink_words: BTreeSet::new(),
            ebpf,
            hook,
        }
    }

    /// Instructions that the verifier looked at; `None` = the kernel does not say (before Linux 5.16).
    pub(crate) fn verified_instructions(&self) -> Option<u32> {
        self.info().verified_instruction_count()
    }

    fn info(&self) -> ProgramInfo {
        let program = self.ebpf.program(self.hook.program()).unwrap();
        let info = match self.hook {
            Hook::Xdp => <&Xdp>::try_from(program).unwrap().info(),
            Hook::Tc => <&SchedClassifier>::try_from(program).unwrap().info(),
        };
        info.unwrap()
    }

    /// Runs the program once.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Ran {
        let before = self.counts();
        let (verdict, out) = self.test_run(frame);
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
            verdict,
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

    fn run_once(&self, options: TestRunOptions<'_>) -> Result<TestRunResult, ProgramError> {
        let program = self.ebpf.program(self.hook.program()).unwrap();
        match self.hook {
            Hook::Xdp => <&Xdp>::try_from(program).unwrap().test_run(options),
            Hook::Tc => <&SchedClassifier>::try_from(program)
                .unwrap()
                .test_run(options),
        }
    }

    /// Runs an instance that only judges: verdict, frame, and what it says.
    pub(crate) fn try_out(&mut self, frame: &[u8], ifindex: u32, full: bool) -> Tried {
        let told = Trial {
            ifindex,
            flows_full: u32::from(full),
            ..Trial::default()
        };
        self.trial.set(0, told.to_octets(), 0).unwrap();
        let (verdict, frame) = self.test_run(frame);
        Tried {
            verdict,
            frame,
            said: Trial::from_octets(&self.trial.get(&0, 0).unwrap()),
        }
    }

    fn test_run(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        let mut out = vec![0; 4096];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = self.run_once(options).expect("the kernel runs the program");
        out.truncate(usize::try_from(result.data_size_out).unwrap());
        (result.return_value, out)
    }

    /// Tag that the kernel has computed over the program's instructions.
    pub(crate) fn tag(&self) -> u64 {
        self.info().tag()
    }

    /// Asks for taken frames.
    pub(crate) fn ask(&mut self, order: &CaptureOrder) {
        self.capture.set(0, order.to_octets(), 0).unwrap();
    }

    /// The frames that were shown.
    pub(crate) fn shown(&mut self) -> Vec<(Captured, Vec<u8>)> {
        let mut shown = Vec::new();
        while let Some(item) = self.captured.next() {
            let (head, octets) = item.split_first_chunk().unwrap();
            shown.push((Captured::from_octets(head), octets.to_vec()));
        }
        shown
    }

    /// How many found no room.
    pub(crate) fn lost(&self) -> u64 {
        self.capture_lost.get(&0, 0).unwrap().iter().sum()
    }

    /// Whether nothing waits in the ring of events.
    pub(crate) fn has_told_nothing(&mut self) -> bool {
        self.events.next().is_none()
    }

    fn counts(&self) -> BTreeMap<Counter, u64> {
        let sum = |counter: &Counter| self.counters.get(&counter.index(), 0).unwrap().iter().sum();
        Counter::ALL
            .iter()
            .map(|counter| (*counter, sum(counter)))
            .collect()
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

/// Seconds of the clock that the program reads: that of the last tick, which enters a second some
/// milliseconds after the exact one.
pub(crate) fn monotonic_s() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    u32::try_from(now.tv_sec).unwrap()
}

pub(crate) fn take<M>(ebpf: &mut Ebpf, name: &str) -> M
where
    M: TryFrom<Map>,
    M::Error: std::fmt::Debug,
{
    let map = ebpf
        .take_map(name)
        .unwrap_or_else(|| panic!("the object has no map {name}"));
    M::try_from(map).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// Policies of each kind in cases.
const POLICIES_MAX: u32 = 64;
/// Few, so that reading them all is quick.
const SOURCES_MAX: u32 = 1024;
