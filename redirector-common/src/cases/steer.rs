//! Connections to a pool that is steered to: addresses and ports stay, the stations change.

mod answers;

use std::{vec, vec::Vec};

use super::{
    Case, EGRESS,
    packet::Packet,
    world::{
        CUSTOMER_MAC, EDGE_MAC, EDGE_RELAY_MAC, RELAY_MAC, World, policy, pool, relay_path,
        steering,
    },
};
use crate::{
    abi::{Action, Bucket, Flow, L2Path, NO_RELAY, OnFailure, Relay},
    addr::Addr,
    counters::Counter,
    flow::{SEEN_ACK, SEEN_FIN, SEEN_SYN},
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    opening(world, cases);
    going_on(world, cases);
    links(world, cases);
    answers::cases(world, cases);
}

/// A customer's frame as the relay must get it.
fn at_relay(before: &Packet) -> Packet {
    Packet {
        stations: [RELAY_MAC, EDGE_RELAY_MAC],
        tags: Vec::new(),
        hops: before.hops - 1,
        ..before.clone()
    }
}

/// The customer's connection to the first MX is established.
fn established(w: &World) -> MemoryTables {
    with_entry(w, w.flow())
}

fn with_entry(w: &World, flow: Flow) -> MemoryTables {
    let mut tables = w.steered();
    tables.put_flow(w.steered_key(w.mx[0]), flow);
    tables
}

/// A second relay has the customer's slot now.
fn moved(w: &World, mut tables: MemoryTables) -> MemoryTables {
    tables.slots.insert(0, 4);
    tables.relays.insert(4, w.relay_record(second_path()));
    tables
}

fn second_path() -> L2Path {
    L2Path {
        peer_mac: SECOND_MAC,
        ..relay_path()
    }
}

fn opening(w: &World, cases: &mut Vec<Case>) {
    let syn = w.to_mx("S");
    let second = Packet {
        to: w.mx[1],
        ..syn.clone()
    };
    let key = w.steered_key(w.mx[0]);
    let opened = &[Counter::FlowOpened, Counter::ToRelay];
    let reopened = &[Counter::FlowReopened, Counter::ToRelay];
    let at_second = Packet {
        stations: [SECOND_MAC, EDGE_RELAY_MAC],
        ..at_relay(&syn)
    };
    let unanswered = with_entry(w, w.new_flow());
    let answered = with_entry(
        w,
        Flow {
            from_relay: SEEN_SYN,
            ..w.new_flow()
        },
    );
    let ended = Flow {
        from_customer: SEEN_SYN | SEEN_FIN,
        from_relay: SEEN_SYN | SEEN_FIN,
        ..w.flow()
    };
    let to_second = Flow {
        relay: 4,
        ..w.new_flow()
    };
    let taken = with_entry(
        w,
        Flow {
            customer_port_be: [0, 1],
            ..w.flow()
        },
    );
    let mut limited = w.steered();
    limited.buckets.insert(
        Addr::from(w.customer).customer_key(),
        Bucket {
            // A moment ahead, so that no time has passed on a real clock either.
            updated_ns: limited.now_ns + 2_000_000_000,
            ..Bucket::default()
        },
    );
    let mut open = w.steered();
    open.pools.insert(0, steering(OnFailure::Open));
    open.slots.insert(0, NO_RELAY);
    let mut empty = w.steered();
    empty.slots.insert(0, NO_RELAY);
    let long = w.behind_more(w.to_mx("S"));
    let spent = Packet {
        hops: 1,
        ..syn.clone()
    };
    let case = |name: &str, tables: MemoryTables| w.case(name, tables, syn.octets());
    let out = at_relay(&syn).octets();
    cases.extend([
        case("a SYN is steered", w.steered())
            .leaves(EGRESS, out.clone(), opened)
            .entry(key, w.new_flow()),
        w.case(
            "a SYN behind options is steered",
            w.steered(),
            long.octets(),
        )
        .leaves(EGRESS, at_relay(&long).octets(), opened)
        .entry(key, w.new_flow()),
        w.case(
            "a second connection from one port keeps it when steered",
            established(w),
            second.octets(),
        )
        .leaves(EGRESS, at_relay(&second).octets(), opened)
        .entry(
            w.steered_key(w.mx[1]),
            Flow {
                original_dst: Addr::from(w.mx[1]).mapped(),
                ..w.new_flow()
            },
        ),
        case("a repeated SYN is steered by its entry", unanswered.clone())
            .leaves(EGRESS, out.clone(), &[Counter::ToRelay])
            .entry(key, w.new_flow()),
        case("a SYN reopens a steered entry", with_entry(w, ended))
            .leaves(EGRESS, out.clone(), reopened)
            .entry(key, w.new_flow()),
        case(
            "a SYN that reopens goes to the relay of now",
            moved(w, with_entry(w, ended)),
        )
        .leaves(EGRESS, at_second.octets(), reopened)
        .entry(key, to_second),
        case(
            "a SYN that its relay never answered goes to another",
            moved(w, unanswered),
        )
        .leaves(EGRESS, at_second.octets(), reopened)
        .entry(key, to_second),
        case(
            "a SYN that its relay has answered stays with it",
            moved(w, answered),
        )
        .leaves(EGRESS, out, &[Counter::ToRelay]),
        case("a steered SYN above the rate is dropped", limited).dropped(&[Counter::SynLimited]),
        case("a steered SYN whose place is taken", taken)
            .dropped(&[Counter::CandidatesExhausted, Counter::FailedClosed]),
        case("no relay to steer to, closed", empty).dropped(&[Counter::FailedClosed]),
        case("no relay to steer to, open", open).counts(&[Counter::FailedOpen]),
        w.case(
            "a steered SYN whose hops run out is the kernel's",
            w.steered(),
            spent.octets(),
        )
        .counts(&[Counter::HopLimit]),
    ]);
}

fn going_on(w: &World, cases: &mut Vec<Case>) {
    let data = w.to_mx("A");
    let key = w.steered_key(w.mx[0]);
    let out = at_relay(&data).octets();
    let to_relay = &[Counter::ToRelay];
    let marked = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let fin = Packet {
        flags: "FA",
        ..data.clone()
    };
    // Nobody mends what was wrong before.
    let mut unsound = data.octets();
    let mut unsound_out = out.clone();
    for octets in [&mut unsound, &mut unsound_out] {
        let last = octets.len() - 1;
        octets[last] ^= 0xff;
    }
    let lingering = {
        let mut tables = established(w);
        tables
            .hosts
            .insert(w.customer.into(), policy(Action::Linger));
        tables
    };
    let other_pool = {
        let mut tables = established(w);
        tables.pools.insert(0, pool(OnFailure::Closed));
        tables
    };
    let rewritten_before = {
        let mut tables = w.diverted();
        tables.pools.insert(0, steering(OnFailure::Closed));
        tables
    };
    let gone = {
        let mut tables = established(w);
        tables.relays.insert(World::RELAY.into(), Relay::default());
        tables
    };
    let empty = {
        let mut tables = established(w);
        tables.slots.insert(0, NO_RELAY);
        tables
    };
    let orphan = Packet {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        from: w.mx[0],
        to: w.customer,
        ports: [25, World::PORT],
        ident: 0,
        flags: "R",
        numbers: [0x0506_0708, 0],
        window: 0,
        payload: Vec::new(),
        ..data.clone()
    };
    let case = |name: &str, tables: MemoryTables| w.case(name, tables, data.octets());
    cases.extend([
        case("data is steered by its entry", established(w))
            .leaves(EGRESS, out.clone(), to_relay)
            .entry(key, marked),
        w.case("a steered FIN is remembered", established(w), fin.octets())
            .leaves(EGRESS, at_relay(&fin).octets(), to_relay)
            .entry(
                key,
                Flow {
                    from_customer: SEEN_SYN | SEEN_ACK | SEEN_FIN,
                    ..marked
                },
            ),
        w.case(
            "a wrong checksum is steered as it is",
            established(w),
            unsound,
        )
        .leaves(EGRESS, unsound_out, to_relay),
        case(
            "steered data stays with its relay",
            moved(w, established(w)),
        )
        .leaves(EGRESS, out.clone(), to_relay),
        case("steered data stays with a relay out of rotation", empty).leaves(
            EGRESS,
            out.clone(),
            to_relay,
        ),
        case(
            "steered data under a lifted redirect keeps its relay",
            lingering.clone(),
        )
        .leaves(EGRESS, out.clone(), to_relay),
        w.case(
            "a SYN under a lifted steered redirect is free",
            lingering,
            w.to_mx("S").octets(),
        )
        .counts(&[Counter::Unflagged]),
        case("steered data of a pool that is rewritten now", other_pool)
            .leaves(EGRESS, out, to_relay),
        case(
            "rewritten data of a pool that is steered to now",
            rewritten_before,
        )
        .leaves(EGRESS, w.at_relay(&data).octets(), to_relay),
        case("steered data without an entry is cut", w.steered()).answered(
            orphan.padded(if w.customer.is_ipv4() { 60 } else { 0 }),
            &[Counter::Orphan],
        ),
        case("steered data whose relay is gone is dropped", gone).dropped(&[Counter::PathUnknown]),
    ]);
}

fn links(w: &World, cases: &mut Vec<Case>) {
    let tags = vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];
    let both = [tags[0], tags[1]];
    let mut towards = w.steered();
    towards.relays.insert(
        World::RELAY.into(),
        w.relay_record(L2Path {
            tags: both,
            ..relay_path()
        }),
    );
    let syn = w.to_mx("S");
    let tagged = Packet {
        tags: tags.clone(),
        ..w.to_mx("S")
    };
    let at_tagged = Packet {
        tags,
        ..at_relay(&syn)
    };
    let opened = &[Counter::FlowOpened, Counter::ToRelay];
    let mut flow = w.new_flow();
    flow.customer_path.tags = both;
    cases.extend([
        w.case(
            "a steered frame takes the relay's tags",
            towards,
            syn.octets(),
        )
        .leaves(EGRESS, at_tagged.octets(), opened),
        w.case(
            "a steered frame leaves the customer's tags",
            w.steered(),
            tagged.octets(),
        )
        .leaves(EGRESS, at_relay(&tagged).octets(), opened)
        .entry(w.steered_key(w.mx[0]), flow),
    ]);
}

const SECOND_MAC: [u8; 6] = [2, 0, 0, 0, 0, 4];
