//! Maps by their octets, one entry at a time or thousands in one system call.
//!
//! aya has no batch calls (`BPF_MAP_LOOKUP_BATCH` and its kin, Linux 5.6; of tries 5.13), and a million
//! policies one by one cost a million times the way into the kernel and back. So this module speaks bpf(2)
//! itself. All lengths come from the kernel's own description of the map, taken when it is opened.
//!
//! # Diagnostics
//!
//! What the kernel answers, as [`io::Error`]. A key or value of another length than the map's is `EINVAL`, and
//! never reaches the kernel.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::maps::{MapData, MapError};
use aya_obj::generated::bpf_map_type;

/// A map whose entries are octets.
pub(crate) struct RawMap {
    data: MapData,
    key_octets: usize,
    value_octets: usize,
    id: u32,
}

/// Keys and values of a map, each as one row of octets.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Keys, one after the other.
    pub(crate) keys: Vec<u8>,
    /// Values, in the same order.
    pub(crate) values: Vec<u8>,
}

impl RawMap {
    /// Takes a map over. One with a value for each CPU is not for this module: its values are longer than
    /// the kernel says.
    pub(crate) fn new(data: MapData) -> Result<Self, MapError> {
        let info = data.info()?;
        Ok(Self {
            key_octets: info.key_size() as usize,
            value_octets: info.value_size() as usize,
            id: info.id(),
            data,
        })
    }

    /// Makes an array of so many places for maps of this one's shape. aya would make it with type information
    /// that maps made here have not, and Linux 6.1 takes that for another shape.
    pub(crate) fn places_for(&self, map_name: [u8; 16], places: u32) -> io::Result<OwnedFd> {
        let mut attr = Create {
            map_type: bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS as u32,
            key_size: 4,
            value_size: 4,
            max_entries: places,
            inner_map_fd: self.map_fd(),
            map_name,
            ..Create::default()
        };
        // SAFETY: the kernel reads `size_of` octets of the structure, which holds no address.
        let answer =
            unsafe { libc::syscall(libc::SYS_bpf, CREATE, &raw mut attr, size_of::<Create>()) };
        let Ok(fd @ 0..) = i32::try_from(answer) else {
            return Err(io::Error::last_os_error());
        };
        // SAFETY: the kernel has just opened the descriptor for us, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The map as aya knows it.
    pub(crate) const fn data(&self) -> &MapData {
        &self.data
    }

    /// The kernel's number of it.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Number of its descriptor.
    pub(crate) fn fd(&self) -> i32 {
        self.data.fd().as_fd().as_raw_fd()
    }

    /// The value of a key.
    pub(crate) fn get<const V: usize>(&self, key: &[u8]) -> io::Result<Option<[u8; V]>> {
        let mut value = [0; V];
        let attr = self.element(key, &value)?;
        let attr = Element {
            value: value.as_mut_ptr() as u64,
            ..attr
        };
        // SAFETY: `element` has compared both lengths with the map's, and key and value outlive the call.
        absent(unsafe { bpf(LOOKUP, attr) }).map(|found| found.then_some(value))
    }

    /// Writes an entry.
    pub(crate) fn put(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let attr = self.element(key, value)?;
        // SAFETY: `element` has compared both lengths with the map's, and key and value outlive the call.
        unsafe { bpf(UPDATE, attr) }.map(drop)
    }

    /// Takes an entry away; `false` = it was not there.
    pub(crate) fn remove(&self, key: &[u8]) -> io::Result<bool> {
        let attr = self.key(key)?;
        // SAFETY: `key` has compared the length with the map's, and the key outlives the call.
        absent(unsafe { bpf(DELETE, attr) })
    }

    /// Whether there is no entry. Cheap for tries; a hash table is looked through from its beginning.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        let mut first = vec![0_u8; self.key_octets];
        let attr = Element {
            map_fd: self.map_fd(),
            value: first.as_mut_ptr() as u64,
            ..Element::default()
        };
        // SAFETY: no key means "from the beginning", and the next key has the map's length of room.
        absent(unsafe { bpf(NEXT_KEY, attr) }).map(|found| !found)
    }

    /// Writes all of these entries; at the first that fails it stops, and what came before stands.
    pub(crate) fn put_all(&self, entries: &Entries) -> io::Result<()> {
        let keys = entries.keys.chunks(self.key_octets * AT_ONCE);
        let values = entries.values.chunks(self.value_octets * AT_ONCE);
        for (keys, values) in keys.zip(values) {
            let count = self.count(keys, values)?;
            let mut attr = Batch {
                keys: keys.as_ptr() as u64,
                values: values.as_ptr() as u64,
                count,
                map_fd: self.map_fd(),
                ..Batch::default()
            };
            // SAFETY: `count` entries of the map's lengths stand in both rows, which outlive the call; the
            // kernel only reads them.
            unsafe { bpf_batch(UPDATE_BATCH, &mut attr) }?;
        }
        Ok(())
    }

    /// Hands all entries over in pieces: keys and values in two rows. Of what is written or removed meanwhile
    /// it may see either state.
    pub(crate) fn read_each(&self, mut piece: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        let mut at_once = AT_ONCE;
        // What the kernel goes on from: the number of a bucket, or the last key.
        let mut place = vec![0_u8; self.key_octets.max(size_of::<u32>())];
        let mut begun = false;
        loop {
            let mut keys = vec![0_u8; self.key_octets * at_once];
            let mut values = vec![0_u8; self.value_octets * at_once];
            let from = place.clone();
            let mut attr = Batch {
                in_batch: if begun { from.as_ptr() as u64 } else { 0 },
                out_batch: place.as_mut_ptr() as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: u32::try_from(at_once).map_err(io::Error::other)?,
                map_fd: self.map_fd(),
                ..Batch::default()
            };
            // SAFETY: both rows have room for `count` entries of the map's lengths, the places have room for
            // a key and for a bucket's number, and all of them outlive the call.
            let outcome = unsafe { bpf_batch(LOOKUP_BATCH, &mut attr) };
            let count = attr.count as usize;
            let last = match outcome {
                Ok(()) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // One bucket of a hash table holds more than there was room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && count == 0 => {
                    at_once *= 2;
                    place = from;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (Some(keys), Some(values)) = (
                keys.get(..count * self.key_octets),
                values.get(..count * self.value_octets),
            ) else {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            };
            piece(keys, values);
            if last {
                return Ok(());
            }
            begun = true;
        }
    }

    fn map_fd(&self) -> u32 {
        // A descriptor that is open is not negative.
        u32::try_from(self.fd()).unwrap_or(u32::MAX)
    }

    fn key(&self, key: &[u8]) -> io::Result<Element> {
        if key.len() != self.key_octets {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Element {
            map_fd: self.map_fd(),
            key: key.as_ptr() as u64,
            ..Element::default()
        })
    }

    fn element(&self, key: &[u8], value: &[u8]) -> io::Result<Element> {
        if value.len() != self.value_octets {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Element {
            value: value.as_ptr() as u64,
            ..self.key(key)?
        })
    }

    /// Number of whole entries in two rows, which must be the same.
    fn count(&self, keys: &[u8], values: &[u8]) -> io::Result<u32> {
        let count = keys.len() / self.key_octets;
        if count * self.key_octets != keys.len() || count * self.value_octets != values.len() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        u32::try_from(count).map_err(io::Error::other)
    }
}

/// `false` for what is not there.
fn absent(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// One element's half of `union bpf_attr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    /// Of `BPF_MAP_GET_NEXT_KEY` the next key.
    value: u64,
    flags: u64,
}

/// The half of `union bpf_attr` that makes a map.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

/// The batch half of `union bpf_attr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

const _: () = assert!(size_of::<Create>() == 44);
const _: () = assert!(size_of::<Element>() == 32);
const _: () = assert!(size_of::<Batch>() == 56);

/// # Safety
///
/// Every address in `attr` must be of as many octets as the command reads or writes there.
unsafe fn bpf(command: libc::c_long, mut attr: Element) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of` octets of the structure; the caller answers for the addresses in it.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<Element>()) };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// # Safety
///
/// As [`bpf`]. The kernel writes `count` back.
unsafe fn bpf_batch(command: libc::c_long, attr: &mut Batch) -> io::Result<()> {
    // SAFETY: the kernel reads and writes `size_of` octets of the structure, which nobody else refers to; the
    // caller answers for the addresses in it.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<Batch>()) };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `enum bpf_cmd` of linux/bpf.h.
const CREATE: libc::c_long = 0;
const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
const NEXT_KEY: libc::c_long = 4;
const LOOKUP_BATCH: libc::c_long = 24;
const UPDATE_BATCH: libc::c_long = 26;
/// Entries of one call: few enough for buffers that fit a cache, enough that the call itself costs nothing.
const AT_ONCE: usize = 4096;
