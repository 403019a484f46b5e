//! A frame from a relay: an answer to a diverted connection, its own leg from a customer's address, or
//! anything else.
//!
//! Here is the spoof gate: a relay is trusted with a customer's address towards port 25 alone, from the
//! ports of return steering, and only while the customer's policy lends it.

use super::{Judged, Work, customer, radar, steer};
use crate::{
    abi::{ANY_PORT, EGRESS_PORTS, ListenerKey},
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
    // Its answer is looked at behind other calls, where it is remembered.
    let _whole = work.before.read(frame, 0);
    match packet {
        Packet::Tcp(segment) => {
            if work.before.whole == 0 {
                return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
            }
            work.before.segment = segment;
            answer(frame, tables, &mut work)
        }
        // The gate is for whatever has an address, not for mail alone.
        Packet::Fragment
        | Packet::LongChain
        | Packet::Deep
        | Packet::Icmp
        | Packet::Tunnel
        | Packet::NotOurs
        | Packet::Malformed
            if work.before.whole != 0 && is_spoofed(tables, &work.before.ends) =>
        {
            Judged::counted(tables, Verdict::Drop, Counter::SpoofBlocked)
        }
        // TCP avoids fragments, and the relay's own leg to the MX is none of our business.
        Packet::Fragment
        | Packet::LongChain
        | Packet::Deep
        | Packet::Icmp
        | Packet::Tunnel
        | Packet::NotOurs => Judged::UNTOUCHED,
        Packet::Malformed => Judged::counted(tables, Verdict::Pass, Counter::Malformed),
    }
}

/// Sends an answer to the customer, or says why not.
#[inline(always)]
fn answer<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, work: &mut Work) -> Judged {
    let (segment, ends) = (&work.before.segment, &work.before.ends);
    let listens = is_relays(tables, ends, segment.source_port_be);
    if !listens && segment.source_port_be != SMTP_PORT_BE {
        return own(tables, work);
    }
    let found = find(tables, work, Side::Relays);
    if found != Found::Nothing {
        return send_back(frame, tables, work, found);
    }
    let ends = &work.before.ends;
    // A relay may have a mail service beside its listener.
    let service = !listens && is_relays(tables, ends, ANY_PORT);
    if service || !tables.is_customer(ends.destination()) {
        return own(tables, work);
    }
    // To the customer this would be a stranger's segment: it never asked that address.
    Judged::counted(tables, Verdict::Drop, Counter::ReplyWithoutEntry)
}

/// Where an answer came in.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Where relays stand.
    Relays,
    /// Where the internet does.
    Uplink,
}

/// What is known of the connection that an answer belongs to.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none.
    Nothing,
    /// It is one, but the answer's hops run out here.
    HopLimit,
    /// It is one, but the way to the customer is not known.
    PathUnknown,
    /// It is one, in `work`, whose answers are translated.
    Rewritten,
    /// It is one, in `work`, whose answers stay as they are.
    Steered,
}

/// Finds the connection that an answer belongs to, and marks it as seen. Out of line, and answering in a
/// register: see [`super::find::standing`].
#[inline(never)]
pub(super) fn find<T: Tables>(tables: &T, work: &mut Work, side: Side) -> Found {
    work.point_back();
    let Some(entry) = tables.flow(&work.key) else {
        return Found::Nothing;
    };
    let flow = entry.flow();
    // Who writes the address of a relay of ours into a frame from the internet is not that relay.
    if side == Side::Uplink && !is_beyond_uplink(tables, flow.relay) {
        return Found::Nothing;
    }
    if work.before.segment.hop_limit <= 1 {
        return Found::HopLimit;
    }
    if flow.customer_path.ifindex == 0 {
        return Found::PathUnknown;
    }
    work.target.number = flow.relay;
    work.now_ns = tables.now_ns();
    entry.mark_relay(
        seen(flow.from_relay, work.before.segment.flags),
        work.now_s(),
    );
    work.rewrite = Rewrite {
        path: flow.customer_path,
        addr: flow.original_dst,
        source_port_be: SMTP_PORT_BE,
        destination_port_be: flow.customer_port_be,
    };
    if steer::is_of(&work.key, &flow) {
        Found::Steered
    } else {
        Found::Rewritten
    }
}

/// Sends an answer to the customer; one to a rewritten connection gets the MX's address over the relay's.
#[inline(always)]
pub(super) fn send_back<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    found: Found,
) -> Judged {
    let stopped = match found {
        Found::HopLimit => Some((Verdict::Pass, Counter::HopLimit)),
        Found::PathUnknown => Some((Verdict::Drop, Counter::PathUnknown)),
        Found::Nothing => Some((Verdict::Drop, Counter::InternalError)),
        Found::Rewritten | Found::Steered => None,
    };
    if let Some((verdict, counter)) = stopped {
        return Judged::counted(tables, verdict, counter);
    }
    radar::returning(frame, tables, work);
    frame.about_to_change();
    let sent = if found == Found::Steered {
        rewrite::steer(frame, &work.before, &work.rewrite.path)
    } else {
        rewrite::apply(frame, &work.before, &work.rewrite, End::Source)
    };
    let ifindex = work.rewrite.path.ifindex;
    if !sent || !tables.redirect(ifindex) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    Judged::counted(tables, Verdict::Redirect { ifindex }, Counter::ToCustomer)
        .by_relay(work.target.number)
}

#[inline(always)]
pub(super) fn is_beyond_uplink<T: Tables>(tables: &T, number: u16) -> bool {
    let relay = tables.relay(u32::from(number));
    relay.is_some_and(|relay| relay.is_beyond_uplink())
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
pub(super) fn is_spoofed<T: Tables>(tables: &T, ends: &Ends) -> bool {
    tables.is_customer(ends.source()) && !is_relays(tables, ends, ANY_PORT)
}

/// Whether the source is the listener of a relay, or, with [`ANY_PORT`], its address.
#[inline(never)]
pub(super) fn is_relays<T: Tables>(tables: &T, ends: &Ends, port_be: [u8; 2]) -> bool {
    tables.is_listener(&ListenerKey {
        addr: ends.source,
        port_be,
        family: ends.family,
        reserved: 0,
    })
}
