//! Frames from the relay.

use std::{vec, vec::Vec};

use super::{Case, INGRESS, packet::Packet, world::World};
use crate::{
    abi::{Flow, L2Path, Role},
    addr::Addr,
    counters::Counter,
    flow::{SEEN_ACK, SEEN_FIN, SEEN_SYN},
    tables::memory::MemoryTables,
};

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let answer = w.from_relay("A");
    let to_customer = &[Counter::ToCustomer];
    let marked = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let syn_ack = Packet {
        payload: Vec::new(),
        ..w.from_relay("SA")
    };
    let mut opening = w.diverted();
    opening.put_flow(
        w.key(World::PORT),
        Flow {
            from_customer: SEEN_SYN,
            from_relay: 0,
            ..w.flow()
        },
    );
    let fin = w.from_relay("FA");
    let tags = vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let mut tagged = w.diverted();
    let tagged_path = L2Path {
        tags: [tags[0], tags[1]],
        ..w.flow().customer_path
    };
    tagged.put_flow(
        w.key(World::PORT),
        Flow {
            customer_path: tagged_path,
            ..w.flow()
        },
    );
    let mut second = w.diverted();
    let second_dst = Addr::from(w.mx[1]).mapped();
    second.put_flow(
        w.key(w.second_port),
        Flow {
            original_dst: second_dst,
            ..w.flow()
        },
    );
    let second_answer = Packet {
        ports: [World::RELAY_PORT, w.second_port],
        ..w.from_relay("A")
    };
    let mut nowhere = w.diverted();
    nowhere.put_flow(
        w.key(World::PORT),
        Flow {
            customer_path: L2Path::default(),
            ..w.flow()
        },
    );
    let mut confined = w.diverted();
    confined.devices.remove(&INGRESS);
    let own_leg = Packet {
        to: w.mx[0],
        ports: [50_000, 25],
        ..w.from_relay("S")
    };
    let spoofed = Packet {
        from: w.customer,
        ..own_leg.clone()
    };
    let stranger = Packet {
        to: w.mx[1],
        ..w.from_relay("A")
    };
    let other_port = Packet {
        ports: [8080, World::PORT],
        ..w.from_relay("A")
    };
    let spent = Packet {
        hops: 1,
        ..w.from_relay("A")
    };
    let mut bad = answer.octets();
    bad[14] &= 0xf0;
    if !w.customer.is_ipv4() {
        bad[14] = 0x50;
    }
    let relay = |name: &str, tables: MemoryTables, packet: &Packet| {
        w.case(name, tables, packet.octets())
            .role(Some(Role::Relay))
    };
    let out = |packet: &Packet| w.at_customer(packet).octets();
    let in_tags = Packet {
        tags,
        ..w.at_customer(&answer)
    };
    let untagged = Packet {
        tags: vec![[0x81, 0, 0, 3]],
        ..answer.clone()
    };
    cases.extend([
        relay("an answer is translated back", w.diverted(), &answer)
            .leaves(INGRESS, out(&answer), to_customer)
            .entry(w.key(World::PORT), marked),
        relay("a SYN-ACK is remembered", opening, &syn_ack)
            .leaves(INGRESS, out(&syn_ack), to_customer)
            .entry(
                w.key(World::PORT),
                Flow {
                    from_customer: SEEN_SYN,
                    from_relay: SEEN_SYN,
                    ..marked
                },
            ),
        relay("a relay's FIN is remembered", w.diverted(), &fin)
            .leaves(INGRESS, out(&fin), to_customer)
            .entry(
                w.key(World::PORT),
                Flow {
                    from_relay: SEEN_SYN | SEEN_ACK | SEEN_FIN,
                    ..marked
                },
            ),
        relay("an answer takes the customer's tags", tagged, &answer).leaves(
            INGRESS,
            in_tags.octets(),
            to_customer,
        ),
        relay("an answer leaves the relay's tags", w.diverted(), &untagged).leaves(
            INGRESS,
            out(&answer),
            to_customer,
        ),
        relay(
            "an answer to a changed port finds its customer",
            second,
            &second_answer,
        )
        .leaves(
            INGRESS,
            Packet {
                from: w.mx[1],
                ..w.at_customer(&answer)
            }
            .octets(),
            to_customer,
        ),
        relay("an answer without an entry is dropped", w.tables(), &answer)
            .dropped(&[Counter::ReplyWithoutEntry]),
        relay(
            "an answer to nobody's customer passes",
            w.diverted(),
            &stranger,
        ),
        relay(
            "what is not from the listener passes",
            w.diverted(),
            &other_port,
        ),
        relay("the relay's own leg passes", w.diverted(), &own_leg),
        relay(
            "what a relay sends is never diverted",
            w.diverted(),
            &spoofed,
        )
        .dropped(&[Counter::SpoofBlocked]),
        relay(
            "an answer whose hops run out is the kernel's",
            w.diverted(),
            &spent,
        )
        .counts(&[Counter::HopLimit]),
        relay("an answer whose way is lost is dropped", nowhere, &answer)
            .dropped(&[Counter::PathUnknown]),
        relay(
            "an answer leaves by a listed interface or not at all",
            confined,
            &answer,
        )
        .dropped(&[Counter::InternalError]),
        w.case("a malformed answer passes", w.diverted(), bad)
            .role(Some(Role::Relay))
            .counts(&[Counter::Malformed]),
    ]);
}
