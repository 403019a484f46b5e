//! Showing the frames that the program takes: a packet analyser on the interface never sees them.
//!
//! Nobody asks for that as a rule, and then a taken frame costs a look-up in an array and a branch, and a
//! frame that passes costs nothing. A frame that is to be changed is kept as it came before the first write;
//! one that ends here is as it came at the end.

use core::{ffi::c_void, hint::black_box, slice};

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    helpers::bpf_ktime_get_ns,
    macros::{btf_map, map},
    maps::RingBuf,
};
use redirector_common::abi::capture::{CAPTURE_OCTETS, CaptureOrder, Captured};

use crate::{dry, tables::WORK};

#[btf_map]
static CAPTURE: Array<CaptureOrder, 1> = Array::new();
#[btf_map]
static CAPTURE_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();
// As EVENTS in `tables`.
#[map]
static CAPTURED: RingBuf = RingBuf::with_byte_size(RING_OCTETS, 0);
/// The frame under judgement as it will be shown; this program's own, not pinned.
#[btf_map]
static KEPT: PerCpuArray<Kept, 1> = PerCpuArray::new();

/// A record of the ring while it is made.
#[repr(C)]
struct Kept {
    head: Captured,
    octets: [u8; CAPTURE_OCTETS as usize],
}

impl Kept {
    /// Whether a frame is kept. What another order has left behind is none.
    #[inline(always)]
    fn holds(&self, order: &CaptureOrder) -> bool {
        self.head.kept_octets != 0 && self.head.number == order.number
    }
}

/// What is asked of a frame that is to be shown.
pub(crate) trait Shown {
    /// Octets of the whole frame.
    fn wire_octets(&self) -> u64;

    /// Copies its first `octets` octets, which are at least one.
    fn load(&self, into: *mut c_void, octets: u32) -> bool;

    /// Interface that it came in by.
    fn ifindex(&self) -> u32;
}

/// Keeps the frame as it is, if somebody asks to see it.
#[inline(never)]
pub(crate) fn keep<F: Shown>(frame: &F) {
    let Some(order) = asked() else {
        return;
    };
    let Some(kept) = KEPT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the value is this CPU's own, and programs do not interrupt one another on it; `show` and `forget` are the
    // only others to take it, and not while this runs.
    let kept = unsafe { &mut *kept };
    // Whatever was judged before is shown or forgotten, so what is kept is this frame as it came.
    if !kept.holds(order) {
        take(frame, order, kept);
    }
}

/// Forgets the frame that was kept.
#[inline(never)]
pub(crate) fn forget() {
    if asked().is_none() {
        return;
    }
    if let Some(kept) = KEPT.get_ptr_mut(0) {
        // SAFETY: as in `keep`.
        unsafe { (*kept).head.kept_octets = 0 };
    }
}

/// Shows a frame that was taken, if somebody asks to see it.
#[inline(never)]
pub(crate) fn show<F: Shown>(frame: &F, verdict: u32, counter: u32, relay: u32, flag_id: u32) {
    let Some(order) = asked() else {
        return;
    };
    let (Some(kept), Some(work)) = (KEPT.get_ptr_mut(0), WORK.get_ptr_mut(0)) else {
        return;
    };
    // SAFETY: the judgement has ended, and with it the only other reference.
    let [source, destination] = unsafe { (*work).ends() };
    // SAFETY: as in `keep`.
    let kept = unsafe { &mut *kept };
    if !order.covers(source) && !order.covers(destination) {
        kept.head.kept_octets = 0;
        return;
    }
    let is_kept = kept.holds(order);
    if !is_kept {
        take(frame, order, kept);
    }
    let head = &mut kept.head;
    // SAFETY: the helper takes nothing and reads a clock.
    head.at_ns = unsafe { bpf_ktime_get_ns() };
    head.ifindex = frame.ifindex();
    head.counter = counter;
    head.relay = relay;
    head.flag_id = flag_id;
    head.verdict = verdict.to_le_bytes()[0];
    head.as_it_left = u8::from(!is_kept && verdict != XDP_DROP);
    // Hidden from LLVM, so that the verifier sees the bound on the number that it is told.
    let octets = black_box(head.kept_octets);
    head.kept_octets = octets;
    if octets <= CAPTURE_OCTETS {
        let whole = Captured::SIZE + octets as usize;
        // SAFETY: header and so many octets behind it lie inside the value, and are initialised.
        let record = unsafe { slice::from_raw_parts((&raw const *kept).cast::<u8>(), whole) };
        if CAPTURED.output::<[u8]>(record, 0).is_err() {
            lose();
        }
    }
    kept.head.kept_octets = 0;
}

/// The order that is in force.
#[inline(always)]
fn asked() -> Option<&'static CaptureOrder> {
    if dry::is_run() {
        return None;
    }
    let order = CAPTURE.get(0)?;
    if order.until_s == 0 {
        return None;
    }
    // SAFETY: the helper takes nothing and reads a clock.
    let now_s = unsafe { bpf_ktime_get_ns() } / NANOSECONDS;
    (now_s < u64::from(order.until_s)).then_some(order)
}

/// Copies what is asked for of the frame.
#[inline(always)]
fn take<F: Shown>(frame: &F, order: &CaptureOrder, kept: &mut Kept) {
    kept.head.number = order.number;
    kept.head.kept_octets = 0;
    let Ok(wire_octets) = u32::try_from(frame.wire_octets()) else {
        return;
    };
    kept.head.wire_octets = wire_octets;
    // The helper takes no length of zero, and before Linux 6.8 the verifier learns nothing from "not zero":
    // so the number that is bounded is one less.
    let last = black_box(wire_octets.min(order.octets).wrapping_sub(1));
    if last >= CAPTURE_OCTETS {
        return;
    }
    let octets = last + 1;
    if frame.load((&raw mut kept.octets).cast(), octets) {
        kept.head.kept_octets = octets;
    }
}

#[inline(always)]
fn lose() {
    if let Some(lost) = CAPTURE_LOST.get_ptr_mut(0) {
        // SAFETY: the pointer is to this CPU's own, aligned value.
        unsafe { *lost += 1 };
    }
}

const RING_OCTETS: u32 = 1 << 20;
const NANOSECONDS: u64 = 1_000_000_000;
const XDP_DROP: u32 = aya_ebpf::bindings::xdp_action::XDP_DROP;
