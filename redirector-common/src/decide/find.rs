//! Finding the entry of a diverted connection from the customer's side.
//!
//! The entry's key is what the relay sees. Of a steered connection that is what the customer's segment
//! says itself. Of a rewritten one the segment must guess it: the relay is the one of the customer's slot,
//! or one that its latest connections went to; the port is one of the connection's candidates. The first
//! guess is nearly always right.

use super::{Work, steer};
use crate::{
    abi::{NO_RELAY, NO_RELAY_SHORT},
    flow::CANDIDATES,
    maglev::slot_of_key,
    tables::{FlowEntry, Tables},
};

/// Finds the entry that the segment belongs to. `work` then points at it: relay and key.
#[inline(always)]
pub(super) fn entry<T: Tables>(tables: &T, work: &mut Work) -> Option<T::Entry> {
    // A connection keeps the way that its pool went when it was opened, so the other one is tried last.
    let steers = steer::is_way(tables, work);
    if steers && let Some(entry) = steer::find(tables, work) {
        return Some(entry);
    }
    let in_slot = relay_in_slot(tables, work);
    if let Some(entry) = likely(tables, work, u32::from(in_slot)) {
        return Some(entry);
    }
    let place = search(tables, work, u32::from(in_slot));
    if place != NOWHERE {
        standing(tables, work, place / CANDIDATES, place % CANDIDATES);
        return tables.flow(&work.key);
    }
    if steers {
        None
    } else {
        steer::find(tables, work)
    }
}

/// Points `work` at the first candidate towards a relay, and finds what stands there if it is the connection's
/// own: one look-up for nearly every segment.
#[inline(never)]
fn likely<T: Tables>(tables: &T, work: &mut Work, relay: u32) -> Option<T::Entry> {
    let number = u16::try_from(relay).ok()?;
    let relay = tables.relay(relay)?;
    if !work.aim(number, &relay) {
        return None;
    }
    work.point(0);
    let entry = tables.flow(&work.key)?;
    work.connection().owns(&entry.flow()).then_some(entry)
}

/// Number of the relay in the customer's slot, or [`NO_RELAY_SHORT`]; a probe's relay is its policy's. Out of
/// line: the stack is the customers'.
#[inline(never)]
pub(super) fn relay_in_slot<T: Tables>(tables: &T, work: &Work) -> u16 {
    if let Some(relay) = work.policy.direct_relay() {
        return relay;
    }
    let slot = tables.slot(u16::from(work.policy.pool), slot_of_key(&work.customer));
    u16::try_from(slot.unwrap_or(NO_RELAY)).unwrap_or(NO_RELAY_SHORT)
}

/// What stands in the table at one place.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Free,
    /// The connection's own entry.
    Ours,
    /// Another connection's, or the relay cannot be reached.
    Taken,
}

/// Points `work` at the `nth` candidate towards a relay, and says what stands there. Out of line, and
/// answering in a register: the verifier would otherwise follow all that comes after once per place.
#[inline(never)]
pub(super) fn standing<T: Tables>(tables: &T, work: &mut Work, relay: u32, nth: u32) -> Standing {
    let Ok(number) = u16::try_from(relay) else {
        return Standing::Taken;
    };
    let aimed = tables
        .relay(relay)
        .is_some_and(|relay| work.aim(number, &relay));
    if !aimed {
        return Standing::Taken;
    }
    work.point(nth);
    match tables.flow(&work.key) {
        None => Standing::Free,
        Some(entry) if work.connection().owns(&entry.flow()) => Standing::Ours,
        Some(_) => Standing::Taken,
    }
}

/// Looks in the less likely places; answers `relay * CANDIDATES + nth`, or [`NOWHERE`].
#[inline(never)]
fn search<T: Tables>(tables: &T, work: &mut Work, in_slot: u32) -> u32 {
    let bucket = tables.bucket(&work.customer);
    let [latest, earlier] = bucket.map_or([NO_RELAY_SHORT; 2], |bucket| bucket.relays);
    // The slot may have changed hands since the connection was opened.
    for relay in [in_slot, u32::from(latest), u32::from(earlier)] {
        if relay == u32::from(NO_RELAY_SHORT) {
            continue;
        }
        for nth in 0..CANDIDATES {
            if matches!(standing(tables, work, relay, nth), Standing::Ours) {
                return relay * CANDIDATES + nth;
            }
        }
    }
    NOWHERE
}

/// No place: relay numbers have 16 bits.
const NOWHERE: u32 = u32::MAX;
