//! Errors from a relay's side: to its customer, kept by the spoof gate, or nothing to us.

use std::{format, vec, vec::Vec};

use super::{
    super::{
        Case, INGRESS,
        packet::Packet,
        world::{CUSTOMER_MAC, EDGE_MAC, EDGE_RELAY_MAC, RELAY_MAC, World},
    },
    Kind, Message, least, mx_inside, router, too_big,
};
use crate::{
    abi::{Flow, L2Path, Role},
    addr::Addr,
    counters::Counter,
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    rewritten(world, cases);
    steered(world, cases);
    without_entry(world, cases);
    gate(world, cases);
}

/// What the relay says about a segment.
fn said(w: &World, about: &Packet) -> Message {
    Message {
        stations: [EDGE_RELAY_MAC, RELAY_MAC],
        ..too_big(w.relay, about)
    }
}

/// The same as the customer must get it.
fn at_customer(w: &World, said: &Message, quoted: &Packet) -> Message {
    let mut quote = quoted.octets()[14..].to_vec();
    quote.truncate(said.quote.len());
    Message {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        tags: Vec::new(),
        from: if said.from == w.relay {
            w.mx[0]
        } else {
            said.from
        },
        hops: said.hops - 1,
        quote,
        ..said.clone()
    }
}

fn rewritten(w: &World, cases: &mut Vec<Case>) {
    let about = w.at_relay(&w.to_mx("A"));
    let quoted = Packet {
        to: w.mx[0],
        ports: [World::PORT, 25],
        ..about.clone()
    };
    let error = said(w, &about);
    let out = |error: &Message| at_customer(w, error, &quoted).octets();
    let by_router = Message {
        from: router(w),
        ..error.clone()
    };
    let about_second = Packet {
        ports: [w.second_port, World::RELAY_PORT],
        ..about
    };
    let quoted_second = Packet {
        to: w.mx[1],
        ..quoted.clone()
    };
    let second_error = said(w, &about_second);
    let second_out = Message {
        from: w.mx[1],
        ..at_customer(w, &second_error, &quoted_second)
    };
    let second_flow = Flow {
        original_dst: Addr::from(w.mx[1]).mapped(),
        ..w.flow()
    };
    let mut second = w.diverted();
    second.put_flow(w.key(w.second_port), second_flow);
    let with_path = |path: L2Path| {
        let mut tables = w.diverted();
        let flow = Flow {
            customer_path: path,
            ..w.flow()
        };
        tables.put_flow(w.key(World::PORT), flow);
        tables
    };
    let tags = vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let tagged = with_path(L2Path {
        tags: [tags[0], tags[1]],
        ..w.flow().customer_path
    });
    let in_tags = Message {
        tags,
        ..at_customer(w, &error, &quoted)
    };
    let mut confined = w.diverted();
    confined.devices.remove(&INGRESS);
    let spent = Message {
        hops: 1,
        ..error.clone()
    };
    let case = |name: &str, tables: MemoryTables, error: &Message| {
        w.case(name, tables, error.octets()).role(Some(Role::Relay))
    };
    let to_customer = &[Counter::IcmpToCustomer];
    cases.extend([
        case(
            "a relay's error is the MX's to the customer",
            w.diverted(),
            &error,
        )
        .leaves(INGRESS, out(&error), to_customer)
        .entry(w.key(World::PORT), w.flow()),
        case(
            "a relay's error that quotes the least",
            w.diverted(),
            &error.cut(least(w)),
        )
        .leaves(INGRESS, out(&error.cut(least(w))), to_customer),
        case(
            "an error of a router before the relay keeps its address",
            w.diverted(),
            &by_router,
        )
        .leaves(INGRESS, out(&by_router), to_customer),
        case(
            "a relay's error about a changed port names the customer's own",
            second,
            &second_error,
        )
        .leaves(INGRESS, second_out.octets(), to_customer),
        case("a relay's error takes the customer's tags", tagged, &error).leaves(
            INGRESS,
            in_tags.octets(),
            to_customer,
        ),
        case(
            "a relay's error whose way is lost is dropped",
            with_path(L2Path::default()),
            &error,
        )
        .dropped(&[Counter::PathUnknown]),
        case(
            "a relay's error leaves by a listed interface or not at all",
            confined,
            &error,
        )
        .dropped(&[Counter::InternalError]),
        case(
            "a relay's error whose hops run out is the kernel's",
            w.diverted(),
            &spent,
        )
        .counts(&[Counter::HopLimit]),
    ]);
    for kind in Kind::ERRORS {
        let error = Message {
            kind,
            ..error.clone()
        };
        let name = format!("{kind:?} of the relay goes to the customer");
        cases.push(case(&name, w.diverted(), &error).leaves(INGRESS, out(&error), to_customer));
    }
    for kind in Kind::OTHERS {
        let other = Message {
            kind,
            ..error.clone()
        };
        let name = format!("{kind:?} of the relay passes");
        cases.push(case(&name, w.diverted(), &other));
    }
}

/// A customer's segment to the first MX, as a relay that is steered to gets it.
fn steered_segment(w: &World) -> Packet {
    let sent = w.to_mx("A");
    Packet {
        stations: [RELAY_MAC, EDGE_RELAY_MAC],
        hops: sent.hops - 1,
        ..sent
    }
}

/// The customer's connection to the first MX is steered.
fn steers(w: &World) -> MemoryTables {
    let mut tables = w.steered();
    tables.put_flow(w.steered_key(w.mx[0]), w.flow());
    tables
}

fn steered(w: &World, cases: &mut Vec<Case>) {
    let about = steered_segment(w);
    // The relay's kernel has the MX's address for its own.
    let own = Message {
        from: w.mx[0],
        ..said(w, &about)
    };
    let out = |error: &Message| {
        Message {
            stations: [CUSTOMER_MAC, EDGE_MAC],
            hops: error.hops - 1,
            ..error.clone()
        }
        .octets()
    };
    let case = |name: &str, tables: MemoryTables, error: &Message| {
        w.case(name, tables, error.octets()).role(Some(Role::Relay))
    };
    let to_customer = &[Counter::IcmpToCustomer];
    cases.extend([
        case(
            "a steered relay's error goes to the customer as it is",
            steers(w),
            &own,
        )
        .leaves(INGRESS, out(&own), to_customer)
        .entry(w.steered_key(w.mx[0]), w.flow()),
        case(
            "a steered relay's error in its own name",
            steers(w),
            &said(w, &about),
        )
        .leaves(INGRESS, out(&said(w, &about)), to_customer),
        case(
            "a steered relay's error as an MX among the customers",
            mx_inside(w, steers(w)),
            &own,
        )
        .leaves(INGRESS, out(&own), to_customer),
        case(
            "a steered relay's error without an entry is dropped",
            w.steered(),
            &own,
        )
        .dropped(&[Counter::IcmpWithoutEntry]),
    ]);
}

fn without_entry(w: &World, cases: &mut Vec<Case>) {
    let about = w.at_relay(&w.to_mx("A"));
    let to_service = Packet {
        ports: [World::PORT, 25],
        ..about.clone()
    };
    let elsewhere = Packet {
        ports: [World::PORT, 8080],
        ..about.clone()
    };
    let stranger = Packet {
        from: w.mx[1],
        ..about.clone()
    };
    let mut service = w.tables();
    service.listeners.insert(w.relay_address());
    let own_leg = Packet {
        from: w.mx[0],
        to: w.relay,
        ports: [25, 50_000],
        ..w.to_mx("A")
    };
    let case = |name: &str, tables: MemoryTables, about: &Packet| {
        w.case(name, tables, said(w, about).octets())
            .role(Some(Role::Relay))
    };
    cases.extend([
        case(
            "a relay's error without an entry is dropped",
            w.tables(),
            &about,
        )
        .dropped(&[Counter::IcmpWithoutEntry]),
        case(
            "a relay's error about its own mail service passes",
            service,
            &to_service,
        ),
        case(
            "a relay's error about another service passes",
            w.diverted(),
            &elsewhere,
        ),
        case(
            "a relay's error to nobody's customer passes",
            w.diverted(),
            &stranger,
        ),
        case(
            "a relay's error about its own leg passes",
            w.diverted(),
            &own_leg,
        ),
    ]);
}

/// No error leaves a relay's side in the name of a customer.
fn gate(w: &World, cases: &mut Vec<Case>) {
    let about = w.at_relay(&w.to_mx("A"));
    let forged = Message {
        from: w.customer,
        ..said(w, &about)
    };
    let leg = Packet {
        from: w.mx[0],
        to: w.customer,
        ports: [25, 61_000],
        ..w.to_mx("A")
    };
    let in_lent_name = Message {
        from: w.customer,
        ..said(w, &leg)
    };
    let by_router = Message {
        from: router(w),
        ..said(w, &leg)
    };
    let no_quote = Message {
        quote: Vec::new(),
        ..in_lent_name.clone()
    };
    let as_mx = Message {
        from: w.mx[0],
        ..said(w, &steered_segment(w))
    };
    let case = |name: &str, tables: MemoryTables, error: &Message| {
        w.case(name, tables, error.octets()).role(Some(Role::Relay))
    };
    let blocked = &[Counter::SpoofBlocked];
    cases.extend([
        case(
            "an error in a customer's name is blocked",
            w.diverted(),
            &forged,
        )
        .dropped(blocked),
        case(
            "an error in a customer's name without an entry is blocked",
            w.tables(),
            &forged,
        )
        .dropped(blocked),
        case(
            "an error in a lent name is blocked",
            w.lent(),
            &in_lent_name,
        )
        .dropped(blocked),
        case(
            "an error that quotes nothing in a lent name is blocked",
            w.lent(),
            &no_quote,
        )
        .dropped(blocked),
        case(
            "an error as an MX among the customers without an entry is dropped",
            mx_inside(w, w.steered()),
            &as_mx,
        )
        .dropped(&[Counter::IcmpWithoutEntry]),
        case(
            "a router's error about a leg passes to the MX",
            w.lent(),
            &by_router,
        ),
    ]);
}
