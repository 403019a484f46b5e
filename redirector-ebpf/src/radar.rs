//! A record of the radar, which several CPUs count into at once.
//!
//! The connections of one source are spread over all receive queues, so plain additions would lose
//! some. Additions are atomic; a register of the sketch is one octet of its own and is raised without:
//! should two CPUs raise one at the same moment, the lower may win, and the next SYN to that network
//! mends it.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use redirector_common::{
    abi::Sighting,
    radar::{Ending, Place, REGISTERS},
    tables::Sighted,
};

/// An entry of one of the radar's maps. Both are preallocated: an element that LRU gives to another
/// source meanwhile stays mapped, and what is counted into it then is that source's, by a frame or two.
pub(crate) struct Record(pub(crate) *mut Sighting);

/// Adds to one field.
macro_rules! add {
    ($record:expr, $field:ident, $by:expr) => {{
        // SAFETY: the look-up has just returned the pointer, to a whole record aligned to eight octets.
        let field = unsafe { &raw mut (*$record.0).$field };
        // SAFETY: the same; user space reads it by a system call, other CPUs add as we do.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(field, $by) };
    }};
}

impl Sighted for Record {
    #[inline(always)]
    fn sent(&self, octets: u64, place: Option<Place>) {
        add!(self, packets_out, 1);
        add!(self, octets_out, octets);
        let Some(Place { register, rank }) = place else {
            return;
        };
        add!(self, syns, 1);
        // SAFETY: as above.
        let registers = unsafe { &raw mut (*self.0).destinations }.cast::<u8>();
        // SAFETY: the mask keeps the index inside the registers.
        let register = unsafe { registers.add(usize::from(register) & (REGISTERS - 1)) };
        // SAFETY: an octet of the record.
        let value = unsafe { register.read_volatile() };
        if rank > value {
            // SAFETY: the same octet.
            unsafe { register.write_volatile(rank) };
        }
    }

    #[inline(always)]
    fn received(&self, octets: u64, ending: Option<Ending>) {
        add!(self, packets_in, 1);
        add!(self, octets_in, octets);
        let Some(Ending { reset, short }) = ending else {
            return;
        };
        add!(self, ended, 1);
        if reset {
            add!(self, reset, 1);
        }
        if short {
            add!(self, short, 1);
        }
    }
}
