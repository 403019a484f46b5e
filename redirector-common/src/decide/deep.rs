//! A frame with more tags than two.
//!
//! Nothing is sent on from there. But tags must hide neither a flagged source nor a relay that borrows an
//! address it has no right to.

use super::{Judged, customer, relay};
use crate::{
    abi::Role,
    counters::Counter,
    frame::Frame,
    parse::{
        self,
        ether::{self, Beneath, Link},
    },
    rewrite::End,
    tables::{Tables, Verdict},
};

/// Judges a frame that came in by an interface of that role; `link` leaves tags to follow.
#[inline(always)]
pub(super) fn judge<F: Frame, T: Tables>(
    frame: &F,
    tables: &mut T,
    role: Role,
    link: Link,
) -> Judged {
    let counter = match role {
        Role::Customer => mail(frame, tables, link),
        Role::Relay => borrowed(frame, tables, link),
        Role::Uplink => None,
    };
    let Some(counter) = counter else {
        return Judged::UNTOUCHED;
    };
    tables.count(counter);
    let passes = matches!(counter, Counter::ChainPassed | Counter::Malformed);
    let verdict = if passes { Verdict::Pass } else { Verdict::Drop };
    Judged {
        verdict,
        counter: Some(counter),
        ..Judged::UNTOUCHED
    }
}

/// What a customer's frame is counted as. Out of line and answering in a register, as the other: the stack is
/// the customers' segments'.
#[inline(never)]
fn mail<F: Frame, T: Tables>(frame: &F, tables: &mut T, link: Link) -> Option<Counter> {
    let packet = match ether::beneath(frame, link) {
        Beneath::Packet(packet) => packet,
        Beneath::Nothing => return None,
        // Whose it is cannot be told, and nobody has a network so deep.
        Beneath::Tags => return Some(Counter::ChainDropped),
    };
    if !parse::may_be_mail(frame, packet) {
        return None;
    }
    let Some(mut work) = tables.work() else {
        return Some(Counter::InternalError);
    };
    if !work.before.ends.read(frame, packet) {
        return Some(Counter::Malformed);
    }
    let known = customer::is_known(tables, &mut work, End::Source);
    if known && !customer::may_hide(tables, &work) {
        Some(Counter::ChainDropped)
    } else {
        Some(Counter::ChainPassed)
    }
}

/// What a relay's frame is counted as.
#[inline(never)]
fn borrowed<F: Frame, T: Tables>(frame: &F, tables: &mut T, link: Link) -> Option<Counter> {
    let packet = match ether::beneath(frame, link) {
        Beneath::Packet(packet) => packet,
        Beneath::Nothing => return None,
        Beneath::Tags => return Some(Counter::SpoofBlocked),
    };
    if !matches!(packet.ethertype_be, ether::IPV4_BE | ether::IPV6_BE) {
        return None;
    }
    let Some(mut work) = tables.work() else {
        return Some(Counter::InternalError);
    };
    // By way of memory, out of which the verifier knows no depth from another.
    work.before.link = packet;
    let spoofed = work.before.read(frame, 0) && relay::is_spoofed(tables, &work.before.ends);
    spoofed.then_some(Counter::SpoofBlocked)
}
