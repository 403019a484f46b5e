//! An instance that judges and does nothing else: `outgate why` asks it.
//!
//! It reads the very maps that the attached instances read, and writes to none of them. What a judgement
//! would write of flow entries, and would read again, goes to memory of the instance's own; what it
//! would count is noted in [`Trial`]. In every other instance `DRY_RUN` is a constant zero, and the
//! verifier takes all of this out.

use core::ptr::null_mut;

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};
use redirector_common::abi::{Flow, FlowKey, trial::Trial};

use crate::tables::{E2BIG, EEXIST, FLOWS, WORK};

/// 1 = this instance only judges. Written by the loader.
#[unsafe(no_mangle)]
static DRY_RUN: Global<u8> = Global::new(0);

#[btf_map]
static TRIAL: Array<Trial, 1> = Array::new();
/// What a dry run would write to the flow table.
#[btf_map]
static OVERLAY: Array<Overlay, 1> = Array::new();

/// Entries of one dry run. The core holds one entry at a time.
#[repr(C)]
struct Overlay {
    /// Key of `made`.
    key: FlowKey,
    /// The entry that it has made.
    made: Flow,
    /// Copy of the entry that it has found last, to be written to.
    found: Flow,
    /// Whether `made` is one.
    has_made: u64,
}

/// Whether this instance only judges.
#[inline(always)]
pub(crate) fn is_run() -> bool {
    DRY_RUN.load() != 0
}

/// Forgets the run before; answers with the interface that the frame is taken to come in by.
#[inline(never)]
pub(crate) fn begin() -> u32 {
    if let Some(overlay) = OVERLAY.get_ptr_mut(0) {
        // SAFETY: the look-up has just returned the pointer, to a whole aligned value. User space runs
        // one judgement at a time, so nobody else touches it.
        unsafe { (*overlay).has_made = 0 };
    }
    let Some(trial) = TRIAL.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: as above.
    let trial = unsafe { &mut *trial };
    trial.counted = [0; 2];
    trial.wanted_entry = 0;
    trial.leaves_by = 0;
    trial.ifindex
}

/// The entry of a connection: the one that this run has made, or a copy of the `live` one; null = none.
#[inline(never)]
pub(crate) fn flow(key: &FlowKey, live: *const Flow) -> *mut Flow {
    let Some(overlay) = OVERLAY.get_ptr_mut(0) else {
        return null_mut();
    };
    // SAFETY: as in `begin`.
    let overlay = unsafe { &mut *overlay };
    if overlay.has_made != 0 && overlay.key == *key {
        return &raw mut overlay.made;
    }
    if live.is_null() {
        return null_mut();
    }
    // SAFETY: a look-up has just returned it, to a whole aligned record; any mixture of fields is a valid one.
    overlay.found = unsafe { live.read() };
    &raw mut overlay.found
}

/// Makes an entry for this run alone; 0, or the error that the table would answer with.
#[inline(never)]
pub(crate) fn insert(key: &FlowKey, flow: &Flow) -> i32 {
    let (Some(overlay), Some(trial)) = (OVERLAY.get_ptr_mut(0), TRIAL.get_ptr_mut(0)) else {
        return E2BIG;
    };
    // SAFETY: as in `begin`.
    let overlay = unsafe { &mut *overlay };
    // SAFETY: as in `begin`; it is another map.
    let trial = unsafe { &mut *trial };
    if FLOWS.get_ptr(key).is_some() {
        return EEXIST;
    }
    trial.wanted_entry = 1;
    if trial.flows_full != 0 {
        return E2BIG;
    }
    overlay.key = *key;
    overlay.made = *flow;
    overlay.has_made = 1;
    0
}

/// Notes what would be counted.
#[inline(never)]
pub(crate) fn count(index: u32) {
    let Some(trial) = TRIAL.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: as in `begin`.
    let [low, high] = unsafe { &mut (*trial).counted };
    let word = if index < 64 { low } else { high };
    *word |= 1 << (index & 63);
}

/// Notes the exit that was chosen.
#[inline(never)]
pub(crate) fn leave_by(ifindex: u32) {
    if let Some(trial) = TRIAL.get_ptr_mut(0) {
        // SAFETY: as in `begin`.
        unsafe { (*trial).leaves_by = ifindex };
    }
}

/// Notes what was judged; numbers as in [`Trial`]. The policy is still in the working memory: carried
/// through the judgement beside it, it would be more than the stack holds.
#[inline(never)]
pub(crate) fn record(counter: u32, relay: u32, has_policy: u32) {
    let (Some(trial), Some(work)) = (TRIAL.get_ptr_mut(0), WORK.get_ptr_mut(0)) else {
        return;
    };
    // SAFETY: as in `begin`.
    let trial = unsafe { &mut *trial };
    trial.counter = counter;
    trial.relay = relay;
    trial.has_policy = has_policy;
    // SAFETY: the judgement has ended, and with it the only other reference.
    trial.policy = unsafe { (*work).policy() };
}
