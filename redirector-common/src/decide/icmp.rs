//! ICMP and ICMPv6 errors about diverted connections.
//!
//! An error is judged by the segment that it quotes, and goes the way of a segment in answer to that: from
//! the end that did not get it to the end that sent it. [`turn`] makes that segment of the quote, so that the
//! entry is found, and the way out of it, as for any other segment. Steered, the error keeps all but its
//! stations and one hop; of a rewritten connection it is translated inside and out.
//!
//! About a segment to a relay beyond the uplink an error comes in from the internet, and goes to the customer.
//!
//! An error changes no entry: nobody proves by it that he is at either end, so it may neither prolong a
//! connection nor end it (RFC 5382 REQ-10).
//!
//! All of it is out of line and answers in a register: the stack is the customers' segments'.

use super::{
    Judged, Work, customer, find,
    relay::{self, Side},
    steer,
    tunnel::{self, Sealed},
};
use crate::{
    abi::{ANY_PORT, EGRESS_PORTS, Role},
    counters::Counter,
    frame::Frame,
    parse::{
        Segment,
        ether::{self, Link},
        tcp::{Flags, SMTP_PORT_BE},
    },
    rewrite::{self, End, Rewrite, quoted},
    tables::{FlowEntry, Tables, Verdict},
};

/// Judges a message that came in by an interface of that role: from a customer's side about what its relay has
/// sent, from a relay's side about what its customer has sent, or from the internet about a relay's own leg
/// from a customer's address. Other messages are nothing to us, but for the spoof gate.
#[inline(always)]
pub(super) fn judge<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    role: Role,
    link: Link,
) -> Judged {
    let Some(mut work) = tables.work() else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.before.link = link;
    let counter = match role {
        Role::Customer => to_relay(frame, tables, &mut work),
        Role::Uplink => to_leg(frame, tables, &mut work),
        Role::Relay => through_gate(frame, tables, &mut work),
    };
    judged(&work, counter)
}

/// Sends an error to the relay of the customer that it was meant for.
#[inline(never)]
fn to_relay<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
) -> Option<Counter> {
    if !is_for_one(frame, work)
        || !turn(frame, work)
        || work.before.segment.destination_port_be != SMTP_PORT_BE
        || !customer::is_known(tables, work, End::Source)
    {
        return None;
    }
    // Without an entry it may be about a connection that was let through.
    let flow = find::entry(tables, work)?.flow();
    work.rewrite = Rewrite {
        path: work.target.path,
        addr: work.target.addr,
        source_port_be: work.key.shown_port_be,
        destination_port_be: work.target.port_be,
    };
    let end = if steer::is_of(&work.key, &flow) {
        None
    } else {
        Some(End::Destination)
    };
    let counter = send(frame, tables, work, end, Counter::IcmpToRelay);
    tables.count(counter);
    Some(counter)
}

/// Lets an error from a relay's side through to its customer, or keeps it: the spoof gate is for ICMP, too.
#[inline(never)]
fn through_gate<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
) -> Option<Counter> {
    if !work.before.read(frame, 0) {
        return None;
    }
    let spoofed = relay::is_spoofed(tables, &work.before.ends);
    let turned = turn(frame, work);
    // About a steered connection the relay itself speaks with the MX's address, which may be a customer's.
    let by_its_end = turned && work.quoted.speaker == work.before.ends.source;
    let counter = if turned && (by_its_end || !spoofed) {
        to_customer(frame, tables, work, Side::Relays)
    } else {
        None
    };
    let counter = match counter {
        None if spoofed => Counter::SpoofBlocked,
        counter => counter?,
    };
    tables.count(counter);
    Some(counter)
}

/// Sends an error that quotes a customer's segment to a relay back to the customer, if the segment was of a
/// diverted connection; answers how that is to be counted, or `None` if it is nothing to us. `work` is as
/// [`turn`] left it. Good wherever a relay's answers come in.
#[inline(always)]
pub(super) fn to_customer<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    side: Side,
) -> Option<Counter> {
    work.point_back();
    let Some(entry) = tables.flow(&work.key) else {
        return is_stray(tables, work, side).then_some(Counter::IcmpWithoutEntry);
    };
    let flow = entry.flow();
    if side == Side::Uplink && !relay::is_beyond_uplink(tables, flow.relay) {
        return None;
    }
    work.target.number = flow.relay;
    work.rewrite = Rewrite {
        path: flow.customer_path,
        addr: flow.original_dst,
        source_port_be: SMTP_PORT_BE,
        destination_port_be: flow.customer_port_be,
    };
    let end = if steer::is_of(&work.key, &flow) {
        None
    } else {
        Some(End::Source)
    };
    Some(send(frame, tables, work, end, Counter::IcmpToCustomer))
}

/// Whether an error without an entry is about a diverted connection all the same, as a relay's answer
/// without one is: the customer never spoke to that address, or no longer does.
#[inline(always)]
fn is_stray<T: Tables>(tables: &T, work: &mut Work, side: Side) -> bool {
    if side == Side::Uplink {
        return customer::is_diverted(tables, work);
    }
    let (segment, ends) = (&work.before.segment, &work.before.ends);
    let of_a_pool = relay::is_relays(tables, ends, segment.source_port_be)
        || segment.source_port_be == SMTP_PORT_BE && !relay::is_relays(tables, ends, ANY_PORT);
    of_a_pool && tables.is_customer(ends.destination())
}

/// Sends an error to the customer whose connection to a relay beyond the uplink it is about, or to the relay
/// whose own leg from the customer's address it is about.
#[inline(never)]
fn to_leg<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, work: &mut Work) -> Option<Counter> {
    if !is_for_one(frame, work) || !turn(frame, work) {
        return None;
    }
    let from_be = work.before.segment.source_port_be;
    if tables.is_uplink_port(from_be) && relay::is_relays(tables, &work.before.ends, from_be) {
        let counter = to_customer(frame, tables, work, Side::Uplink);
        if let Some(counter) = counter {
            tables.count(counter);
            return Some(counter);
        }
    }
    let segment = &work.before.segment;
    let port = u16::from_be_bytes(segment.destination_port_be);
    if segment.source_port_be != SMTP_PORT_BE
        || !EGRESS_PORTS.contains(&port)
        || !customer::lends(tables, work, End::Destination)
    {
        return None;
    }
    let relay = find::relay_in_slot(tables, work);
    steer::aim(tables, work, u32::from(relay));
    work.rewrite.path = work.target.path;
    let counter = send(frame, tables, work, None, Counter::IcmpReturnSteered);
    tables.count(counter);
    Some(counter)
}

/// Reads addresses and stations; `false` = there are none, or the frame is for a group.
#[inline(always)]
fn is_for_one<F: Frame>(frame: &F, work: &mut Work) -> bool {
    work.before.read(frame, 0) && !ether::is_group(work.before.way_back.own_mac)
}

/// Reads what a message quotes, and makes of `work.before` the segment that would go the error's way: from
/// whom the quoted one did not reach, to whom sent it. `false` = it is no error, or quotes no
/// segment, or one that its addressee has not sent.
#[inline(always)]
fn turn<F: Frame>(frame: &F, work: &mut Work) -> bool {
    let (quoted, before) = (&mut work.quoted, &mut work.before);
    if !quoted.quote.read(frame, before.link) || quoted.quote.ends.source != before.ends.destination
    {
        return false;
    }
    quoted.speaker = before.ends.source;
    before.ends.source = quoted.quote.ends.destination;
    before.segment = Segment {
        source_port_be: quoted.quote.destination_port_be,
        destination_port_be: quoted.quote.source_port_be,
        l4: quoted.quote.icmp,
        flags: Flags(0),
        hop_limit: quoted.quote.hop_limit,
    };
    true
}

/// Sends an error along `work.rewrite.path`, translated as a segment that gets another address at `end`, or
/// as it is; answers `counter`, or what has come between.
#[inline(always)]
fn send<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    end: Option<End>,
    counter: Counter,
) -> Counter {
    let ifindex = work.rewrite.path.ifindex;
    if work.before.segment.hop_limit <= 1 {
        return Counter::HopLimit;
    }
    if ifindex == 0 {
        return Counter::PathUnknown;
    }
    frame.about_to_change();
    let to_relay = !matches!(counter, Counter::IcmpToCustomer);
    if to_relay && end.is_none() && work.target.tunnelled != 0 {
        return match tunnel::seal(frame, tables, work) {
            Sealed::Done if tables.redirect(ifindex) => counter,
            Sealed::Done | Sealed::Badly => Counter::InternalError,
            Sealed::TooBig | Sealed::Answered => Counter::TunnelTooBig,
            Sealed::Cut => Counter::TunnelRefused,
        };
    }
    let path = &work.rewrite.path;
    let sent = rewrite::steer(frame, &work.before, path)
        && end.is_none_or(|end| {
            quoted::translate(frame, &work.before, &work.quoted, &work.rewrite, end)
        })
        && tables.redirect(ifindex);
    if sent {
        counter
    } else {
        Counter::InternalError
    }
}

/// The verdict on an error that was counted so, or not at all.
#[inline(always)]
fn judged(work: &Work, counter: Option<Counter>) -> Judged {
    let Some(counter) = counter else {
        return Judged::UNTOUCHED;
    };
    let sent = matches!(
        counter,
        Counter::IcmpToRelay | Counter::IcmpToCustomer | Counter::IcmpReturnSteered
    );
    let judged = Judged {
        counter: Some(counter),
        ..Judged::UNTOUCHED
    };
    if sent {
        let ifindex = work.rewrite.path.ifindex;
        Judged {
            verdict: Verdict::Redirect { ifindex },
            ..judged.by_relay(work.target.number)
        }
    } else if counter == Counter::HopLimit {
        judged
    } else {
        Judged {
            verdict: Verdict::Drop,
            ..judged
        }
    }
}
