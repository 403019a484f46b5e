//! The maps in the kernel, by the names and shapes of `redirector_common::abi::map`.

use core::{marker::PhantomData, ops::Deref, ptr::null};

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{
        Array, ArrayOfMaps, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, lpm_trie::Key,
    },
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::{btf_map, map},
    maps::RingBuf,
};
use redirector_common::{
    abi::{
        Bucket, CookieKey, Event, Flow, FlowKey, ListenerKey, POOLS_MAX, PORT_WORDS, Policy, Pool,
        REFUSALS_MAX, RELAYS_MAX, Refusal, Relay, Role, RoleKey, SLOTS_PER_POOL, Settings,
        Sighting, TunnelKey, port_bit,
    },
    addr::AddrRef,
    counters::Counter,
    decide::Work,
    tables::{InsertError, Tables},
};

use crate::{dry, entry::Entry, radar::Record};

const UNPREALLOCATED: usize = BPF_F_NO_PREALLOC as usize;
const PREFIXES_MAX: usize = 65_536;
const BYPASSES_MAX: usize = 4096;
const LISTENERS_MAX: usize = 4 * RELAYS_MAX as usize;
/// Of what stands in the places of a set: user space makes it, as large as it likes.
const ANY_SIZE: usize = 1;
/// One set in force, and one that is being loaded.
const SETS: usize = 2;
/// While a relay's tunnel gets other ends, it has both.
const TUNNELS_MAX: usize = 2 * RELAYS_MAX as usize;
const FLOWS_MAX: usize = 262_144;
const CUSTOMERS_SEEN_MAX: usize = 65_536;
const SOURCES_MAX: usize = 65_536;
const ROLES_MAX: usize = 8192;
const DEVICES_MAX: usize = 1024;
const SLOTS_MAX: usize = (POOLS_MAX * SLOTS_PER_POOL) as usize;
const EVENTS_OCTETS: u32 = 1 << 20;

/// Policies of single addresses.
type Hosts<const N: usize> = HashMap<[u8; N], Policy, ANY_SIZE, UNPREALLOCATED>;
/// Policies of prefixes.
type Prefixes<const N: usize> = LpmTrie<[u8; N], Policy, ANY_SIZE>;

#[btf_map]
static HOSTS4: ArrayOfMaps<Hosts<4>, SETS> = ArrayOfMaps::new();
#[btf_map]
static HOSTS6: ArrayOfMaps<Hosts<16>, SETS> = ArrayOfMaps::new();
#[btf_map]
static PREFIXES4: ArrayOfMaps<Prefixes<4>, SETS> = ArrayOfMaps::new();
#[btf_map]
static PREFIXES6: ArrayOfMaps<Prefixes<16>, SETS> = ArrayOfMaps::new();
#[btf_map]
static CUSTOMERS4: LpmTrie<[u8; 4], u32, PREFIXES_MAX> = LpmTrie::new();
#[btf_map]
static CUSTOMERS6: LpmTrie<[u8; 16], u32, PREFIXES_MAX> = LpmTrie::new();
#[btf_map]
static BYPASSES4: LpmTrie<[u8; 4], u32, BYPASSES_MAX> = LpmTrie::new();
#[btf_map]
static BYPASSES6: LpmTrie<[u8; 16], u32, BYPASSES_MAX> = LpmTrie::new();
#[btf_map]
static POOLS: Array<Pool, { POOLS_MAX as usize }> = Array::new();
#[btf_map]
static SLOTS: Array<u32, SLOTS_MAX> = Array::new();
#[btf_map]
static RELAYS: Array<Relay, { RELAYS_MAX as usize }> = Array::new();
#[btf_map]
static LISTENERS: HashMap<ListenerKey, u32, LISTENERS_MAX> = HashMap::new();
#[btf_map]
pub(crate) static FLOWS: HashMap<FlowKey, Flow, FLOWS_MAX> = HashMap::new();
#[btf_map]
static SYN_BUCKETS: LruHashMap<[u8; 16], Bucket, CUSTOMERS_SEEN_MAX> = LruHashMap::new();
#[btf_map]
static ROLES: HashMap<RoleKey, u32, ROLES_MAX> = HashMap::new();
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static COUNTERS: PerCpuArray<u64, { Counter::COUNT as usize }> = PerCpuArray::new();
// libbpf before 1.2 refuses the ring buffer among the BTF maps.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_OCTETS, 0);
#[btf_map]
static DEVICES: Devices = Devices::new();
#[btf_map]
static RADAR_EVEN: LruHashMap<[u8; 16], Sighting, SOURCES_MAX> = LruHashMap::new();
#[btf_map]
static RADAR_ODD: LruHashMap<[u8; 16], Sighting, SOURCES_MAX> = LruHashMap::new();
#[btf_map]
static RADAR_OPENINGS: LruHashMap<u64, u32, SOURCES_MAX> = LruHashMap::new();
#[btf_map]
static COOKIE_KEY: Array<CookieKey, 1> = Array::new();
#[btf_map]
static REFUSALS: Array<Refusal, { REFUSALS_MAX as usize }> = Array::new();
#[btf_map]
static TUNNELS: HashMap<TunnelKey, u32, TUNNELS_MAX> = HashMap::new();
#[btf_map]
static UPLINK_PORTS: Array<u64, { PORT_WORDS as usize }> = Array::new();
/// Working memory; this program's own, not pinned.
#[btf_map]
pub(crate) static WORK: PerCpuArray<Work, 1> = PerCpuArray::new();

/// Interfaces that frames may leave by.
pub(crate) type Devices = DevMapHash<DEVICES_MAX>;

/// How a frame leaves by an interface.
pub(crate) trait Exit {
    /// As [`Tables::redirect`].
    fn redirect(devices: &Devices, ifindex: u32) -> bool;
}

/// The maps above, and the exits of one hook.
pub(crate) struct Maps<E>(PhantomData<E>);

impl<E> Maps<E> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E: Exit> Tables for Maps<E> {
    type Entry = Entry;
    type Loan = &'static mut Work;
    type Sighted = Record;

    #[inline(always)]
    fn work(&mut self) -> Option<&'static mut Work> {
        let work = WORK.get_ptr_mut(0)?;
        // SAFETY: the value is this CPU's own, aligned and zeroed by the kernel, and any octets are a
        // valid `Work`. XDP programs, and those at tc's ingress, run with bottom halves off, so none
        // interrupts another on one CPU, and `judge` asks anew only when it has given back what it had: there is
        // no other reference.
        Some(unsafe { &mut *work })
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // The clock of the last tick, some milliseconds ago at most: nothing here is told apart by less, and it
        // costs a tenth of the exact one.
        // SAFETY: the helper takes nothing and reads a clock.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        SETTINGS.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn role(&self, key: &RoleKey) -> Option<Role> {
        let number = copy(ROLES.get_ptr(key))?;
        u8::try_from(number).ok().and_then(Role::from_number)
    }

    #[inline(always)]
    fn host_policy(&self, set: u32, source: AddrRef<'_>) -> Option<Policy> {
        copy(match source.v4() {
            Some(octets) => HOSTS4.get(set & 1)?.get_ptr(octets),
            None => HOSTS6.get(set & 1)?.get_ptr(source.mapped),
        })
    }

    #[inline(always)]
    fn prefix_policy(&self, set: u32, source: AddrRef<'_>) -> Option<Policy> {
        match source.v4() {
            Some(octets) => {
                let prefixes = PREFIXES4.get(set & 1)?;
                prefixes.get(&Whole::new(octets, 32).key).copied()
            }
            None => {
                let prefixes = PREFIXES6.get(set & 1)?;
                prefixes.get(&Whole::new(source.mapped, 128).key).copied()
            }
        }
    }

    #[inline(always)]
    fn is_customer(&self, addr: AddrRef<'_>) -> bool {
        match addr.v4() {
            Some(octets) => CUSTOMERS4.get(&Whole::new(octets, 32).key).is_some(),
            None => CUSTOMERS6.get(&Whole::new(addr.mapped, 128).key).is_some(),
        }
    }

    #[inline(always)]
    fn is_bypassed(&self, destination: AddrRef<'_>) -> bool {
        match destination.v4() {
            Some(octets) => BYPASSES4.get(&Whole::new(octets, 32).key).is_some(),
            None => BYPASSES6
                .get(&Whole::new(destination.mapped, 128).key)
                .is_some(),
        }
    }

    #[inline(always)]
    fn pool(&self, number: u16) -> Option<Pool> {
        POOLS.get(u32::from(number)).copied()
    }

    #[inline(always)]
    fn slot(&self, pool: u16, slot: u32) -> Option<u32> {
        SLOTS.get(u32::from(pool) * SLOTS_PER_POOL + slot).copied()
    }

    #[inline(always)]
    fn relay(&self, number: u32) -> Option<Relay> {
        RELAYS.get(number).copied()
    }

    #[inline(always)]
    fn is_listener(&self, key: &ListenerKey) -> bool {
        LISTENERS.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn tunnel_end(&self, key: &TunnelKey) -> Option<u32> {
        copy(TUNNELS.get_ptr(key))
    }

    #[inline(always)]
    fn is_uplink_port(&self, port_be: [u8; 2]) -> bool {
        let (word, bit) = port_bit(port_be);
        UPLINK_PORTS.get(word).is_some_and(|word| word & bit != 0)
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<Entry> {
        let live = FLOWS.get_ptr_mut(key);
        if dry::is_run() {
            let entry = dry::flow(key, live.map_or(null(), <*mut Flow>::cast_const));
            return (!entry.is_null()).then_some(Entry(entry));
        }
        live.map(Entry)
    }

    #[inline(always)]
    fn insert_flow(&mut self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        let outcome = if dry::is_run() {
            dry::insert(key, flow)
        } else {
            FLOWS
                .insert(key, flow, u64::from(BPF_NOEXIST))
                .err()
                .unwrap_or(0)
        };
        match outcome {
            0 => Ok(()),
            EEXIST => Err(InsertError::Exists),
            _ => Err(InsertError::Full),
        }
    }

    #[inline(always)]
    fn bucket(&self, customer: &[u8; 16]) -> Option<Bucket> {
        copy(SYN_BUCKETS.get_ptr(customer))
    }

    #[inline(always)]
    fn put_bucket(&mut self, customer: &[u8; 16], bucket: &Bucket) {
        if dry::is_run() {
            return;
        }
        // An LRU table makes room; if it cannot, the customer starts afresh, which harms nobody.
        let _lost = SYN_BUCKETS.insert(customer, bucket, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn cookie_key(&self) -> Option<CookieKey> {
        COOKIE_KEY.get(0).copied()
    }

    #[inline(always)]
    fn refusal(&self, index: u32) -> Option<impl Deref<Target = Refusal>> {
        REFUSALS.get(index)
    }

    #[inline(always)]
    fn redirect(&mut self, ifindex: u32) -> bool {
        if dry::is_run() {
            dry::leave_by(ifindex);
        }
        E::redirect(&DEVICES, ifindex)
    }

    #[inline(always)]
    fn count(&mut self, counter: Counter) {
        if dry::is_run() {
            dry::count(counter.index());
            return;
        }
        if let Some(value) = COUNTERS.get_ptr_mut(counter.index()) {
            // SAFETY: the pointer is to this CPU's own, aligned value, and a program is not preempted
            // by itself on one CPU.
            unsafe { *value += 1 };
        }
    }

    #[inline(always)]
    fn event(&mut self, event: &Event) {
        if dry::is_run() {
            return;
        }
        if let Some(mut entry) = EVENTS.reserve::<Event>(0) {
            entry.write(*event);
            entry.submit(0);
        }
    }

    #[inline(always)]
    fn sighting(&self, window: u32, source: &[u8; 16]) -> Option<Record> {
        // A judgement is no frame, so the radar does not see it; no verdict depends on that.
        if dry::is_run() {
            return None;
        }
        let found = if window & 1 == 0 {
            RADAR_EVEN.get_ptr_mut(source)
        } else {
            RADAR_ODD.get_ptr_mut(source)
        };
        found.map(Record)
    }

    #[inline(always)]
    fn first_sighting(&mut self, window: u32, source: &[u8; 16]) {
        if dry::is_run() {
            return;
        }
        // By reference: by value it would be copied to the stack.
        let nothing: &Sighting = &NOTHING;
        let flags = u64::from(BPF_NOEXIST);
        // Another CPU may have been first, which is as good.
        let _made = if window & 1 == 0 {
            RADAR_EVEN.insert(source, nothing, flags)
        } else {
            RADAR_ODD.insert(source, nothing, flags)
        };
    }

    #[inline(always)]
    fn opening(&self, connection: u64) -> Option<u32> {
        copy(RADAR_OPENINGS.get_ptr(connection))
    }

    #[inline(always)]
    fn put_opening(&mut self, connection: u64, first: u32) {
        if dry::is_run() {
            return;
        }
        // An LRU table makes room; if it cannot, one connection's end is not counted.
        let _lost = RADAR_OPENINGS.insert(connection, first, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn forget_opening(&mut self, connection: u64) {
        if dry::is_run() {
            return;
        }
        // Two CPUs may see the end of one connection; it is gone all the same.
        let _gone = RADAR_OPENINGS.remove(connection);
    }
}

/// What a new record is copied from: it is more than a BPF stack holds.
static NOTHING: Sighting = Sighting::NOTHING;

/// Key of a whole address in a trie. The verifier wants what is on the stack aligned, so the address
/// is put on eight octets, whatever the key would like.
#[repr(C, align(8))]
struct Whole<const N: usize> {
    padding: u32,
    key: Key<[u8; N]>,
}

impl<const N: usize> Whole<N> {
    #[inline(always)]
    const fn new(octets: &[u8; N], bits: u32) -> Self {
        Self {
            padding: 0,
            key: Key::new(bits, *octets),
        }
    }
}

/// What a look-up has found.
#[inline(always)]
fn copy<V: Copy>(found: Option<*const V>) -> Option<V> {
    // SAFETY: a look-up returns a pointer to a whole, aligned value that stays mapped while the
    // program runs. A value that is being replaced is read whole or mixed; every mixture is valid.
    found.map(|value| unsafe { value.read() })
}

pub(crate) const EEXIST: i32 = -17;
/// What a hash map without room answers.
pub(crate) const E2BIG: i32 = -7;
