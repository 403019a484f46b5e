//! The maps, by the names and shapes of `redirector_common::abi::host`.

use aya_ebpf::{
    bindings::BPF_ANY,
    btf_maps::{HashMap, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use redirector_common::{
    abi::host::{HOST_EDGES_MAX, HostCounter, HostCustomer, HostEdge},
    tunnel::host::HostTables,
};

const EDGES_MAX: usize = HOST_EDGES_MAX as usize;
const CUSTOMERS_NOTED_MAX: usize = 262_144;
const OWN_ADDRESSES_MAX: usize = 4096;

#[btf_map]
static EDGES: HashMap<[u8; 16], HostEdge, EDGES_MAX> = HashMap::new();
#[btf_map]
static NOTED: LruHashMap<HostCustomer, [u8; 16], CUSTOMERS_NOTED_MAX> = LruHashMap::new();
#[btf_map]
static OWN: HashMap<[u8; 16], u32, OWN_ADDRESSES_MAX> = HashMap::new();
#[btf_map]
static HOST_COUNTERS: PerCpuArray<u64, { HostCounter::COUNT as usize }> = PerCpuArray::new();

/// The maps above.
pub(crate) struct Maps;

impl HostTables for Maps {
    #[inline(always)]
    fn edge(&self, address: &[u8; 16]) -> Option<HostEdge> {
        copy(EDGES.get_ptr(address))
    }

    #[inline(always)]
    fn noted(&self, customer: &HostCustomer) -> Option<[u8; 16]> {
        copy(NOTED.get_ptr(customer))
    }

    #[inline(always)]
    fn note(&mut self, customer: &HostCustomer, edge: &[u8; 16]) {
        // An LRU table makes room; if it cannot, the customer's next packet is noted.
        let _lost = NOTED.insert(customer, edge, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn is_own(&self, address: &[u8; 16]) -> bool {
        OWN.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn count(&mut self, counter: HostCounter) {
        if let Some(value) = HOST_COUNTERS.get_ptr_mut(counter.index()) {
            // SAFETY: the pointer is to this CPU's own, aligned value.
            unsafe { *value += 1 };
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
