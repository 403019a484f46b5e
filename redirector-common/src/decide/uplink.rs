//! A frame from the internet: an answer to a relay's own leg from a customer's address, an answer of a relay
//! that stands out there, or anything else.
//!
//! Return steering keeps no state: the port range tells the relay's legs from the customer's own traffic,
//! the policy says whether there can be any, and the slot says whose they are. So any of several uplink
//! edges can do it. What a relay beyond the uplink answers is translated by the entry of its connection, and
//! must therefore come back by the edge that made it.
//!
//! Nearly all that comes in here is a bystander's. It pays for one load, of the bit of its source port.

use super::{
    Judged, Work, customer,
    find::relay_in_slot,
    radar,
    relay::{self, Found, Side},
    steer,
};
use crate::{
    abi::EGRESS_PORTS,
    counters::Counter,
    frame::Frame,
    parse::{
        Packet, Segment,
        ether::{self, Link},
        tcp::SMTP_PORT_BE,
    },
    rewrite::End,
    tables::{Tables, Verdict},
};

/// Judges a frame from the internet.
#[inline(always)]
pub(super) fn judge<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    link: Link,
    packet: Packet,
) -> Judged {
    // What is malformed or fragmented here is the business of whoever it is for.
    let Packet::Tcp(segment) = packet else {
        return Judged::UNTOUCHED;
    };
    let beyond = tables.is_uplink_port(segment.source_port_be);
    if !beyond && segment.source_port_be != SMTP_PORT_BE {
        return Judged::UNTOUCHED;
    }
    let Some(mut work) = tables.work() else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.before.link = link;
    work.before.segment = segment;
    work.beyond = u8::from(beyond);
    if !work.before.read(frame, 0) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    if ether::is_group(work.before.way_back.own_mac) {
        return Judged::UNTOUCHED;
    }
    if work.beyond != 0 {
        match answer(tables, &mut work) {
            Answer::NotOurs => {}
            Answer::Stray => {
                return Judged::counted(tables, Verdict::Drop, Counter::ReplyWithoutEntry)
                    .under(work.policy);
            }
            Answer::Ours(found) => return relay::send_back(frame, tables, &mut work, found),
        }
    }
    if work.before.segment.source_port_be != SMTP_PORT_BE {
        return Judged::UNTOUCHED;
    }
    if !is_to_a_leg(&work) || !customer::lends(tables, &mut work, End::Destination) {
        // The customer's own connection; a relay's leg is none that the radar counts.
        radar::returning(frame, tables, &mut work);
        return Judged::UNTOUCHED;
    }
    let policy = work.policy;
    if work.before.segment.hop_limit <= 1 {
        return Judged::counted(tables, Verdict::Pass, Counter::HopLimit).under(policy);
    }
    // Without a relay the frame is dropped: the customer's host would answer it with RST.
    let relay = relay_in_slot(tables, &work);
    steer::aim(tables, &mut work, u32::from(relay));
    steer::send(frame, tables, &mut work, Counter::ReturnSteered).under(policy)
}

/// What a frame from the port of a relay beyond the uplink is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// None of a relay's.
    NotOurs,
    /// A relay's, of a connection that has no entry.
    Stray,
    /// A relay's, of this connection.
    Ours(Found),
}

/// Looks whether a relay answers. Its listener may be open to everybody, so a customer that is not diverted
/// may speak to it directly. Out of line: the stack is the customers'.
#[inline(never)]
fn answer<T: Tables>(tables: &T, work: &mut Work) -> Answer {
    let (segment, ends) = (&work.before.segment, &work.before.ends);
    if !relay::is_relays(tables, ends, segment.source_port_be) {
        return Answer::NotOurs;
    }
    let found = relay::find(tables, work, Side::Uplink);
    if found != Found::Nothing {
        return Answer::Ours(found);
    }
    if !customer::is_diverted(tables, work) || (work.policy.lends_address() && is_to_a_leg(work)) {
        return Answer::NotOurs;
    }
    Answer::Stray
}

/// Whether the ports are those of an answer to a relay's own leg.
#[inline(always)]
fn is_to_a_leg(work: &Work) -> bool {
    let Segment {
        source_port_be,
        destination_port_be,
        ..
    } = work.before.segment;
    source_port_be == SMTP_PORT_BE
        && EGRESS_PORTS.contains(&u16::from_be_bytes(destination_port_be))
}
