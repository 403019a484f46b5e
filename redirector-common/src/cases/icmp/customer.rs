//! Errors from a customer's side: to its relay, or nothing to us.

use std::{format, vec, vec::Vec};

use super::{
    super::{
        Case, EGRESS, INGRESS,
        packet::Packet,
        world::{
            CUSTOMER_MAC, EDGE_MAC, EDGE_RELAY_MAC, RELAY_MAC, World, policy, relay_path, steering,
        },
    },
    Kind, Message, least, router, too_big,
};
use crate::{
    abi::{Action, Flow, L2Path, NO_RELAY, OnFailure, RoleKey},
    addr::Addr,
    counters::Counter,
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    rewritten(world, cases);
    steered(world, cases);
    links(world, cases);
    elsewhere(world, cases);
}

/// What the customer's side got of a relay's answer: its hop limit is no longer what the relay wrote.
pub(super) fn received(w: &World) -> Packet {
    w.at_customer(&w.from_relay("A"))
}

/// The same as the relay sent it, but for the hop limit.
pub(super) fn sent(w: &World, received: &Packet) -> Packet {
    Packet {
        from: w.relay,
        ports: [World::RELAY_PORT, World::PORT],
        ..received.clone()
    }
}

/// What the customer itself says about a segment.
pub(super) fn said(w: &World, about: &Packet) -> Message {
    Message {
        stations: [EDGE_MAC, CUSTOMER_MAC],
        ..too_big(w.customer, about)
    }
}

/// The same as the relay must get it.
pub(super) fn at_relay(w: &World, said: &Message, quoted: &Packet) -> Message {
    let mut quote = quoted.octets()[14..].to_vec();
    quote.truncate(said.quote.len());
    Message {
        stations: [RELAY_MAC, EDGE_RELAY_MAC],
        tags: Vec::new(),
        to: w.relay,
        hops: said.hops - 1,
        quote,
        ..said.clone()
    }
}

fn rewritten(w: &World, cases: &mut Vec<Case>) {
    let about = received(w);
    let quoted = sent(w, &about);
    let error = said(w, &about);
    let out = |error: &Message| at_relay(w, error, &quoted).octets();
    let to_relay = &[Counter::IcmpToRelay];
    let by_router = Message {
        from: router(w),
        ..error.clone()
    };
    let with_options = Message {
        options: if w.customer.is_ipv4() {
            vec![1, 1, 1, 0, 1, 1, 1, 0]
        } else {
            Vec::new()
        },
        ..error.clone()
    };
    let mut second = w.diverted();
    second.put_flow(
        w.key(w.second_port),
        Flow {
            original_dst: Addr::from(w.mx[1]).mapped(),
            ..w.flow()
        },
    );
    let about_second = Packet {
        from: w.mx[1],
        ..about
    };
    let quoted_second = Packet {
        ports: [World::RELAY_PORT, w.second_port],
        ..quoted.clone()
    };
    let second_error = said(w, &about_second);
    let mut lingering = w.diverted();
    let linger = policy(Action::Linger);
    lingering.hosts.insert(w.customer.into(), linger);
    let mut other_pool = w.diverted();
    other_pool.pools.insert(0, steering(OnFailure::Closed));
    // Nobody mends what was wrong before.
    let mut unsound = error.octets();
    let mut unsound_out = out(&error);
    for octets in [&mut unsound, &mut unsound_out] {
        let last = octets.len() - 1;
        octets[last] ^= 0xff;
    }
    let case =
        |name: &str, tables: MemoryTables, error: &Message| w.case(name, tables, error.octets());
    cases.extend([
        case("an error goes to the relay", w.diverted(), &error)
            .leaves(EGRESS, out(&error), to_relay)
            .entry(w.key(World::PORT), w.flow()),
        case(
            "an error that quotes the least goes to the relay",
            w.diverted(),
            &error.cut(least(w)),
        )
        .leaves(EGRESS, out(&error.cut(least(w))), to_relay),
        case(
            "an error that quotes all but the TCP checksum goes to the relay",
            w.diverted(),
            &error.cut(least(w) + 8),
        )
        .leaves(EGRESS, out(&error.cut(least(w) + 8)), to_relay),
        case(
            "an error that quotes up to the TCP checksum goes to the relay",
            w.diverted(),
            &error.cut(least(w) + 10),
        )
        .leaves(EGRESS, out(&error.cut(least(w) + 10)), to_relay),
        case(
            "an error of a router before the customer keeps its address",
            w.diverted(),
            &by_router,
        )
        .leaves(EGRESS, out(&by_router), to_relay),
        case(
            "an error behind IPv4 options goes to the relay",
            w.diverted(),
            &with_options,
        )
        .leaves(EGRESS, out(&with_options), to_relay),
        case(
            "an error about a changed port shows the relay that port",
            second,
            &second_error,
        )
        .leaves(
            EGRESS,
            at_relay(w, &second_error, &quoted_second).octets(),
            to_relay,
        ),
        case(
            "an error under a lifted redirect goes to the relay",
            lingering,
            &error,
        )
        .leaves(EGRESS, out(&error), to_relay),
        case(
            "an error about rewritten data of a pool that is steered to now",
            other_pool,
            &error,
        )
        .leaves(EGRESS, out(&error), to_relay),
        w.case(
            "a wrong checksum of an error stays wrong",
            w.diverted(),
            unsound,
        )
        .leaves(EGRESS, unsound_out, to_relay),
    ]);
    for kind in Kind::ERRORS {
        let error = Message {
            kind,
            ..error.clone()
        };
        let name = format!("{kind:?} of the customer goes to the relay");
        cases.push(case(&name, w.diverted(), &error).leaves(EGRESS, out(&error), to_relay));
    }
    for kind in Kind::OTHERS {
        let other = Message {
            kind,
            ..error.clone()
        };
        let name = format!("{kind:?} of the customer passes");
        cases.push(case(&name, w.diverted(), &other));
    }
}

fn steered(w: &World, cases: &mut Vec<Case>) {
    let about = Packet {
        from: w.mx[0],
        ports: [25, World::PORT],
        ..received(w)
    };
    let error = said(w, &about);
    let out = |error: &Message| {
        Message {
            stations: [RELAY_MAC, EDGE_RELAY_MAC],
            hops: error.hops - 1,
            ..error.clone()
        }
        .octets()
    };
    let mut tables = w.steered();
    tables.put_flow(w.steered_key(w.mx[0]), w.flow());
    let mut empty = tables.clone();
    empty.slots.insert(0, NO_RELAY);
    let by_router = Message {
        from: router(w),
        ..error.clone()
    };
    let to_relay = &[Counter::IcmpToRelay];
    cases.extend([
        w.case(
            "an error is steered to the relay",
            tables.clone(),
            error.octets(),
        )
        .leaves(EGRESS, out(&error), to_relay)
        .entry(w.steered_key(w.mx[0]), w.flow()),
        w.case(
            "a router's error is steered to the relay",
            tables,
            by_router.octets(),
        )
        .leaves(EGRESS, out(&by_router), to_relay),
        w.case(
            "an error is steered to a relay out of rotation",
            empty,
            error.octets(),
        )
        .leaves(EGRESS, out(&error), to_relay),
    ]);
}

fn links(w: &World, cases: &mut Vec<Case>) {
    let about = received(w);
    let error = said(w, &about);
    let quoted = sent(w, &about);
    let tags = vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let mut towards = w.diverted();
    towards.relays.insert(
        World::RELAY.into(),
        w.relay_record(L2Path {
            tags: [tags[0], tags[1]],
            ..relay_path()
        }),
    );
    let at_tagged = Message {
        tags: tags.clone(),
        ..at_relay(w, &error, &quoted)
    };
    let tagged = Message {
        tags,
        ..error.clone()
    };
    let mut by_tags = w.diverted();
    by_tags.roles.insert(
        RoleKey {
            ifindex: INGRESS,
            outer: 200,
            inner: 7,
        },
        crate::abi::Role::Customer,
    );
    let mut pathless = w.diverted();
    pathless
        .relays
        .insert(World::RELAY.into(), w.relay_record(L2Path::default()));
    let mut confined = w.diverted();
    confined.devices.remove(&EGRESS);
    let spent = Message {
        hops: 1,
        ..error.clone()
    };
    let group = Message {
        stations: [[0xff; 6], CUSTOMER_MAC],
        ..error.clone()
    };
    let to_relay = &[Counter::IcmpToRelay];
    cases.extend([
        w.case("an error takes the relay's tags", towards, error.octets())
            .leaves(EGRESS, at_tagged.octets(), to_relay),
        w.case(
            "an error leaves the customer's tags",
            by_tags,
            tagged.octets(),
        )
        .role(None)
        .leaves(EGRESS, at_relay(w, &tagged, &quoted).octets(), to_relay),
        w.case(
            "an error without a way to the relay is dropped",
            pathless,
            error.octets(),
        )
        .dropped(&[Counter::PathUnknown]),
        w.case(
            "an error leaves by a listed interface or not at all",
            confined,
            error.octets(),
        )
        .dropped(&[Counter::InternalError]),
        w.case(
            "an error whose hops run out is the kernel's",
            w.diverted(),
            spent.octets(),
        )
        .counts(&[Counter::HopLimit]),
        w.case(
            "a group frame with an error passes",
            w.diverted(),
            group.octets(),
        ),
    ]);
}

fn elsewhere(w: &World, cases: &mut Vec<Case>) {
    let about = received(w);
    let other_port = Packet {
        ports: [80, World::PORT],
        ..about.clone()
    };
    let other_customer_port = Packet {
        ports: [25, World::PORT + 1],
        ..about.clone()
    };
    let misdirected = Message {
        to: w.mx[1],
        ..said(w, &about)
    };
    let mut fragment = said(w, &about).octets();
    let mut cut = said(w, &about).octets();
    cut.pop();
    let passes = |name: &str, tables: MemoryTables, about: &Packet| {
        w.case(name, tables, said(w, about).octets())
    };
    cases.extend([
        passes(
            "an error of an unflagged customer passes",
            w.tables(),
            &about,
        ),
        passes(
            "an error about a connection without an entry passes",
            w.flagged(Action::Redirect),
            &about,
        ),
        passes(
            "an error about another port passes",
            w.diverted(),
            &other_port,
        ),
        passes(
            "an error about another connection passes",
            w.diverted(),
            &other_customer_port,
        ),
        w.case(
            "an error to somebody else passes",
            w.diverted(),
            misdirected.octets(),
        ),
        w.case("an error that is cut short passes", w.diverted(), cut),
    ]);
    if w.customer.is_ipv4() {
        fragment[20] = 0x20;
        cases.push(w.case("a fragment of an error passes", w.diverted(), fragment));
    }
}
