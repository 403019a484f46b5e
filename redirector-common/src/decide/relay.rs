//! A frame from a relay: an answer to a diverted connection, or anything else.

use super::{Judged, Work, radar};
use crate::{
    abi::{FlowKey, ListenerKey},
    counters::Counter,
    flow::seen,
    frame::Frame,
    parse::{self, Packet, ether::Link, tcp::SMTP_PORT_BE},
    rewrite::{self, End, Rewrite},
    tables::{FlowEntry, Tables, Verdict},
};

/// Judges a frame from a relay.
#[inline(always)]
pub(super) fn judge<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, link: Link) -> Judged {
    let segment = match parse::packet(frame, link) {
        Packet::Tcp(segment) => segment,
        // TCP avoids fragments, and the relay's own leg to the MX is none of our business.
        Packet::Fragment | Packet::LongChain | Packet::NotOurs => return Judged::UNTOUCHED,
        Packet::Malformed => return Judged::counted(tables, Verdict::Pass, Counter::Malformed),
    };
    let Some(mut work) = tables.work() else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.before.link = link;
    work.before.segment = segment;
    if !work.before.read(frame, 0) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    answer(frame, tables, &mut work)
}

/// Puts the MX's address over the relay's, and sends the segment to the customer.
#[inline(always)]
fn answer<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, work: &mut Work) -> Judged {
    let (segment, ends) = (&work.before.segment, &work.before.ends);
    let listener = ListenerKey {
        addr: ends.source,
        port_be: segment.source_port_be,
        family: ends.family,
        reserved: 0,
    };
    if !tables.is_listener(&listener) {
        return Judged::UNTOUCHED;
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
        if !tables.is_customer(work.before.ends.destination()) {
            return Judged::UNTOUCHED;
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
    if !rewrite::apply(frame, &work.before, &work.rewrite, End::Source) || !tables.redirect(ifindex)
    {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    Judged::counted(tables, Verdict::Redirect { ifindex }, Counter::ToCustomer)
        .by_relay(work.flow.relay)
}
