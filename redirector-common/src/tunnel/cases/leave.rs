//! What leaves by a tunnel, and what does not.

use std::vec::Vec;

use super::{
    Case, Fate, Side,
    network::{Header, Network, class_of, mapped, with_class},
};
use crate::{
    abi::host::{HostCounter, HostCustomer},
    cases::{icmp::too_big, packet::Packet},
    tunnel::host::Departure,
};

pub(super) fn cases(network: &Network, cases: &mut Vec<Case>) {
    wrapped(network, cases);
    left_alone(network, cases);
}

fn wrapped(n: &Network, cases: &mut Vec<Case>) {
    let answer = n.to_customer();
    let syn_ack = Packet {
        flags: "SA",
        payload: Vec::new(),
        ..answer.clone()
    };
    let syn = n.inside.to_mx("S");
    for (name, inner) in [
        ("an answer goes to its customer's edge", answer.octets()),
        ("so does the first one", syn_ack.octets()),
        (
            "the relay's leg leaves by its customer's edge",
            n.of_leg().octets(),
        ),
        (
            "an error about a customer's segment goes to its edge",
            too_big(n.inside.mx[0], &syn).octets(),
        ),
        (
            "an error about an answer to the leg leaves by its customer's edge",
            too_big(n.inside.customer, &n.to_leg()).octets(),
        ),
        (
            "an odd length",
            Packet {
                payload: Vec::from(&b"220 "[..3]),
                ..answer.clone()
            }
            .octets(),
        ),
    ] {
        for edge in [0, 1] {
            let name = std::format!("{name}, edge {edge}");
            cases.push(to_edge(n, &name, edge, inner.clone()));
        }
    }
    for class in [0xb8, 0x02, 0x03, 0xff] {
        let name = std::format!("class {class:#04x} is copied");
        cases.push(to_edge(n, &name, 0, with_class(answer.octets(), class)));
    }
}

fn left_alone(n: &Network, cases: &mut Vec<Case>) {
    let answer = n.to_customer();
    let mut tagged = answer.octets();
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x64]);
    for (name, frame) in [
        (
            "another service's answer",
            Packet {
                ports: [80, 40_000],
                ..answer.clone()
            }
            .octets(),
        ),
        (
            "a connection from no port of the legs",
            Packet {
                ports: [60_999, 25],
                ..n.of_leg()
            }
            .octets(),
        ),
        ("what is of a VLAN", tagged),
        (
            "what is in a tunnel already",
            n.to_edge(0).around(&answer.octets()),
        ),
    ] {
        cases.push(
            Case::untouched(n, Side::Egress, name, frame).with(|tables| {
                tables.noted.insert(n.customer_key(), n.edge_key(0));
            }),
        );
    }
    for (name, frame, source) in [
        (
            "what the host says in its own name",
            answer.octets(),
            n.inside.mx[0],
        ),
        (
            "what the host sends to a server",
            n.of_leg().octets(),
            n.inside.customer,
        ),
    ] {
        cases.push(
            Case::untouched(n, Side::Egress, name, frame).with(|tables| {
                tables.noted.insert(n.customer_key(), n.edge_key(0));
                tables.own.insert(mapped(source));
            }),
        );
    }
    let in_its_own_name = to_edge(
        n,
        "what the host says in its own name goes to the edge of who asked by it",
        1,
        answer.octets(),
    );
    cases.push(in_its_own_name.with(|tables| {
        let asked = HostCustomer {
            own: 1,
            ..n.customer_key()
        };
        tables.noted.clear();
        tables.noted.insert(asked, n.edge_key(1));
        tables.own.insert(mapped(n.inside.mx[0]));
    }));
    let unnoted = [
        ("an answer to who came by no edge", answer.octets()),
        ("a leg of who came by no edge", n.of_leg().octets()),
    ];
    for (name, frame) in unnoted {
        let case = Case::untouched(n, Side::Egress, name, frame);
        cases.push(case.counts(&[HostCounter::Unnoted]));
    }
    let gone = Case::untouched(n, Side::Egress, "an edge that is gone", answer.octets());
    let gone = gone.with(|tables| {
        tables.noted.insert(n.customer_key(), n.edge_key(0));
        tables.edges.remove(&n.edge_key(0));
    });
    cases.push(gone.counts(&[HostCounter::Unnoted]));
}

/// A frame that gets an outer header with its own class.
fn to_edge(n: &Network, name: &str, edge: usize, inner: Vec<u8>) -> Case {
    let header = Header {
        class: class_of(&inner),
        ..n.to_edge(edge)
    };
    let out = header.around(&inner);
    let case = Case::untouched(n, Side::Egress, name, inner).with(|tables| {
        tables.noted.insert(n.customer_key(), n.edge_key(edge));
    });
    Case {
        fate: Fate::Departure(Departure::Wrapped),
        out,
        ..case.counts(&[HostCounter::Wrapped])
    }
}
