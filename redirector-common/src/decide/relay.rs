//! A frame from a relay: an answer to a diverted connection, its own leg from a customer's address, or
//! anything else.
//!
//! Here is the spoof gate: a relay is trusted with a customer's address towards port 25 alone, from the
//! ports of return steering, and only while the customer's policy lends it.

use super::{Judged, Work, customer, radar, steer};
use crate::{
    abi::{ANY_PORT, EGRESS_PORTS, FlowKey, ListenerKey},
    counters::Counter,
    flow::seen,
    frame::Frame,
    parse::{
        Ends, Packet,
        ether::{IPV4_BE, IPV6_BE, Link},
        tcp::SMTP_PORT_BE,
    },
    rewrite::{self, End, Rewrite},
    tables::{FlowEntry, Tables, Verdict},
};

/// Judges a frame from a relay.
#[inline(always)]
pub(super) fn judge<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    link: Link,
    packet: Packet,
) -> Judged {
    if !matches!(link.ethertype_be, IPV4_BE | IPV6_BE) {
        return Judged::UNTOUCHED;
    }
    let Some(mut work) = tables.work() else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.before.link = link;
    let whole = work.before.read(frame, 0);
    match packet {
        Packet::Tcp(segment) => {
            if !whole {
                return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
            }
            work.before.segment = segment;
            answer(frame, tables, &mut work)
        }
        // The gate is for whatever has an address, not for mail alone.
        Packet::Fragment | Packet::LongChain | Packet::NotOurs | Packet::Malformed
            if whole && is_spoofed(tables, &work.before.ends) =>
        {
            Judged::counted(tables, Verdict::Drop, Counter::SpoofBlocked)
        }
        // TCP avoids fragments, and the relay's own leg to the MX is none of our business.
        Packet::Fragment | Packet::LongChain | Packet::NotOurs => Judged::UNTOUCHED,
        Packet::Malformed => Judged::counted(tables, Verdict::Pass, Counter::Malformed),
    }
}

/// Sends an answer to the customer; one to a rewritten connection gets the MX's address over the relay's.
#[inline(always)]
fn answer<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, work: &mut Work) -> Judged {
    let (segment, ends) = (&work.before.segment, &work.before.ends);
    let listens = is_relays(tables, ends, segment.source_port_be);
    if !listens && segment.source_port_be != SMTP_PORT_BE {
        return own(tables, work);
    }
    work.key = FlowKey {
        customer: ends.destination,
        relay: ends.source,
        shown_port_be: segment.destination_port_be,
        relay_port_be: segment.source_port_be,
        family: ends.family,
        reserved: [0; 3],
    };
    let Some(entry) = tables.flow(&work.key) else {
        let ends = &work.before.ends;
        // A relay may have a mail service beside its listener.
        let service = !listens && is_relays(tables, ends, ANY_PORT);
        if service || !tables.is_customer(ends.destination()) {
            return own(tables, work);
        }
        // To the customer this would be a stranger's segment: it never asked that address.
        return Judged::counted(tables, Verdict::Drop, Counter::ReplyWithoutEntry);
    };
    if work.before.segment.hop_limit <= 1 {
        return Judged::counted(tables, Verdict::Pass, Counter::HopLimit);
    }
    work.flow = entry.flow();
    let ifindex = work.flow.customer_path.ifindex;
    if ifindex == 0 {
        return Judged::counted(tables, Verdict::Drop, Counter::PathUnknown);
    }
    work.now_ns = tables.now_ns();
    radar::returning(frame, tables, work);
    entry.mark_relay(
        seen(work.flow.from_relay, work.before.segment.flags),
        work.now_s(),
    );
    work.rewrite = Rewrite {
        path: work.flow.customer_path,
        addr: work.flow.original_dst,
        source_port_be: SMTP_PORT_BE,
        destination_port_be: work.flow.customer_port_be,
    };
    frame.about_to_change();
    let sent = if steer::is_of(&work.key, &work.flow) {
        rewrite::steer(frame, &work.before, &work.rewrite.path)
    } else {
        rewrite::apply(frame, &work.before, &work.rewrite, End::Source)
    };
    if !sent || !tables.redirect(ifindex) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    Judged::counted(tables, Verdict::Redirect { ifindex }, Counter::ToCustomer)
        .by_relay(work.flow.relay)
}

/// A segment of a connection of the relay's own.
#[inline(always)]
fn own<T: Tables>(tables: &mut T, work: &mut Work) -> Judged {
    let (segment, ends) = (&work.before.segment, &work.before.ends);
    if !is_spoofed(tables, ends) {
        return Judged::UNTOUCHED;
    }
    let port = u16::from_be_bytes(segment.source_port_be);
    if segment.destination_port_be != SMTP_PORT_BE || !EGRESS_PORTS.contains(&port) {
        return Judged::counted(tables, Verdict::Drop, Counter::SpoofBlocked);
    }
    if !customer::lends(tables, work, End::Source) {
        return Judged::counted(tables, Verdict::Drop, Counter::SpoofBlocked);
    }
    Judged::counted(tables, Verdict::Pass, Counter::CustomerEgress).under(work.policy)
}

/// Whether the source is a customer's address, and not the relay's own among theirs.
#[inline(never)]
fn is_spoofed<T: Tables>(tables: &T, ends: &Ends) -> bool {
    tables.is_customer(ends.source()) && !is_relays(tables, ends, ANY_PORT)
}

/// Whether the source is the listener of a relay, or, with [`ANY_PORT`], its address.
#[inline(never)]
fn is_relays<T: Tables>(tables: &T, ends: &Ends, port_be: [u8; 2]) -> bool {
    tables.is_listener(&ListenerKey {
        addr: ends.source,
        port_be,
        family: ends.family,
        reserved: 0,
    })
}
