//! A frame from the internet: an answer to a relay's own leg from a customer's address, or anything else.
//!
//! Return steering keeps no state: the port range tells the relay's legs from the customer's own traffic,
//! the policy says whether there can be any, and the slot says whose they are. So any of several uplink
//! edges can do it.

use super::{Judged, customer, find::relay_in_slot, radar, steer};
use crate::{
    abi::EGRESS_PORTS,
    counters::Counter,
    frame::Frame,
    parse::{
        Packet,
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
    if segment.source_port_be != SMTP_PORT_BE {
        return Judged::UNTOUCHED;
    }
    let port = u16::from_be_bytes(segment.destination_port_be);
    let Some(mut work) = tables.work() else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.before.link = link;
    work.before.segment = segment;
    if !work.before.read(frame, 0) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    if ether::is_group(work.before.way_back.own_mac) {
        return Judged::UNTOUCHED;
    }
    if !EGRESS_PORTS.contains(&port) || !customer::lends(tables, &mut work, End::Destination) {
        // The customer's own connection; a relay's leg is none that the radar counts.
        radar::returning(frame, tables, &mut work);
        return Judged::UNTOUCHED;
    }
    let policy = work.policy;
    if segment.hop_limit <= 1 {
        return Judged::counted(tables, Verdict::Pass, Counter::HopLimit).under(policy);
    }
    // Without a relay the frame is dropped: the customer's host would answer it with RST.
    let relay = relay_in_slot(tables, &work);
    steer::aim(tables, &mut work, u32::from(relay));
    steer::send(frame, tables, &work, Counter::ReturnSteered).under(policy)
}
