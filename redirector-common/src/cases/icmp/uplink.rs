//! Errors from the internet: about a relay's own leg from a customer's address, or nothing to us.

use std::{vec, vec::Vec};

use super::{
    super::{
        Case, EGRESS,
        packet::Packet,
        world::{EDGE_RELAY_MAC, RELAY_MAC, World, policy, relay_path},
    },
    Kind, Message, least, router, too_big,
};
use crate::{
    abi::{Action, L2Path, NO_RELAY, Policy, Role},
    counters::Counter,
    tables::memory::MemoryTables,
};

/// A segment of the relay's own leg to the first MX, from the customer's address.
fn leg(w: &World, port: u16) -> Packet {
    Packet {
        ports: [port, 25],
        ..w.to_mx("A")
    }
}

/// An error as the relay must get it.
fn at_relay(error: &Message) -> Message {
    Message {
        stations: [RELAY_MAC, EDGE_RELAY_MAC],
        tags: Vec::new(),
        hops: error.hops - 1,
        ..error.clone()
    }
}

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let about = |about: &Packet| too_big(router(w), about);
    let error = about(&leg(w, 61_000));
    let to_port = Packet {
        ports: [61_000, 587],
        ..leg(w, 61_000)
    };
    let to_other = Message {
        to: w.mx[1],
        ..error.clone()
    };
    let unreachable = Message {
        kind: Kind::Prohibited,
        from: w.mx[0],
        ..error.clone()
    };
    let echo = Message {
        kind: Kind::Echo,
        ..error.clone()
    };
    let spent = Message {
        hops: 1,
        ..error.clone()
    };
    let group = Message {
        stations: [[0xff; 6], error.stations[1]],
        ..error.clone()
    };
    let tags = vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let mut towards = w.lent();
    towards.relays.insert(
        World::RELAY.into(),
        w.relay_record(L2Path {
            tags: [tags[0], tags[1]],
            ..relay_path()
        }),
    );
    let at_tagged = Message {
        tags,
        ..at_relay(&error)
    };
    let mut lingering = w.lent();
    let linger = Policy {
        flags: Policy::LENDS_ADDRESS,
        ..policy(Action::Linger)
    };
    lingering.hosts.insert(w.customer.into(), linger);
    let mut empty = w.lent();
    empty.slots.insert(0, NO_RELAY);
    let mut confined = w.lent();
    confined.devices.remove(&EGRESS);
    let case = |name: &str, tables: MemoryTables, error: &Message| {
        w.case(name, tables, error.octets())
            .role(Some(Role::Uplink))
    };
    let steered = &[Counter::IcmpReturnSteered];
    let out = |error: &Message| at_relay(error).octets();
    let last = about(&leg(w, 65_535));
    cases.extend([
        case("an error about a leg goes to the relay", w.lent(), &error).leaves(
            EGRESS,
            out(&error),
            steered,
        ),
        case(
            "an error about a leg from the last port goes to the relay",
            w.lent(),
            &last,
        )
        .leaves(EGRESS, out(&last), steered),
        case(
            "an error about a leg that quotes the least",
            w.lent(),
            &error.cut(least(w)),
        )
        .leaves(EGRESS, out(&error.cut(least(w))), steered),
        case(
            "an MX's own error about a leg goes to the relay",
            w.lent(),
            &unreachable,
        )
        .leaves(EGRESS, out(&unreachable), steered),
        case(
            "an error about a leg while connections linger",
            lingering,
            &error,
        )
        .leaves(EGRESS, out(&error), steered),
        case(
            "an error about a leg takes the relay's tags",
            towards,
            &error,
        )
        .leaves(EGRESS, at_tagged.octets(), steered),
        case(
            "an error about a port below is the customer's",
            w.lent(),
            &about(&leg(w, 60_999)),
        ),
        case(
            "an error about submission is the customer's",
            w.lent(),
            &about(&to_port),
        ),
        case(
            "an error to a customer that lends nothing is its own",
            w.steered(),
            &error,
        ),
        case(
            "an error to an unflagged customer is its own",
            w.tables(),
            &error,
        ),
        case(
            "an error from the internet to somebody else passes",
            w.lent(),
            &to_other,
        ),
        case("an echo request from the internet passes", w.lent(), &echo),
        case(
            "an error from the internet that quotes little passes",
            w.lent(),
            &error.cut(least(w) - 1),
        ),
        case(
            "a group frame with an error from the internet passes",
            w.lent(),
            &group,
        ),
        case(
            "an error about a leg without a relay is dropped",
            empty,
            &error,
        )
        .dropped(&[Counter::PathUnknown]),
        case(
            "an error about a leg leaves by a listed interface or not at all",
            confined,
            &error,
        )
        .dropped(&[Counter::InternalError]),
        case("an error about a leg whose hops run out", w.lent(), &spent)
            .counts(&[Counter::HopLimit]),
    ]);
}
