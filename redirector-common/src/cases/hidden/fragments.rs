//! Fragments: the first ones, those that hide what the first one said, and those that are whole packets.

use std::{vec, vec::Vec};

use super::{DEPTHS, EGRESS, Packet, World, fragment_header, judged_by_policy, passes};
use crate::{abi::Action, cases::Case, counters::Counter};

const FRAGMENT: [Counter; 2] = [Counter::FragmentDropped, Counter::FragmentPassed];

pub(super) fn v4(w: &World, cases: &mut Vec<Case>) {
    let fragment = |more, offset| Packet {
        fragment: (more, offset),
        ..w.to_mx("A")
    };
    judged_by_policy(
        w,
        "a first fragment with port 25",
        &fragment(true, 0).octets(),
        FRAGMENT,
        cases,
    );
    judged_by_policy(
        w,
        "a fragment at offset 1",
        &fragment(false, 1).octets(),
        FRAGMENT,
        cases,
    );
    // Sixteen octets of TCP: the ports are in sight, the flags are not all.
    let mut tiny = Packet {
        ports: [World::PORT, 80],
        ..fragment(true, 0)
    }
    .octets();
    tiny.truncate(14 + 20 + 16);
    tiny[16..18].copy_from_slice(&36_u16.to_be_bytes());
    judged_by_policy(
        w,
        "a first fragment that ends inside the TCP header",
        &tiny,
        FRAGMENT,
        cases,
    );
    let web = Packet {
        ports: [World::PORT, 80],
        ..fragment(true, 0)
    };
    let mut short_options = web.octets();
    short_options[14 + 20 + 12] = 0xf0;
    judged_by_policy(
        w,
        "a first fragment that ends inside the TCP options",
        &short_options,
        FRAGMENT,
        cases,
    );
    let mut udp = fragment(true, 0).octets();
    udp[23] = 17;
    let mut options = Packet {
        between: vec![1; 12],
        ports: [World::PORT, 80],
        ..fragment(true, 0)
    }
    .octets();
    judged_by_policy(
        w,
        "a first fragment with options and port 25",
        &Packet {
            between: vec![1; 40],
            ..fragment(true, 0)
        }
        .octets(),
        FRAGMENT,
        cases,
    );
    // What stands behind the packet is padding, whatever it says.
    options[16..18].copy_from_slice(&40_u16.to_be_bytes());
    judged_by_policy(
        w,
        "a first fragment of eight octets, padded",
        &options,
        FRAGMENT,
        cases,
    );
    for (name, frame) in [
        ("a first fragment with another port passes", web.octets()),
        ("a later fragment passes", fragment(true, 2).octets()),
        ("the last fragment passes", fragment(false, 2).octets()),
        ("a fragment of another protocol passes", udp),
    ] {
        passes(w, name, &frame, cases);
    }
}

pub(super) fn v6(w: &World, cases: &mut Vec<Case>) {
    let behind = |between: Vec<u8>| Packet {
        first: 44,
        between,
        ..w.to_mx("A")
    };
    let fragment = |offset, more| behind(fragment_header(6, offset, more));
    let flagged = || w.flagged(Action::Redirect);
    judged_by_policy(
        w,
        "a first fragment with port 25",
        &fragment(0, true).octets(),
        FRAGMENT,
        cases,
    );
    judged_by_policy(
        w,
        "a fragment at offset 1",
        &fragment(1, false).octets(),
        FRAGMENT,
        cases,
    );
    let padding = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    for (name, first, between) in [
        (
            "a first fragment behind options",
            60,
            [padding(44), fragment_header(6, 0, true)].concat(),
        ),
        (
            "a first fragment behind a hop-by-hop header and a routing header",
            0,
            [padding(43), padding(44), fragment_header(6, 0, true)].concat(),
        ),
        (
            "a first fragment in front of options",
            44,
            [fragment_header(60, 0, true), padding(6)].concat(),
        ),
        (
            "a fragment at offset 1 behind options",
            60,
            [padding(44), fragment_header(6, 1, true)].concat(),
        ),
        (
            "a first fragment in an atomic one",
            44,
            [fragment_header(44, 0, false), fragment_header(6, 0, true)].concat(),
        ),
        (
            "a fragment at offset 1 that says it is UDP",
            44,
            fragment_header(17, 1, true),
        ),
    ] {
        let frame = Packet {
            first,
            ..behind(between)
        };
        judged_by_policy(w, name, &frame.octets(), FRAGMENT, cases);
    }
    let options_at_1 = behind(fragment_header(60, 1, false)).octets();
    judged_by_policy(w, "options at offset 1", &options_at_1, FRAGMENT, cases);
    let mut tiny = Packet {
        ports: [World::PORT, 80],
        ..fragment(0, true)
    }
    .octets();
    tiny.truncate(14 + 40 + 8 + 16);
    tiny[18..20].copy_from_slice(&24_u16.to_be_bytes());
    judged_by_policy(
        w,
        "a first fragment that ends inside the TCP header",
        &tiny,
        FRAGMENT,
        cases,
    );
    let mut chain =
        behind([fragment_header(60, 0, true), vec![6, 0, 1, 4, 0, 0, 0, 0]].concat()).octets();
    chain.truncate(14 + 40 + 8);
    chain[18..20].copy_from_slice(&8_u16.to_be_bytes());
    judged_by_policy(
        w,
        "a first fragment that ends inside the chain",
        &chain,
        FRAGMENT,
        cases,
    );
    let web = Packet {
        ports: [World::PORT, 80],
        ..fragment(0, true)
    };
    let atomic = Packet {
        flags: "S",
        payload: Vec::new(),
        ..fragment(0, false)
    };
    for (name, frame) in [
        ("a first fragment with another port passes", web.octets()),
        ("a later fragment passes", fragment(2, true).octets()),
        ("the last fragment passes", fragment(2, false).octets()),
        (
            "a first fragment of another protocol passes",
            behind(fragment_header(17, 0, true)).octets(),
        ),
        (
            "a later fragment of another protocol passes",
            behind(fragment_header(17, 2, true)).octets(),
        ),
    ] {
        passes(w, name, &frame, cases);
    }
    let hidden_atomic = Packet {
        first: 60,
        between: [padding(44), fragment_header(6, 0, false)].concat(),
        ..atomic.clone()
    };
    for (name, packet) in [
        ("an atomic fragment behind options", hidden_atomic),
        (
            "an atomic fragment behind two tags",
            Packet {
                tags: DEPTHS[2].1.to_vec(),
                ..atomic.clone()
            },
        ),
    ] {
        let opened = &[Counter::FlowOpened, Counter::ToRelay];
        let case = w.case(name, flagged(), packet.octets());
        cases.push(case.leaves(EGRESS, w.at_relay(&packet).octets(), opened));
    }
    cases.extend([w
        .case(
            "an atomic fragment is a whole packet",
            flagged(),
            atomic.octets(),
        )
        .leaves(
            EGRESS,
            w.at_relay(&atomic).octets(),
            &[Counter::FlowOpened, Counter::ToRelay],
        )]);
}
