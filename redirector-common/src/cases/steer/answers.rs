//! What a relay says to a customer whose connection was steered to it.

use std::{vec, vec::Vec};

use super::{established, with_entry};
use crate::{
    abi::{Flow, L2Path, Role},
    cases::{
        Case, INGRESS,
        packet::Packet,
        world::{CUSTOMER_MAC, EDGE_MAC, World},
    },
    counters::Counter,
    flow::SEEN_SYN,
    tables::memory::MemoryTables,
};

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let data = answer(w, "A");
    let out = at_customer(&data).octets();
    let to_customer = &[Counter::ToCustomer];
    let syn_ack = Packet {
        payload: Vec::new(),
        ..answer(w, "SA")
    };
    let marked = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let key = w.steered_key(w.mx[0]);
    // An MX that is another customer.
    let mut neighbour = established(w);
    neighbour.customers.insert((w.mx[0].into(), 24));
    let tags = vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let mut behind = w.flow();
    behind.customer_path.tags = [tags[0], tags[1]];
    let in_tags = Packet {
        tags,
        ..at_customer(&data)
    };
    let mut nowhere = established(w);
    nowhere.put_flow(
        key,
        Flow {
            customer_path: L2Path::default(),
            ..w.flow()
        },
    );
    let stranger = Packet {
        to: w.mx[1],
        ..data.clone()
    };
    let service = Packet {
        from: w.relay,
        ..data.clone()
    };
    let mut serving = w.tables();
    serving.listeners.insert(w.relay_address());
    let spent = Packet {
        hops: 1,
        ..data.clone()
    };
    let relay = |name: &str, tables: MemoryTables, packet: &Packet| {
        w.case(name, tables, packet.octets())
            .role(Some(Role::Relay))
    };
    cases.extend([
        relay(
            "a steered answer goes to the customer",
            established(w),
            &data,
        )
        .leaves(INGRESS, out.clone(), to_customer)
        .entry(key, marked),
        relay(
            "a steered SYN-ACK is remembered",
            with_entry(w, w.new_flow()),
            &syn_ack,
        )
        .leaves(INGRESS, at_customer(&syn_ack).octets(), to_customer)
        .entry(
            key,
            Flow {
                from_relay: SEEN_SYN,
                ..w.new_flow()
            },
        ),
        relay(
            "a steered answer in a customer's name is no spoof",
            neighbour,
            &data,
        )
        .leaves(INGRESS, out, to_customer),
        relay(
            "a steered answer without an entry is dropped",
            w.steered(),
            &data,
        )
        .dropped(&[Counter::ReplyWithoutEntry]),
        relay(
            "a steered answer to nobody's customer passes",
            established(w),
            &stranger,
        ),
        relay(
            "a relay's own mail service answers customers",
            serving,
            &service,
        ),
        relay(
            "a steered answer whose way is lost is dropped",
            nowhere,
            &data,
        )
        .dropped(&[Counter::PathUnknown]),
        relay(
            "a steered answer whose hops run out is the kernel's",
            established(w),
            &spent,
        )
        .counts(&[Counter::HopLimit]),
        relay(
            "a steered answer takes the customer's tags",
            with_entry(w, behind),
            &data,
        )
        .leaves(INGRESS, in_tags.octets(), to_customer),
    ]);
}

/// What the relay says in the MX's name.
fn answer(w: &World, flags: &'static str) -> Packet {
    Packet {
        from: w.mx[0],
        ports: [25, World::PORT],
        ..w.from_relay(flags)
    }
}

fn at_customer(before: &Packet) -> Packet {
    Packet {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        hops: before.hops - 1,
        ..before.clone()
    }
}
