//! What an error can quote: a TCP header behind options, or too little of it, or something else.

use std::{vec, vec::Vec};

use super::{
    super::{Case, EGRESS, packet::Packet, world::World},
    customer::{at_relay, received, said, sent},
    least,
};
use crate::counters::Counter;

/// What can stand in front of a quoted TCP header.
pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let behind = |between: Vec<u8>, first: u8| {
        let about = Packet {
            between,
            first,
            ..received(w)
        };
        let quoted = sent(w, &about);
        (said(w, &about), quoted)
    };
    let to_relay = &[Counter::IcmpToRelay];
    let between = if w.customer.is_ipv4() {
        vec![68, 8, 5, 0, 0, 0, 0, 0]
    } else {
        // Hop-by-hop options, destination options, an atomic fragment.
        [
            [60, 0, 1, 4, 0, 0, 0, 0],
            [44, 0, 1, 4, 0, 0, 0, 0],
            [6, 0, 0, 0, 0, 0, 0, 9],
        ]
        .concat()
    };
    let (error, quoted) = behind(between, 0);
    let least_octets = error.quote.len() - received(w).payload.len() - 12;
    for (name, error) in [
        (
            "an error about data behind options goes to the relay",
            error.clone(),
        ),
        (
            "an error about the least behind options goes to the relay",
            error.cut(least_octets),
        ),
    ] {
        let out = at_relay(w, &error, &quoted).octets();
        let case = w.case(name, w.diverted(), error.octets());
        cases.push(case.leaves(EGRESS, out, to_relay));
    }
    let (short, _) = behind(Vec::new(), 0);
    let mut later = short.clone();
    let mut udp = short.clone();
    let mut version = short.clone();
    if w.customer.is_ipv4() {
        later.quote[7] = 9;
        udp.quote[9] = 17;
        version.quote[0] = 0x44;
    } else {
        let (fragment, _) = behind(vec![6, 0, 0, 8, 0, 0, 0, 9], 44);
        later = fragment;
        udp.quote[6] = 17;
        version.quote[0] = 0x50;
        let long = [[60, 0, 1, 4, 0, 0, 0, 0]; 4].concat();
        let (long, _) = behind(long, 0);
        cases.push(w.case(
            "an error about data far behind options passes",
            w.diverted(),
            long.octets(),
        ));
    }
    for (name, error) in [
        (
            "an error that quotes less than the least passes",
            short.cut(least(w) - 1),
        ),
        (
            "an error that quotes half an IP header passes",
            short.cut(16),
        ),
        ("an error that quotes nothing passes", short.cut(0)),
        ("an error about a later fragment passes", later),
        ("an error about another protocol passes", udp),
        ("an error about no IP packet passes", version),
    ] {
        cases.push(w.case(name, w.diverted(), error.octets()));
    }
}
