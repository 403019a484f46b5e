//! Errors from the internet about a customer's connection to a relay beyond the uplink.

use std::vec::Vec;

use super::{
    super::{
        Case, INGRESS,
        packet::Packet,
        world::{CUSTOMER_MAC, EDGE_MAC, World},
    },
    Message, router, too_big,
};
use crate::{
    abi::{Action, FlowKey, Relay, Role},
    counters::Counter,
    tables::memory::MemoryTables,
};

/// Port of the listener.
const PORT: u16 = 587;

/// The customer's connection to the first MX runs to that relay.
fn established(w: &World) -> MemoryTables {
    let mut tables = w.with_relay_beyond(w.flagged(Action::Redirect), PORT);
    let key = FlowKey::new(
        w.customer.into(),
        World::PORT.to_be_bytes(),
        w.relay.into(),
        PORT.to_be_bytes(),
    );
    tables.put_flow(key, w.flow());
    tables
}

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let about = Packet {
        ports: [World::PORT, PORT],
        ..w.at_relay(&w.to_mx("A"))
    };
    let error = too_big(router(w), &about);
    let by_relay = Message {
        from: w.relay,
        ..error.clone()
    };
    let quoted = Packet {
        to: w.mx[0],
        ports: [World::PORT, 25],
        ..about
    };
    let at_customer = |error: &Message| Message {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        from: if error.from == w.relay {
            w.mx[0]
        } else {
            error.from
        },
        hops: error.hops - 1,
        quote: quoted.octets()[14..].to_vec(),
        ..error.clone()
    };
    for (name, error) in [
        (
            "a router beyond the uplink speaks of a diverted segment",
            &error,
        ),
        (
            "a relay beyond the uplink speaks of a diverted segment",
            &by_relay,
        ),
    ] {
        let case = w.case(name, established(w), error.octets());
        let out = at_customer(error).octets();
        let counters = [Counter::IcmpToCustomer];
        cases.push(
            case.role(Some(Role::Uplink))
                .leaves(INGRESS, out, &counters),
        );
    }

    let mut ended = established(w);
    ended.flows.clear();
    let mut own = ended.clone();
    own.hosts.clear();
    let mut near = established(w);
    near.relays.insert(
        World::RELAY.into(),
        Relay {
            flags: 0,
            ..near.relays[&World::RELAY.into()]
        },
    );
    let name = "an error about a diverted customer's segment to a relay beyond the uplink, without an entry";
    let case = w.case(name, ended, error.octets()).role(Some(Role::Uplink));
    cases.push(case.dropped(&[Counter::IcmpWithoutEntry]));
    for (name, tables) in [
        (
            "an error about a customer's own connection to a third party's listener",
            own,
        ),
        (
            "an error from the internet about a segment to a relay on our side",
            near,
        ),
    ] {
        let case = w.case(name, tables, error.octets());
        cases.push(case.role(Some(Role::Uplink)));
    }
}
