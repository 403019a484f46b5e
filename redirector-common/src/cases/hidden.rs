//! Frames that hide their ports, or are broken.

mod deep;
mod fragments;

use std::{vec, vec::Vec};

use super::{Case, EGRESS, packet::Packet, world::World};
use crate::{abi::Action, counters::Counter};

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    if w.customer.is_ipv4() {
        fragments::v4(w, cases);
        malformed4(w, cases);
    } else {
        fragments::v6(w, cases);
        chains(w, cases);
        malformed6(w, cases);
    }
    deep::cases(w, cases);
}

/// One hidden frame under every kind of policy.
fn judged_by_policy(
    w: &World,
    name: &str,
    frame: &[u8],
    counters: [Counter; 2],
    cases: &mut Vec<Case>,
) {
    judged_by_policy_alone(w, name, frame, counters, cases);
    let [dropped, passed] = counters;
    let named = |under: &str| std::format!("{name} {under}");
    for (depth, tags) in DEPTHS {
        let tagged = || behind_tags(frame, tags);
        cases.extend([
            w.case(
                &named(&std::format!("behind {depth}, under redirect")),
                w.flagged(Action::Redirect),
                tagged(),
            )
            .dropped(&[dropped]),
            w.case(
                &named(&std::format!("behind {depth}, of nobody")),
                w.tables(),
                tagged(),
            )
            .counts(&[passed]),
        ]);
    }
}

fn judged_by_policy_alone(
    w: &World,
    name: &str,
    frame: &[u8],
    [dropped, passed]: [Counter; 2],
    cases: &mut Vec<Case>,
) {
    let named = |under: &str| std::format!("{name} {under}");
    let frame = || frame.to_vec();
    cases.extend([
        w.case(
            &named("under redirect"),
            w.flagged(Action::Redirect),
            frame(),
        )
        .dropped(&[dropped]),
        w.case(&named("under reset"), w.flagged(Action::Reset), frame())
            .dropped(&[dropped]),
        w.case(&named("under drop"), w.flagged(Action::Drop), frame())
            .dropped(&[dropped]),
        w.case(&named("under observe"), w.flagged(Action::Observe), frame())
            .counts(&[passed]),
        w.case(&named("under pass"), w.flagged(Action::Pass), frame())
            .counts(&[passed]),
        w.case(
            &named("under a lifted redirect"),
            w.flagged(Action::Linger),
            frame(),
        )
        .counts(&[passed]),
        w.case(&named("of nobody"), w.tables(), frame())
            .counts(&[passed]),
    ]);
}

/// A frame of a flagged source that hides nothing, at every depth.
fn passes(w: &World, name: &str, frame: &[u8], cases: &mut Vec<Case>) {
    let flagged = || w.flagged(Action::Redirect);
    cases.push(w.case(name, flagged(), frame.to_vec()));
    for (depth, tags) in DEPTHS {
        let name = std::format!("{name} behind {depth}");
        cases.push(w.case(&name, flagged(), behind_tags(frame, tags)));
    }
}

/// An untagged frame with these tags.
fn behind_tags(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    let (stations, rest) = frame.split_at(12);
    [stations, tags.as_flattened(), rest].concat()
}

/// A fragment header (RFC 8200 section 4.5).
fn fragment_header(next: u8, offset: u16, more: bool) -> Vec<u8> {
    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
    vec![next, 0, high, low, 0, 0, 0, 1]
}

/// Tags, outer first.
type Depth = (&'static str, &'static [[u8; 4]]);

const DEPTHS: [Depth; 3] = [
    ("a tag", &[[0x81, 0, 0, 5]]),
    ("a service tag", &[[0x88, 0xa8, 0, 9]]),
    ("two tags", &[[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]]),
];

const CHAIN: [Counter; 2] = [Counter::ChainDropped, Counter::ChainPassed];

fn chains(w: &World, cases: &mut Vec<Case>) {
    let options = |next: u8, count: usize| {
        [
            [60, 0, 1, 4, 0, 0, 0, 0].repeat(count - 1),
            vec![next, 0, 1, 4, 0, 0, 0, 0],
        ]
        .concat()
    };
    let behind = |between: Vec<u8>| Packet {
        first: 60,
        between,
        ..w.to_mx("S")
    };
    judged_by_policy(
        w,
        "nine extension headers",
        &behind(options(6, 9)).octets(),
        CHAIN,
        cases,
    );
    let large = [
        vec![60, 63],
        vec![0; 510],
        vec![60, 0, 1, 4, 0, 0, 0, 0],
        vec![6, 0, 1, 4, 0, 0, 0, 0],
    ]
    .concat();
    judged_by_policy(
        w,
        "extension headers behind 512 octets",
        &behind(large).octets(),
        CHAIN,
        cases,
    );
    // Linux takes the length of the frame for that of such a packet, and its TCP for the segment that it is.
    let mut lengthless = Packet {
        first: 0,
        ..behind(options(6, 1))
    }
    .octets();
    lengthless[18..20].fill(0);
    judged_by_policy(w, "a packet without a length", &lengthless, CHAIN, cases);
    let eight = behind(options(6, 8));
    let last_large = behind([vec![6, 100], vec![0; 806]].concat());
    let opened = &[Counter::FlowOpened, Counter::ToRelay];
    let flagged = || w.flagged(Action::Redirect);
    cases.extend([
        w.case(
            "eight extension headers are followed",
            flagged(),
            eight.octets(),
        )
        .leaves(EGRESS, w.at_relay(&eight).octets(), opened),
        w.case(
            "one large extension header is followed",
            flagged(),
            last_large.octets(),
        )
        .leaves(EGRESS, w.at_relay(&last_large).octets(), opened),
        w.case(
            "no next header is nothing to us",
            flagged(),
            behind(options(59, 1)).octets(),
        ),
        w.case(
            "ESP is nothing to us",
            flagged(),
            behind(options(50, 1)).octets(),
        ),
        w.case(
            "AH is nothing to us",
            flagged(),
            behind(options(51, 1)).octets(),
        ),
    ]);
}

fn broken(w: &World, name: &str, frame: Vec<u8>) -> Case {
    w.case(name, w.flagged(Action::Redirect), frame)
        .counts(&[Counter::Malformed])
}

fn changed(w: &World, at: usize, octet: u8) -> Vec<u8> {
    let mut frame = w.to_mx("S").octets();
    frame[at] = octet;
    frame
}

fn malformed4(w: &World, cases: &mut Vec<Case>) {
    let cut = |octets| w.to_mx("S").octets()[..octets].to_vec();
    cases.extend([
        broken(w, "another version", changed(w, 14, 0x65)),
        broken(w, "a header shorter than itself", changed(w, 14, 0x44)),
        broken(
            w,
            "a total length inside the TCP header",
            changed(w, 17, 39),
        ),
        broken(w, "a total length inside the header", changed(w, 17, 19)),
        broken(w, "a frame cut inside the header", cut(33)),
        broken(w, "a frame cut inside the TCP header", cut(53)),
    ]);
}

fn malformed6(w: &World, cases: &mut Vec<Case>) {
    let cut = |octets| w.to_mx("S").octets()[..octets].to_vec();
    let past = Packet {
        first: 60,
        between: vec![6, 20, 1, 4, 0, 0, 0, 0],
        ..w.to_mx("S")
    };
    cases.extend([
        broken(w, "another version", changed(w, 14, 0x45)),
        broken(w, "a payload inside the TCP header", changed(w, 19, 19)),
        broken(w, "a frame cut inside the header", cut(53)),
        broken(w, "a frame cut inside the TCP header", cut(73)),
        broken(
            w,
            "an extension header longer than the packet",
            past.octets(),
        ),
    ]);
}
