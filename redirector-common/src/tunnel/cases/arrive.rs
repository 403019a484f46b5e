//! What comes in by a tunnel, and what only looks like it.

use std::{vec, vec::Vec};

use super::{
    Case, Fate, Side,
    network::{Header, Network, mapped, with_class},
};
use crate::{
    abi::host::{HostCounter, HostCustomer},
    cases::{icmp::too_big, packet::Packet},
    tunnel::host::Arrival,
};

pub(super) fn cases(network: &Network, cases: &mut Vec<Case>) {
    taken_off(network, cases);
    congestion(network, cases);
    left_alone(network, cases);
    odd(network, cases);
}

fn taken_off(n: &Network, cases: &mut Vec<Case>) {
    let customer = n.customer_key();
    let syn = n.inside.to_mx("S");
    let leg = n.of_leg();
    let submission = Packet {
        ports: [40_000, 587],
        ..syn.clone()
    };
    // Between which ports, and whether that says who is the customer.
    let noted = [
        ("a SYN notes its customer", syn.octets(), true),
        (
            "so does a longer segment",
            n.inside.to_mx("PA").octets(),
            true,
        ),
        (
            "an answer to the relay's leg notes whose address that has",
            n.to_leg().octets(),
            true,
        ),
        (
            "an error about what the relay said to a customer notes whom it said it to",
            too_big(n.inside.mx[1], &n.to_customer()).octets(),
            true,
        ),
        (
            "an error about the relay's leg notes whose address that has",
            too_big(n.inside.mx[1], &leg).octets(),
            true,
        ),
        ("another port notes nobody", submission.octets(), false),
        (
            "extension headers and options hide no customer",
            Packet {
                between: n.inside.long_between(),
                ..syn.clone()
            }
            .octets(),
            true,
        ),
    ];
    for (name, inner, notes) in noted {
        let frame = n.from_edge(0).around(&inner);
        let mut case = unwrapped(n, name, frame, inner);
        if notes {
            case.noted.insert(customer, n.edge_key(0));
            case.counters.push(HostCounter::Noted);
        }
        cases.push(case);
    }

    let inner = syn.octets();
    let again = |name, before: usize| {
        let case = unwrapped(n, name, n.from_edge(1).around(&inner), inner.clone());
        case.with(|tables| {
            tables.noted.insert(customer, n.edge_key(before));
        })
    };
    cases.push(again("who came by an edge before costs no note", 1));
    let mut moved = again("who comes by another edge is noted there", 0);
    moved.noted.insert(customer, n.edge_key(1));
    moved.counters.push(HostCounter::Noted);
    cases.push(moved);

    let mut to_host = unwrapped(
        n,
        "who speaks with the host itself is noted apart",
        n.from_edge(0).around(&inner),
        inner.clone(),
    )
    .with(|tables| {
        tables.noted.insert(customer, n.edge_key(1));
        tables.own.insert(mapped(n.inside.mx[0]));
    });
    let speaks_with_host = HostCustomer { own: 1, ..customer };
    to_host.noted.insert(speaks_with_host, n.edge_key(0));
    to_host.counters.push(HostCounter::Noted);
    cases.push(to_host);

    // Ethernet's padding is no part of what is inside; the kernel cuts it off.
    let padding = [0; 9];
    let padded = [&inner[..], &padding].concat();
    let frame = [n.from_edge(0).around(&inner), padding.to_vec()].concat();
    let mut case = unwrapped(n, "padding is no part of either length", frame, padded);
    case.noted.insert(customer, n.edge_key(0));
    case.counters.push(HostCounter::Noted);
    cases.push(case);
}

fn congestion(n: &Network, cases: &mut Vec<Case>) {
    let before = |class| with_class(n.inside.to_mx("A").octets(), class);
    // Inner and outer class, and what is left.
    for (inner, outer, after) in [
        (0xb8, 0xb8, Some(0xb8)),
        (0x02, 0x03, Some(0x03)),
        (0x01, 0x03, Some(0x03)),
        (0xba, 0x01, Some(0xb9)),
        (0x03, 0x00, Some(0x03)),
        (0xb8, 0xbb, None),
    ] {
        let name = std::format!("class {inner:#04x} in {outer:#04x}");
        let header = Header {
            class: outer,
            ..n.from_edge(0)
        };
        let frame = header.around(&before(inner));
        cases.push(match after {
            Some(after) => {
                let mut case = unwrapped(n, &name, frame, before(after));
                case.noted.insert(n.customer_key(), n.edge_key(0));
                case.counters.push(HostCounter::Noted);
                case
            }
            None => Case {
                fate: Fate::Arrival(Arrival::Dropped),
                ..Case::untouched(n, Side::Ingress, &name, frame).counts(&[HostCounter::Congested])
            },
        });
    }
}

fn left_alone(n: &Network, cases: &mut Vec<Case>) {
    let inner = n.inside.to_mx("S").octets();
    let [edge, _] = n.edges;
    let strangers = [
        (
            "a stranger's tunnel",
            Header {
                from: n.local,
                to: edge,
                ..n.from_edge(0)
            },
        ),
        (
            "an edge's tunnel to somebody else",
            Header {
                to: edge,
                ..n.from_edge(0)
            },
        ),
    ];
    for (name, header) in strangers {
        let case = Case::untouched(n, Side::Ingress, name, header.around(&inner));
        cases.push(case.counts(&[HostCounter::Stranger]));
    }
    let mut tagged = n.from_edge(0).around(&inner);
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x64]);
    for (name, frame) in [
        ("what is in no tunnel", inner.clone()),
        ("a VLAN's tunnel", tagged),
        (
            "a frame that ends in its outer header",
            n.from_edge(0).around(&inner)[..30].to_vec(),
        ),
    ] {
        cases.push(Case::untouched(n, Side::Ingress, name, frame));
    }
}

fn odd(n: &Network, cases: &mut Vec<Case>) {
    let inner = n.inside.to_mx("PA").octets();
    let plain = n.from_edge(0);
    let mut odd = vec![
        (
            "a tunnel in a tunnel",
            plain.around(&n.from_edge(1).around(&inner)),
        ),
        (
            "a length beyond the frame's end",
            Header {
                excess: 1,
                ..plain.clone()
            }
            .around(&inner),
        ),
        (
            "a length that leaves some of the packet out",
            Header {
                excess: -1,
                ..plain.clone()
            }
            .around(&inner),
        ),
    ];
    let at = 14 + if n.local.is_ipv4() { 20 } else { 40 };
    let mut wrong_version = plain.around(&inner);
    wrong_version[at] ^= 0x20;
    odd.push((
        "an inner version that its protocol does not say",
        wrong_version,
    ));
    if n.local.is_ipv4() {
        let mut damaged = plain.around(&inner);
        // The hop limit, which its checksum covers.
        damaged[14 + 8] ^= 1;
        odd.extend([
            ("a damaged outer header", damaged),
            (
                "options in the outer header",
                Header {
                    options: vec![1; 4],
                    ..plain.clone()
                }
                .around(&inner),
            ),
            (
                "the first fragment of a tunnel's packet",
                Header {
                    fragment: (true, 0),
                    ..plain.clone()
                }
                .around(&inner),
            ),
            (
                "a later fragment of one",
                Header {
                    fragment: (false, 64),
                    ..plain
                }
                .around(&inner),
            ),
        ]);
    }
    for (name, frame) in odd {
        let case = Case::untouched(n, Side::Ingress, name, frame);
        cases.push(case.counts(&[HostCounter::Odd]));
    }
}

/// A frame that loses its outer header.
fn unwrapped(network: &Network, name: &str, frame: Vec<u8>, out: Vec<u8>) -> Case {
    let other_family = network.local.is_ipv4() != network.inside.customer.is_ipv4();
    Case {
        fate: Fate::Arrival(Arrival::Inner { other_family }),
        out,
        ..Case::untouched(network, Side::Ingress, name, frame).counts(&[HostCounter::Unwrapped])
    }
}
