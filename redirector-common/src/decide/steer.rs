//! Steering: a diverted connection whose addresses and ports stay what they are.
//!
//! The relay is shown what the customer wrote, so the key of the connection's one entry is the
//! connection itself, whatever relay it went to: no candidate ports, and a segment finds its entry, and
//! by it its relay, when the slot has changed hands.

use super::{
    Judged, Work,
    find::Standing,
    tunnel::{self, Sealed},
};
use crate::{
    abi::{Flow, FlowKey},
    counters::Counter,
    frame::Frame,
    parse::tcp::SMTP_PORT_BE,
    rewrite,
    tables::{FlowEntry, Tables, Verdict},
};

/// Whether the pool of the customer's policy is steered to.
#[inline(always)]
pub(super) fn is_way<T: Tables>(tables: &T, work: &Work) -> bool {
    tables
        .pool(u16::from(work.policy.pool))
        .is_some_and(|pool| pool.steers())
}

/// Points `work` at the place of a steered connection, and says what stands there.
#[inline(always)]
pub(super) fn standing<T: Tables>(tables: &T, work: &mut Work) -> Standing {
    point(work);
    match tables.flow(&work.key) {
        None => Standing::Free,
        Some(entry) if work.connection().owns(&entry.flow()) => Standing::Ours,
        Some(_) => Standing::Taken,
    }
}

/// Finds the entry of a steered connection, and points `work` at it and at its relay.
#[inline(never)]
pub(super) fn find<T: Tables>(tables: &T, work: &mut Work) -> Option<T::Entry> {
    point(work);
    let entry = tables.flow(&work.key)?;
    let flow = entry.flow();
    if !work.connection().owns(&flow) {
        return None;
    }
    aim(tables, work, u32::from(flow.relay));
    Some(entry)
}

/// Considers a relay by its number. If it is gone, or does not listen on the family, the way to it is
/// unknown.
#[inline(never)]
pub(super) fn aim<T: Tables>(tables: &T, work: &mut Work, number: u32) {
    let Ok(short) = u16::try_from(number) else {
        return;
    };
    let aimed = tables
        .relay(number)
        .is_some_and(|relay| work.aim(short, &relay));
    if !aimed {
        work.target.number = short;
        work.target.path.ifindex = 0;
    }
}

/// Whether an entry is of a frame's own ends: nothing is translated then.
#[inline(always)]
pub(super) fn is_of(key: &FlowKey, flow: &Flow) -> bool {
    key.relay == flow.original_dst
        && key.relay_port_be == SMTP_PORT_BE
        && key.shown_port_be == flow.customer_port_be
}

/// Sends a frame of the relay's own leg to the relay that `work` points at, as it is.
#[inline(always)]
pub(super) fn send<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    counter: Counter,
) -> Judged {
    let ifindex = work.target.path.ifindex;
    if ifindex == 0 {
        return Judged::counted(tables, Verdict::Drop, Counter::PathUnknown);
    }
    frame.about_to_change();
    if work.target.tunnelled != 0 {
        let sealed = tunnel::seal(frame, tables, work);
        if sealed != Sealed::Done {
            return sealed.stopped(tables);
        }
    } else if !rewrite::steer(frame, &work.before, &work.target.path) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    if !tables.redirect(ifindex) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    Judged::counted(tables, Verdict::Redirect { ifindex }, counter).by_relay(work.target.number)
}

/// Points `work` at the place of a steered connection.
#[inline(always)]
pub(super) fn point(work: &mut Work) {
    work.key = FlowKey {
        customer: work.before.ends.source,
        relay: work.before.ends.destination,
        shown_port_be: work.before.segment.source_port_be,
        relay_port_be: SMTP_PORT_BE,
        family: work.before.ends.family,
        reserved8: 0,
        reserved16: 0,
    };
}
