//! A customer's address on the relay's own leg: the spoof gate outwards, return steering inwards.

use std::{vec, vec::Vec};

use super::{
    Case, EGRESS,
    packet::Packet,
    world::{EDGE_MAC, EDGE_RELAY_MAC, RELAY_MAC, World, policy, relay_path},
};
use crate::{
    abi::{Action, L2Path, NO_RELAY, Policy, Role, RoleKey},
    counters::Counter,
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    outwards(world, cases);
    beside_tcp(world, cases);
    inwards(world, cases);
}

/// The customer was lifted, and its connections linger.
fn lingering(w: &World) -> MemoryTables {
    let mut tables = w.lent();
    let lingering = Policy {
        flags: Policy::LENDS_ADDRESS,
        ..policy(Action::Linger)
    };
    tables.hosts.insert(w.customer.into(), lingering);
    tables
}

/// A segment of the relay's own leg to the first MX, from the customer's address.
fn leg(w: &World, port: u16) -> Packet {
    Packet {
        from: w.customer,
        to: w.mx[0],
        ports: [port, 25],
        ..w.from_relay("A")
    }
}

/// The relay stands among the customers.
fn inside(w: &World, mut tables: MemoryTables) -> MemoryTables {
    let bits = if w.relay.is_ipv4() { 24 } else { 48 };
    tables.customers.insert((w.relay.into(), bits));
    tables
}

fn outwards(w: &World, cases: &mut Vec<Case>) {
    let own = |tables: MemoryTables| {
        let mut tables = inside(w, tables);
        tables.listeners.insert(w.relay_address());
        tables
    };
    let own_leg = Packet {
        from: w.relay,
        ..leg(w, 50_000)
    };
    let to_port = |port| Packet {
        ports: [61_000, port],
        ..leg(w, 61_000)
    };
    let customer = Packet {
        to: w.customer,
        from: w.mx[0],
        ports: [80, 61_000],
        ..leg(w, 61_000)
    };
    let mut prefix = w.lent();
    let lent = prefix.hosts.remove(&w.customer.into());
    let (network, length) = w.network;
    prefix
        .prefixes
        .insert((network.into(), length), lent.expect("it is lent"));
    let mut unflagged = w.lent();
    unflagged.hosts.clear();
    let relay = |name: &str, tables: MemoryTables, packet: &Packet| {
        w.case(name, tables, packet.octets())
            .role(Some(Role::Relay))
    };
    let egress = &[Counter::CustomerEgress];
    let blocked = &[Counter::SpoofBlocked];
    cases.extend([
        relay(
            "a leg from a lent address is let out",
            w.lent(),
            &leg(w, 61_000),
        )
        .counts(egress),
        relay(
            "a leg from the last port is let out",
            w.lent(),
            &leg(w, 65_535),
        )
        .counts(egress),
        relay(
            "a leg is let out while connections linger",
            lingering(w),
            &leg(w, 61_000),
        )
        .counts(egress),
        relay("a leg of a lent prefix is let out", prefix, &leg(w, 61_000)).counts(egress),
        relay(
            "a leg from below the ports is blocked",
            w.lent(),
            &leg(w, 60_999),
        )
        .dropped(blocked),
        relay(
            "a lent address to another port is blocked",
            w.lent(),
            &to_port(80),
        )
        .dropped(blocked),
        relay(
            "a lent address to submission is blocked",
            w.lent(),
            &to_port(587),
        )
        .dropped(blocked),
        relay(
            "an address that is not lent is blocked",
            w.steered(),
            &leg(w, 61_000),
        )
        .dropped(blocked),
        relay(
            "an unflagged customer's address is blocked",
            unflagged,
            &leg(w, 61_000),
        )
        .dropped(blocked),
        relay(
            "a relay among the customers has its own address",
            own(w.lent()),
            &own_leg,
        ),
        relay(
            "a relay among the customers has no other",
            own(w.steered()),
            &leg(w, 61_000),
        )
        .dropped(blocked),
        relay(
            "an address among the customers that is no relay's is blocked",
            inside(w, w.lent()),
            &own_leg,
        )
        .dropped(blocked),
        relay(
            "what a relay lets through to a customer passes",
            w.lent(),
            &customer,
        ),
    ]);
}

/// The gate is for every packet, whatever is in it.
fn beside_tcp(w: &World, cases: &mut Vec<Case>) {
    let l3 = 14;
    let (protocol, first) = if w.customer.is_ipv4() {
        (9, 0)
    } else {
        (6, 44)
    };
    let mut udp = leg(w, 61_000).octets();
    udp[l3 + protocol] = 17;
    let mut own_udp = Packet {
        from: w.relay,
        ..leg(w, 61_000)
    }
    .octets();
    own_udp[l3 + protocol] = 17;
    let fragment = Packet {
        fragment: (true, 0),
        first,
        between: if w.customer.is_ipv4() {
            Vec::new()
        } else {
            vec![6, 0, 0, 1, 0, 0, 0, 9]
        },
        ..leg(w, 61_000)
    };
    let mut malformed = leg(w, 61_000).octets();
    malformed[l3] &= 0xf0;
    if !w.customer.is_ipv4() {
        malformed[l3] = 0x50;
    }
    let mut arp = leg(w, 61_000).octets();
    arp[12..14].copy_from_slice(&[8, 6]);
    let case = |name: &str, octets: Vec<u8>| w.case(name, w.lent(), octets).role(Some(Role::Relay));
    let blocked = &[Counter::SpoofBlocked];
    cases.extend([
        case("another protocol from a lent address is blocked", udp).dropped(blocked),
        case("another protocol from the relay's address passes", own_udp),
        case(
            "a fragment from a lent address is blocked",
            fragment.octets(),
        )
        .dropped(blocked),
        case(
            "a malformed packet from a lent address is blocked",
            malformed,
        )
        .dropped(blocked),
        case("ARP of a relay passes", arp),
    ]);
}

fn inwards(w: &World, cases: &mut Vec<Case>) {
    let reply = |port: u16| Packet {
        stations: [EDGE_MAC, UPSTREAM_MAC],
        from: w.mx[0],
        to: w.customer,
        ports: [25, port],
        payload: b"220 mx.example\r\n".to_vec(),
        ..w.to_mx("A")
    };
    let at_relay = |before: &Packet| Packet {
        stations: [RELAY_MAC, EDGE_RELAY_MAC],
        tags: Vec::new(),
        hops: before.hops - 1,
        ..before.clone()
    };
    let from_port = |port| Packet {
        ports: [port, 61_000],
        ..reply(61_000)
    };
    let tagged = Packet {
        tags: vec![[0x81, 0, 0, 30]],
        ..reply(61_000)
    };
    let group = Packet {
        stations: [[0xff; 6], UPSTREAM_MAC],
        ..reply(61_000)
    };
    let spent = Packet {
        hops: 1,
        ..reply(61_000)
    };
    let to_mx = Packet {
        to: w.mx[1],
        ..reply(61_000)
    };
    let mut udp = reply(61_000).octets();
    udp[if w.customer.is_ipv4() { 23 } else { 20 }] = 17;
    let mut empty = w.lent();
    empty.slots.insert(0, NO_RELAY);
    let mut pathless = w.lent();
    pathless
        .relays
        .insert(World::RELAY.into(), w.relay_record(L2Path::default()));
    let mut confined = w.lent();
    confined.devices.remove(&EGRESS);
    let tags = vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let mut towards = w.lent();
    towards.relays.insert(
        World::RELAY.into(),
        w.relay_record(L2Path {
            tags: [tags[0], tags[1]],
            ..relay_path()
        }),
    );
    let at_tagged = Packet {
        tags,
        ..at_relay(&reply(61_000))
    };
    let mut by_tags = w.lent();
    by_tags.roles.insert(
        RoleKey {
            ifindex: super::INGRESS,
            outer: 30,
            inner: 0,
        },
        Role::Uplink,
    );
    let steered = &[Counter::ReturnSteered];
    let uplink = |name: &str, tables: MemoryTables, packet: &Packet| {
        w.case(name, tables, packet.octets())
            .role(Some(Role::Uplink))
    };
    let out = |packet: &Packet| at_relay(packet).octets();
    cases.extend([
        uplink(
            "an answer to a leg goes to the relay",
            w.lent(),
            &reply(61_000),
        )
        .leaves(EGRESS, out(&reply(61_000)), steered),
        uplink(
            "an answer to the last port goes to the relay",
            w.lent(),
            &reply(65_535),
        )
        .leaves(EGRESS, out(&reply(65_535)), steered),
        uplink(
            "an answer goes to the relay while connections linger",
            lingering(w),
            &reply(61_000),
        )
        .leaves(EGRESS, out(&reply(61_000)), steered),
        uplink(
            "an answer to a leg takes the relay's tags",
            towards,
            &reply(61_000),
        )
        .leaves(EGRESS, at_tagged.octets(), steered),
        w.case(
            "an uplink behind tags steers answers",
            by_tags,
            tagged.octets(),
        )
        .role(None)
        .leaves(EGRESS, out(&tagged), steered),
        uplink(
            "an answer below the ports is the customer's",
            w.lent(),
            &reply(60_999),
        ),
        uplink(
            "an answer from another port is the customer's",
            w.lent(),
            &from_port(80),
        ),
        uplink(
            "an answer to a customer that lends nothing is its own",
            w.steered(),
            &reply(61_000),
        ),
        uplink(
            "an answer to an unflagged customer is its own",
            w.tables(),
            &reply(61_000),
        ),
        uplink(
            "an uplink's answer to nobody's customer passes",
            w.lent(),
            &to_mx,
        ),
        uplink("a group frame of the uplink passes", w.lent(), &group),
        w.case("another protocol of the uplink passes", w.lent(), udp)
            .role(Some(Role::Uplink)),
        uplink(
            "an answer to a leg without a relay is dropped",
            empty,
            &reply(61_000),
        )
        .dropped(&[Counter::PathUnknown]),
        uplink(
            "an answer to a leg without a way is dropped",
            pathless,
            &reply(61_000),
        )
        .dropped(&[Counter::PathUnknown]),
        uplink(
            "an answer to a leg leaves by a listed interface or not at all",
            confined,
            &reply(61_000),
        )
        .dropped(&[Counter::InternalError]),
        uplink(
            "an answer whose hops run out on the uplink",
            w.lent(),
            &spent,
        )
        .counts(&[Counter::HopLimit]),
    ]);
}

const UPSTREAM_MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
