//! What the radar counts, on the way out and on the way back.

use std::{collections::BTreeMap, vec::Vec};

use super::{
    Case, INGRESS,
    packet::Packet,
    world::{EDGE_MAC, World},
};
use crate::{
    abi::{Action, Role, Sighting},
    addr::Addr,
    counters::Counter,
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    out(world, cases);
    back(world, cases);
    ends(world, cases);
}

fn out(w: &World, cases: &mut Vec<Case>) {
    let syn = w.to_mx("S").octets();
    let data = w.to_mx("A").octets();
    let first = seen(|record| {
        record.syns = 1;
        record.packets_out = 1;
        record.octets_out = length(&syn);
    });
    let first_alone = Sighting {
        destinations: registers(&[place(w)]),
        ..first
    };
    let mut strangers = on(w, WINDOW);
    strangers.customers.clear();
    let mut dropped = w.flagged(Action::Drop);
    dropped.settings.radar_window = WINDOW;
    let unflagged = [Counter::Unflagged];
    cases.extend([
        w.case(
            "the first SYN of a window makes a record",
            on(w, WINDOW),
            syn.clone(),
        )
        .counts(&unflagged)
        .sees(w, WINDOW, first_alone),
        w.case(
            "an odd window has the other table",
            on(w, WINDOW + 1),
            syn.clone(),
        )
        .counts(&unflagged)
        .sees(w, WINDOW + 1, first_alone),
        w.case(
            "another SYN to a known network is counted",
            known(w),
            syn.clone(),
        )
        .counts(&unflagged)
        .sees(
            w,
            WINDOW,
            before(|record| {
                record.syns += 1;
                record.packets_out += 1;
                record.octets_out += length(&syn);
                record.destinations = registers(&[OTHER, place(w)]);
            }),
        ),
        w.case(
            "data is counted, and is no new destination",
            known(w),
            data.clone(),
        )
        .counts(&unflagged)
        .sees(
            w,
            WINDOW,
            before(|record| {
                record.packets_out += 1;
                record.octets_out += length(&data);
            }),
        ),
        w.case("what is dropped is seen", dropped, syn.clone())
            .dropped(&[Counter::Dropped])
            .sees(w, WINDOW, first_alone),
        w.case(
            "a source that is no customer is not seen",
            strangers,
            syn.clone(),
        )
        .counts(&unflagged)
        .sees_nothing(),
        w.case("a radar that is off sees nothing", on(w, 0), syn)
            .counts(&unflagged)
            .sees_nothing(),
    ]);
    if w.customer.is_ipv6() {
        let neighbour = Packet {
            from: "2001:db8:a:a:ffff::1".parse().expect("an address"),
            ..w.to_mx("A")
        };
        let octets = length(&neighbour.octets());
        let case = w.case("a /64 has one record", known(w), neighbour.octets());
        let record = before(|record| {
            record.packets_out += 1;
            record.octets_out += octets;
        });
        cases.push(case.counts(&unflagged).sees(w, WINDOW, record));
    }
}

fn back(w: &World, cases: &mut Vec<Case>) {
    let data = answer(w, "A", 5000);
    let web = Packet {
        ports: [443, World::PORT],
        ..data.clone()
    };
    let octets = length(&data.octets());
    let counted = before(|record| {
        record.packets_in += 1;
        record.octets_in += octets;
    });
    let mut diverted = w.diverted();
    diverted.settings.radar_window = WINDOW;
    diverted.put_sighting(WINDOW, key(w), before(|_| ()));
    let from_relay = w.from_relay("A");
    let relayed = before(|record| {
        record.packets_in += 1;
        record.octets_in += length(&from_relay.octets());
    });
    cases.extend([
        uplink(w, "an answer is counted", known(w), &data).sees(w, WINDOW, counted),
        uplink(w, "an answer makes no record", on(w, WINDOW), &data).sees_nothing(),
        uplink(w, "another port's answer is not seen", known(w), &web).sees(
            w,
            WINDOW,
            before(|_| ()),
        ),
        w.case("a relay's answer is counted", diverted, from_relay.octets())
            .role(Some(Role::Relay))
            .leaves(
                INGRESS,
                w.at_customer(&from_relay).octets(),
                &[Counter::ToCustomer],
            )
            .sees(w, WINDOW, relayed),
    ]);
}

fn ends(w: &World, cases: &mut Vec<Case>) {
    // One row each: name, flags, sequence number, whether the opening was seen, then what is counted:
    // ended, reset, short.
    let rows = [
        ("a SYN-ACK ends nothing", "SA", FIRST - 1, false, [0, 0, 0]),
        ("a refused SYN is a short reset", "RA", 0, false, [1, 1, 1]),
        ("a stray reset ends nothing", "RA", 7, false, [0, 0, 0]),
        ("a stray end ends nothing", "FA", 7, false, [0, 0, 0]),
        (
            "a FIN after a refusal is short",
            "FA",
            FIRST + 256,
            true,
            [1, 0, 1],
        ),
        (
            "a FIN after a dialogue is not",
            "FA",
            FIRST + 257,
            true,
            [1, 0, 0],
        ),
        (
            "a reset after a refusal is short",
            "R",
            FIRST + 40,
            true,
            [1, 1, 1],
        ),
        (
            "a reset after a dialogue is not",
            "RA",
            FIRST + 900,
            true,
            [1, 1, 0],
        ),
    ];
    for (name, flags, number, opened, [ended, reset, short]) in rows {
        let packet = answer(w, flags, number);
        let mut tables = known(w);
        if opened {
            tables.openings.insert(connection(w), FIRST.cast_unsigned());
        }
        let record = before(|record| {
            record.packets_in += 1;
            record.octets_in += length(&packet.octets());
            record.ended += ended;
            record.reset += reset;
            record.short += short;
        });
        cases.push(uplink(w, name, tables, &packet).sees(w, WINDOW, record));
    }
    // Sequence numbers begin anywhere and wrap (RFC 9293 section 3.4).
    let packet = answer(w, "FA", 100);
    let mut tables = known(w);
    tables.openings.insert(connection(w), u32::MAX - 99);
    let record = before(|record| {
        record.packets_in += 1;
        record.octets_in += length(&packet.octets());
        record.ended += 1;
        record.short += 1;
    });
    cases.push(
        uplink(w, "a short end across the wrap is short", tables, &packet).sees(w, WINDOW, record),
    );
}

impl Case {
    fn sees(mut self, w: &World, window: u32, record: Sighting) -> Self {
        self.sightings = Some((window, BTreeMap::from([(key(w), record)])));
        self
    }

    fn sees_nothing(mut self) -> Self {
        self.sightings = Some((WINDOW, BTreeMap::new()));
        self
    }
}

/// A frame that comes in by the uplink, and passes.
fn uplink(w: &World, name: &str, tables: MemoryTables, packet: &Packet) -> Case {
    w.case(name, tables, packet.octets())
        .role(Some(Role::Uplink))
}

/// A segment of the first MX to the customer.
fn answer(w: &World, flags: &'static str, number: i32) -> Packet {
    Packet {
        stations: [EDGE_MAC, [2, 0, 0, 0, 0, 0x0b]],
        from: w.mx[0],
        to: w.customer,
        ports: [25, World::PORT],
        numbers: [number, 9],
        payload: Vec::new(),
        ..w.to_mx(flags)
    }
}

/// Maps with the radar in a window, and nothing seen.
fn on(w: &World, window: u32) -> MemoryTables {
    let mut tables = w.tables();
    tables.settings.radar_window = window;
    tables
}

/// The same with the customer seen before.
fn known(w: &World) -> MemoryTables {
    let mut tables = on(w, WINDOW);
    tables.put_sighting(WINDOW, key(w), before(|_| ()));
    tables
}

/// What had been seen of the customer, and a change to it.
fn before(change: impl FnOnce(&mut Sighting)) -> Sighting {
    let mut record = Sighting {
        syns: 3,
        packets_out: 30,
        octets_out: 3000,
        packets_in: 20,
        octets_in: 2000,
        ended: 2,
        reset: 1,
        short: 1,
        destinations: registers(&[OTHER]),
    };
    change(&mut record);
    record
}

fn seen(change: impl FnOnce(&mut Sighting)) -> Sighting {
    let mut record = Sighting::NOTHING;
    change(&mut record);
    record
}

fn registers(places: &[(usize, u8)]) -> [[u8; 32]; 4] {
    let mut registers = [[0; 32]; 4];
    for (register, rank) in places {
        registers[register / 32][register % 32] = *rank;
    }
    registers
}

/// Register and rank of the first MX's network. Literal, because windows of an old program and of a
/// new one are united.
fn place(w: &World) -> (usize, u8) {
    if w.customer.is_ipv4() {
        (80, 1)
    } else {
        (95, 2)
    }
}

/// Hash of the customer's connection, literal for the same reason.
fn connection(w: &World) -> u64 {
    if w.customer.is_ipv4() {
        0x5f1c_aa5e_9179_3db1
    } else {
        0xfaa6_3e70_ec46_b232
    }
}

/// The customer's key: an IPv6 one is a /64.
fn key(w: &World) -> [u8; 16] {
    let mut octets = Addr::from(w.customer).mapped();
    if w.customer.is_ipv6() {
        octets[8..].fill(0);
    }
    octets
}

fn length(frame: &[u8]) -> u64 {
    u64::try_from(frame.len()).expect("a case fits a frame")
}

const WINDOW: u32 = 6;
/// The far side's first octet.
const FIRST: i32 = 1000;
/// Another network's register and rank.
const OTHER: (usize, u8) = (5, 2);
