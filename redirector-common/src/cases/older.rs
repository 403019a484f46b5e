//! Segments of connections that are there already, and what fails.

use std::{net::IpAddr, vec::Vec};

use super::{
    Case, EGRESS,
    packet::Packet,
    world::{CUSTOMER_MAC, EDGE_MAC, World, policy, pool, relay_path},
};
use crate::{
    abi::{Action, Bucket, Flow, L2Path, NO_RELAY, NO_RELAY_SHORT, OnFailure, Policy},
    addr::Addr,
    counters::Counter,
    flow::{SEEN_ACK, SEEN_FIN, SEEN_RST, SEEN_SYN},
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    going_on(world, cases);
    failing(world, cases);
}

fn going_on(w: &World, cases: &mut Vec<Case>) {
    let data = w.to_mx("A");
    let out = w.at_relay(&data).octets();
    let to_relay = &[Counter::ToRelay];
    let marked = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let with = |tables: MemoryTables, action, grace_s: i32| {
        let grace_until_s = if grace_s == 0 {
            0
        } else {
            w.now_s.saturating_add_signed(grace_s)
        };
        let mut tables = tables;
        tables.hosts.insert(
            w.customer.into(),
            Policy {
                grace_until_s,
                ..policy(action)
            },
        );
        tables
    };
    let fin = Packet {
        flags: "FA",
        ..data.clone()
    };
    let rst = Packet {
        flags: "RA",
        ..data.clone()
    };
    let orphan = Packet {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        from: w.mx[0],
        to: w.customer,
        ports: [25, World::PORT],
        hops: 64,
        ident: 0,
        flags: "R",
        numbers: [0x0506_0708, 0],
        window: 0,
        payload: Vec::new(),
        ..data.clone()
    };
    let orphan = orphan.padded(if w.customer.is_ipv4() { 60 } else { 0 });
    let case = |name: &str, tables: MemoryTables| w.case(name, tables, data.octets());
    cases.extend([
        case("data follows its entry", w.diverted())
            .leaves(EGRESS, out.clone(), to_relay)
            .entry(w.key(World::PORT), marked),
        w.case("a FIN is remembered", w.diverted(), fin.octets())
            .leaves(EGRESS, w.at_relay(&fin).octets(), to_relay)
            .entry(
                w.key(World::PORT),
                Flow {
                    from_customer: SEEN_SYN | SEEN_ACK | SEEN_FIN,
                    ..marked
                },
            ),
        w.case("an RST is remembered", w.diverted(), rst.octets())
            .leaves(EGRESS, w.at_relay(&rst).octets(), to_relay)
            .entry(
                w.key(World::PORT),
                Flow {
                    from_customer: SEEN_SYN | SEEN_ACK | SEEN_RST,
                    ..marked
                },
            ),
        w.case(
            "data whose hops run out is the kernel's",
            w.diverted(),
            Packet {
                hops: 1,
                ..data.clone()
            }
            .octets(),
        )
        .counts(&[Counter::HopLimit]),
        case(
            "data under a lifted redirect keeps its relay",
            with(w.diverted(), Action::Linger, 0),
        )
        .leaves(EGRESS, out.clone(), to_relay),
        w.case(
            "a SYN under a lifted redirect is free",
            with(w.diverted(), Action::Linger, 0),
            w.to_mx("S").octets(),
        )
        .counts(&[Counter::Unflagged]),
        case(
            "other data under a lifted redirect is free",
            w.flagged(Action::Linger),
        )
        .counts(&[Counter::Unflagged]),
        case(
            "older data has grace",
            with(w.tables(), Action::Redirect, 60),
        )
        .counts(&[Counter::Grace]),
        case("grace ends", with(w.tables(), Action::Redirect, -1))
            .answered(orphan.clone(), &[Counter::Orphan]),
        case(
            "without grace older data is cut",
            w.flagged(Action::Redirect),
        )
        .answered(orphan, &[Counter::Orphan]),
        w.case(
            "an orphaned RST is not answered",
            w.flagged(Action::Redirect),
            w.to_mx("R").octets(),
        )
        .dropped(&[Counter::Orphan]),
        case("reset has grace", with(w.tables(), Action::Reset, 60)).counts(&[Counter::Grace]),
        case("drop has grace", with(w.tables(), Action::Drop, 60)).counts(&[Counter::Grace]),
        case(
            "within drop's grace data keeps its relay",
            with(w.diverted(), Action::Drop, 60),
        )
        .leaves(EGRESS, out.clone(), to_relay),
        case(
            "within observe's grace data keeps its relay",
            with(w.diverted(), Action::Observe, 60),
        )
        .leaves(EGRESS, out, to_relay),
        case(
            "after it data is observed",
            with(w.diverted(), Action::Observe, 0),
        )
        .counts(&[Counter::Observed]),
    ]);
}

fn failing(w: &World, cases: &mut Vec<Case>) {
    let open = |mut tables: MemoryTables| {
        tables.pools.insert(0, pool(OnFailure::Open));
        tables
    };
    let emptied = |mut tables: MemoryTables| {
        tables.slots.insert(0, NO_RELAY);
        tables
    };
    let stale = |mut tables: MemoryTables| {
        // A machine that runs these cases may have been up for only half a minute.
        tables.settings.heartbeat_limit_s = 10;
        tables.settings.heartbeat_s = w.now_s - 12;
        tables
    };
    let pathless = |mut tables: MemoryTables| {
        tables
            .relays
            .insert(World::RELAY.into(), w.relay_record(L2Path::default()));
        tables
    };
    let bucket = |relays, open_until_s| Bucket {
        relays,
        open_until_s,
        ..Bucket::default()
    };
    let remembered = |mut tables: MemoryTables, bucket| {
        tables
            .buckets
            .insert(Addr::from(w.customer).customer_key(), bucket);
        tables
    };
    let flagged = || w.flagged(Action::Redirect);
    let mut poolless = emptied(flagged());
    poolless.pools.clear();
    let mut deaf = flagged();
    deaf.relays.insert(
        World::RELAY.into(),
        World {
            relay: other_family(w),
            ..*w
        }
        .relay_record(relay_path()),
    );
    let mut confined = w.diverted();
    confined.devices.remove(&EGRESS);
    let mut moved = w.diverted();
    moved.slots.insert(0, 4);
    moved.relays.insert(4, w.relay_record(relay_path()));
    let closed = &[Counter::FailedClosed];
    let syn = |name: &str, tables: MemoryTables| w.case(name, tables, w.to_mx("S").octets());
    let data = |name: &str, tables: MemoryTables| w.case(name, tables, w.to_mx("A").octets());
    let out = || w.at_relay(&w.to_mx("A")).octets();
    cases.extend([
        syn("no relay, closed", emptied(flagged())).dropped(closed),
        syn("no relay, open", open(emptied(flagged()))).counts(&[Counter::FailedOpen]),
        syn("no relay and no pool is closed", poolless).dropped(closed),
        syn("a relay that does not listen on the family is none", deaf).dropped(closed),
        syn(
            "a relay that nobody knows the way to is none",
            pathless(flagged()),
        )
        .dropped(closed),
        syn("a stale heartbeat, closed", stale(flagged()))
            .dropped(&[Counter::HeartbeatStale, Counter::FailedClosed]),
        syn("a stale heartbeat, open", open(stale(flagged())))
            .counts(&[Counter::HeartbeatStale, Counter::FailedOpen]),
        data(
            "a stale heartbeat leaves connections alone",
            stale(w.diverted()),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay]),
        data(
            "what failed open may go on",
            remembered(flagged(), bucket([NO_RELAY_SHORT; 2], w.now_s + 60)),
        )
        .counts(&[Counter::Grace]),
        data(
            "data finds the relay of the latest connections",
            remembered(
                emptied(w.diverted()),
                bucket([World::RELAY, NO_RELAY_SHORT], 0),
            ),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay]),
        data(
            "data finds the relay before that",
            remembered(emptied(w.diverted()), bucket([4, World::RELAY], 0)),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay]),
        data(
            "data of a connection whose way is lost is dropped",
            pathless(w.diverted()),
        )
        .dropped(&[Counter::PathUnknown]),
        data(
            "a frame leaves by a listed interface or not at all",
            confined,
        )
        .dropped(&[Counter::InternalError]),
    ]);
}

fn other_family(w: &World) -> IpAddr {
    if w.customer.is_ipv4() {
        World::v6(w.now_s).relay
    } else {
        World::v4(w.now_s).relay
    }
}
