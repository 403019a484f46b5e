//! The radar: what is counted of every customer's mail connections, flagged or not.
//!
//! It only looks: no verdict and no octet of a frame depends on it, and it reads no payload. What
//! leaves is counted where the customer's frame is judged; what comes back is counted on the uplink,
//! and of diverted connections where the relay answers. A window's number, which the controller
//! raises, chooses one of two tables, so that it reads a finished window while the next one fills.

use super::Work;
use crate::{
    abi::RADAR_OFF,
    frame::Frame,
    parse::tcp::{Flags, SEQUENCE_AT},
    radar::{Ending, Place, SHORT_OCTETS, connection},
    tables::{Sighted, Tables},
};

/// Counts a customer's segment to port 25, of that many octets.
#[inline(never)]
pub(super) fn leaving<T: Tables>(tables: &mut T, work: &Work, octets: usize) {
    let window = tables.settings().radar_window;
    if window == RADAR_OFF {
        return;
    }
    let ends = &work.before.ends;
    let mut found = tables.sighting(window, &work.customer);
    if found.is_none() {
        // Once a window: a forged source must not cost a customer its place in the table.
        if !tables.is_customer(ends.source()) {
            return;
        }
        tables.first_sighting(window, &work.customer);
        found = tables.sighting(window, &work.customer);
    }
    let Some(sighted) = found else {
        return;
    };
    let opens = work.before.segment.flags.opens();
    let place = if opens {
        Some(Place::of(ends.destination()))
    } else {
        None
    };
    sighted.sent(octets as u64, place);
}

/// Counts a segment that comes back to a source, if that has sent anything in this window: a stranger
/// can thus neither fill the table nor push anybody out of it.
#[inline(never)]
pub(super) fn returning<F: Frame, T: Tables>(frame: &F, tables: &mut T, work: &mut Work) {
    let window = tables.settings().radar_window;
    if window == RADAR_OFF {
        return;
    }
    work.customer = work.before.ends.destination().customer_key();
    if let Some(sighted) = tables.sighting(window, &work.customer) {
        let ending = ending(frame, tables, work);
        sighted.received(frame.octets() as u64, ending);
    }
}

/// Whether the segment ends its connection, by the sequence numbers of the side that sends it: no
/// state is needed between the SYN-ACK and the end.
#[inline(always)]
fn ending<F: Frame, T: Tables>(frame: &F, tables: &mut T, work: &Work) -> Option<Ending> {
    let (segment, ends) = (&work.before.segment, &work.before.ends);
    let flags = segment.flags;
    if !flags.has(Flags::SYN | Flags::FIN | Flags::RST) {
        return None;
    }
    let sequence = frame.read::<4>(usize::from(segment.l4) + SEQUENCE_AT)?;
    let sequence = u32::from_be_bytes(sequence);
    let connection = connection(&ends.destination, segment.destination_port_be, &ends.source);
    let reset = flags.has(Flags::RST);
    if flags.has(Flags::SYN) && !reset {
        tables.put_opening(connection, sequence.wrapping_add(1));
        return None;
    }
    match tables.opening(connection) {
        Some(first) => {
            // Once: a FIN may come again, and an RST after it.
            tables.forget_opening(connection);
            // What the last segment itself carries is not counted: padding would be, too.
            let short = sequence.wrapping_sub(first) <= SHORT_OCTETS;
            Some(Ending { reset, short })
        }
        // The answer to a SYN that nobody wants has no number of its own (RFC 9293 section 3.10.7.1).
        None if reset && flags.has(Flags::ACK) && sequence == 0 => Some(Ending {
            reset: true,
            short: true,
        }),
        None => None,
    }
}
