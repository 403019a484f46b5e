//! A relay beyond the uplink, a third party's filter: what it answers comes in where the internet does.

use std::vec::Vec;

use super::{
    Case, EGRESS, INGRESS,
    packet::Packet,
    world::{RELAY_MAC, World, customer_path, policy, relay_path},
};
use crate::{
    abi::{Action, Flow, FlowKey, L2Path, Policy, Relay, Role},
    counters::Counter,
    flow::{SEEN_ACK, SEEN_FIN, SEEN_SYN},
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    diverted(world, cases);
    without_an_entry(world, cases);
    at_port_25(world, cases);
}

/// Port of the listener.
const PORT: u16 = 587;

/// Key of the customer's connection to a listener on this port.
fn key(w: &World, port: u16) -> FlowKey {
    FlowKey::new(
        w.customer.into(),
        World::PORT.to_be_bytes(),
        w.relay.into(),
        port.to_be_bytes(),
    )
}

/// The customer is redirected there, and its connection to the first MX established.
fn established(w: &World, port: u16) -> MemoryTables {
    let mut tables = w.with_relay_beyond(w.flagged(Action::Redirect), port);
    tables.put_flow(key(w, port), w.flow());
    tables
}

/// A segment of the relay to the customer.
fn answer(w: &World, port: u16, flags: &'static str) -> Packet {
    Packet {
        ports: [port, World::PORT],
        ..w.from_relay(flags)
    }
}

fn by_uplink(w: &World, name: &str, tables: MemoryTables, packet: &Packet) -> Case {
    w.case(name, tables, packet.octets())
        .role(Some(Role::Uplink))
}

fn diverted(w: &World, cases: &mut Vec<Case>) {
    let with = |flow: Flow| {
        let mut tables = established(w, PORT);
        tables.put_flow(key(w, PORT), flow);
        tables
    };
    let mark = |from_relay: u8| Flow {
        from_relay,
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let data = answer(w, PORT, "A");
    let fin = answer(w, PORT, "FA");
    let out = |packet: &Packet| w.at_customer(packet).octets();
    let tags = [[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let in_tags = Packet {
        tags: tags.to_vec(),
        ..w.at_customer(&data)
    };
    let mut lingering = established(w, PORT);
    let linger = policy(Action::Linger);
    lingering.hosts.insert(w.customer.into(), linger);
    let mut lifted = established(w, PORT);
    lifted.hosts.clear();
    let mut confined = established(w, PORT);
    confined.devices.remove(&INGRESS);
    let spent = Packet {
        hops: 1,
        ..data.clone()
    };
    let syn = Packet {
        payload: Vec::new(),
        ..w.to_mx("S")
    };
    let sent = Packet {
        ports: [World::PORT, PORT],
        ..w.at_relay(&syn)
    };
    let redirected = w.with_relay_beyond(w.flagged(Action::Redirect), PORT);
    let to_customer = &[Counter::ToCustomer];
    let mut nowhere = w.flow();
    nowhere.customer_path = L2Path::default();
    let mut tagged = w.flow();
    tagged.customer_path = L2Path {
        tags,
        ..customer_path()
    };
    cases.extend([
        w.case(
            "a connection goes to a relay beyond the uplink",
            redirected,
            syn.octets(),
        )
        .leaves(
            EGRESS,
            sent.octets(),
            &[Counter::FlowOpened, Counter::ToRelay],
        )
        .entry(key(w, PORT), w.new_flow()),
        by_uplink(
            w,
            "an answer from beyond the uplink is translated back",
            established(w, PORT),
            &data,
        )
        .leaves(INGRESS, out(&data), to_customer)
        .entry(key(w, PORT), mark(SEEN_SYN | SEEN_ACK)),
        by_uplink(
            w,
            "a FIN from beyond the uplink is remembered",
            established(w, PORT),
            &fin,
        )
        .leaves(INGRESS, out(&fin), to_customer)
        .entry(key(w, PORT), mark(SEEN_SYN | SEEN_ACK | SEEN_FIN)),
        by_uplink(
            w,
            "an answer from beyond the uplink takes the customer's tags",
            with(tagged),
            &data,
        )
        .leaves(INGRESS, in_tags.octets(), to_customer),
        by_uplink(
            w,
            "an answer from beyond the uplink reaches a lingering connection",
            lingering,
            &data,
        )
        .leaves(INGRESS, out(&data), to_customer),
        by_uplink(
            w,
            "an answer from beyond the uplink goes by its entry alone",
            lifted,
            &data,
        )
        .leaves(INGRESS, out(&data), to_customer),
        by_uplink(
            w,
            "an answer from beyond the uplink whose hops run out",
            established(w, PORT),
            &spent,
        )
        .counts(&[Counter::HopLimit]),
        by_uplink(
            w,
            "an answer from beyond the uplink whose way is lost is dropped",
            with(nowhere),
            &data,
        )
        .dropped(&[Counter::PathUnknown]),
        by_uplink(
            w,
            "an answer from beyond the uplink leaves by a listed interface or not at all",
            confined,
            &data,
        )
        .dropped(&[Counter::InternalError]),
    ]);
}

fn without_an_entry(w: &World, cases: &mut Vec<Case>) {
    let there = |tables| w.with_relay_beyond(tables, PORT);
    let data = answer(w, PORT, "A");
    let dropped = &[Counter::ReplyWithoutEntry];
    let mut lingering = there(w.tables());
    let linger = policy(Action::Linger);
    lingering.hosts.insert(w.customer.into(), linger);
    let mut by_prefix = there(w.tables());
    let (network, length) = w.network;
    let redirect = policy(Action::Redirect);
    by_prefix
        .prefixes
        .insert((network.into(), length), redirect);
    let mut here = established(w, PORT);
    let relay = Relay {
        flags: 0,
        ..here.relays[&World::RELAY.into()]
    };
    here.relays.insert(World::RELAY.into(), relay);
    let group = Packet {
        stations: [[1, 0, 0x5e, 0, 0, 1], RELAY_MAC],
        ..data.clone()
    };
    let neighbour = Packet {
        from: w.mx[1],
        ..data.clone()
    };
    let other_port = Packet {
        ports: [PORT + 1, World::PORT],
        ..data.clone()
    };
    let to_nobody = Packet {
        to: w.mx[1],
        ..data.clone()
    };
    cases.extend([
        by_uplink(
            w,
            "an answer from beyond the uplink without an entry is dropped",
            there(w.flagged(Action::Redirect)),
            &data,
        )
        .dropped(dropped),
        by_uplink(
            w,
            "an answer from beyond the uplink without an entry is dropped while connections linger",
            lingering,
            &data,
        )
        .dropped(dropped),
        by_uplink(
            w,
            "an answer from beyond the uplink without an entry is dropped under a prefix's policy",
            by_prefix,
            &data,
        )
        .dropped(dropped),
        by_uplink(
            w,
            "an answer in the name of a relay on this side is dropped",
            here,
            &data,
        )
        .dropped(dropped),
        by_uplink(
            w,
            "a customer that is not diverted speaks to the relay itself",
            there(w.tables()),
            &data,
        ),
        by_uplink(
            w,
            "a customer that is observed speaks to the relay itself",
            there(w.flagged(Action::Observe)),
            &data,
        ),
        by_uplink(
            w,
            "an answer from beyond the uplink to nobody's customer passes",
            established(w, PORT),
            &to_nobody,
        ),
        by_uplink(
            w,
            "another host's answer from the relay's port passes",
            established(w, PORT),
            &neighbour,
        ),
        by_uplink(
            w,
            "an answer from beyond the uplink from another port passes",
            established(w, PORT),
            &other_port,
        ),
        by_uplink(
            w,
            "a group frame from the relay's port passes",
            established(w, PORT),
            &group,
        ),
    ]);
}

/// A listener on port 25 shares it with the MXs that relays deliver to.
fn at_port_25(w: &World, cases: &mut Vec<Case>) {
    let data = answer(w, 25, "A");
    let mut lent = w.with_relay_beyond(w.lent(), 25);
    // Frames of the relay's own leg are steered to one that stands here.
    lent.relays
        .insert(World::RELAY.into(), w.relay_record(relay_path()));
    let leg = Packet {
        from: w.mx[0],
        ports: [25, 61_000],
        ..w.from_relay("A")
    };
    let leg_to_it = Packet {
        from: w.relay,
        ..leg.clone()
    };
    let steered = |packet: &Packet| Packet {
        stations: [relay_path().peer_mac, relay_path().own_mac],
        hops: packet.hops - 1,
        ..packet.clone()
    };
    let mut high = w.with_relay_beyond(w.lent(), 25);
    let lends = Policy {
        flags: Policy::LENDS_ADDRESS,
        ..policy(Action::Redirect)
    };
    high.hosts.insert(w.customer.into(), lends);
    let flow = Flow {
        customer_port_be: 61_000_u16.to_be_bytes(),
        ..w.flow()
    };
    let high_key = FlowKey {
        shown_port_be: flow.customer_port_be,
        ..key(w, 25)
    };
    high.put_flow(high_key, flow);
    let back = Packet {
        ports: [25, 61_000],
        ..w.at_customer(&leg_to_it)
    };
    let other_mx = Packet {
        from: w.mx[0],
        ..data.clone()
    };
    cases.extend([
        by_uplink(
            w,
            "an answer from port 25 beyond the uplink is translated back",
            established(w, 25),
            &data,
        )
        .leaves(
            INGRESS,
            w.at_customer(&data).octets(),
            &[Counter::ToCustomer],
        ),
        by_uplink(
            w,
            "an answer from port 25 beyond the uplink goes by its entry, whatever its port",
            high,
            &leg_to_it,
        )
        .leaves(INGRESS, back.octets(), &[Counter::ToCustomer]),
        by_uplink(
            w,
            "an MX's answer to a leg is steered beside a relay at port 25",
            lent.clone(),
            &leg,
        )
        .leaves(EGRESS, steered(&leg).octets(), &[Counter::ReturnSteered]),
        by_uplink(
            w,
            "the relay's own answer to a leg is steered",
            lent,
            &leg_to_it,
        )
        .leaves(
            EGRESS,
            steered(&leg_to_it).octets(),
            &[Counter::ReturnSteered],
        ),
        by_uplink(
            w,
            "an MX's answer to a customer passes beside a relay at port 25",
            established(w, 25),
            &other_mx,
        ),
        by_uplink(
            w,
            "an answer from port 25 beyond the uplink without an entry is dropped",
            w.with_relay_beyond(w.flagged(Action::Redirect), 25),
            &data,
        )
        .dropped(&[Counter::ReplyWithoutEntry]),
    ]);
}
