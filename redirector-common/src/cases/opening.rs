//! SYNs of a redirected customer.

use std::vec::Vec;

use super::{
    Case, EGRESS,
    packet::Packet,
    world::{FLOWS_MAX, World},
};
use crate::{
    abi::{Action, Bucket, Flow},
    addr::Addr,
    counters::Counter,
    flow::{CANDIDATES, Connection, SEEN_FIN, SEEN_RST, SEEN_SYN},
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    opening(world, cases);
    ports(world, cases);
}

fn opening(w: &World, cases: &mut Vec<Case>) {
    let opened = &[Counter::FlowOpened, Counter::ToRelay];
    let syn = w.to_mx("S");
    let long = w.behind_more(w.to_mx("S"));
    let half_open = {
        let mut tables = w.flagged(Action::Redirect);
        tables.put_flow(w.key(World::PORT), w.new_flow());
        tables
    };
    let ended = |from_customer, from_relay| {
        let mut tables = w.flagged(Action::Redirect);
        tables.put_flow(
            w.key(World::PORT),
            Flow {
                from_customer,
                from_relay,
                ..w.flow()
            },
        );
        tables
    };
    let mut limited = w.flagged(Action::Redirect);
    limited.buckets.insert(
        Addr::from(w.customer).customer_key(),
        Bucket {
            // A moment ahead, so that no time has passed on a real clock either.
            updated_ns: limited.now_ns + 2_000_000_000,
            millitokens: 999,
            ..Bucket::default()
        },
    );
    let mut limited_reopening = ended(SEEN_FIN, SEEN_FIN);
    limited_reopening.buckets.clone_from(&limited.buckets);
    let mut refilled = w.flagged(Action::Redirect);
    refilled.buckets.insert(
        Addr::from(w.customer).customer_key(),
        Bucket {
            updated_ns: refilled.now_ns - 1_000_000_000,
            ..Bucket::default()
        },
    );
    let mut raced = w.flagged(Action::Redirect);
    raced.next_insert_races = true;
    let reopened = &[Counter::FlowReopened, Counter::ToRelay];
    let out = || w.at_relay(&w.to_mx("S")).octets();
    let case = |name: &str, tables: MemoryTables| w.case(name, tables, w.to_mx("S").octets());
    cases.extend([
        case("a SYN is diverted", w.flagged(Action::Redirect))
            .leaves(EGRESS, out(), opened)
            .entry(w.key(World::PORT), w.new_flow()),
        w.case(
            "a SYN behind options is diverted",
            w.flagged(Action::Redirect),
            long.octets(),
        )
        .leaves(EGRESS, w.at_relay(&long).octets(), opened)
        .entry(w.key(World::PORT), w.new_flow()),
        case("a repeated SYN goes by its entry", half_open)
            .leaves(EGRESS, out(), &[Counter::ToRelay])
            .entry(w.key(World::PORT), w.new_flow()),
        case(
            "a SYN reopens a closed entry",
            ended(SEEN_SYN | SEEN_FIN, SEEN_SYN | SEEN_FIN),
        )
        .leaves(EGRESS, out(), reopened)
        .entry(w.key(World::PORT), w.new_flow()),
        case("a SYN reopens a reset entry", ended(SEEN_SYN, SEEN_RST))
            .leaves(EGRESS, out(), reopened)
            .entry(w.key(World::PORT), w.new_flow()),
        case(
            "a SYN within a live connection goes by its entry",
            w.diverted(),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay])
        .entry(
            w.key(World::PORT),
            Flow {
                last_seen_s: w.now_s,
                ..w.flow()
            },
        ),
        case("a SYN above the rate is dropped", limited).dropped(&[Counter::SynLimited]),
        case(
            "a SYN that would reopen is limited as well",
            limited_reopening,
        )
        .dropped(&[Counter::SynLimited]),
        case("tokens come back with time", refilled).leaves(EGRESS, out(), opened),
        case("the loser of a race comes again", raced)
            .dropped(&[Counter::FlowRaced])
            .host_only(),
        w.case(
            "a SYN whose hops run out is the kernel's",
            w.flagged(Action::Redirect),
            Packet { hops: 1, ..syn }.octets(),
        )
        .counts(&[Counter::HopLimit]),
    ]);
}

fn ports(w: &World, cases: &mut Vec<Case>) {
    let second = Packet {
        to: w.mx[1],
        ..w.to_mx("S")
    };
    let second_data = Packet {
        to: w.mx[1],
        ..w.to_mx("A")
    };
    let shown = |packet: &Packet| {
        let mut shown = w.at_relay(packet);
        shown.ports[0] = w.second_port;
        shown.octets()
    };
    let second_dst = Addr::from(w.mx[1]).mapped();
    let second_flow = Flow {
        original_dst: second_dst,
        ..w.flow()
    };
    let mut both = w.diverted();
    both.put_flow(w.key(w.second_port), second_flow);
    let mut closing = w.flagged(Action::Redirect);
    closing.put_flow(
        w.key(World::PORT),
        Flow {
            from_customer: SEEN_FIN,
            from_relay: SEEN_FIN,
            ..w.flow()
        },
    );
    let mut behind_free = w.flagged(Action::Redirect);
    behind_free.put_flow(w.key(w.second_port), second_flow);
    let mut exhausted = w.flagged(Action::Redirect);
    let customer = Addr::from(w.customer).mapped();
    let connection = Connection {
        customer: &customer,
        port_be: World::PORT.to_be_bytes(),
        original_dst: &second_dst,
    };
    for nth in 0..CANDIDATES {
        exhausted.put_flow(
            w.key(u16::from_be_bytes(connection.candidate(nth))),
            w.flow(),
        );
    }
    let mut full = w.flagged(Action::Redirect);
    for port in 0..FLOWS_MAX {
        full.put_flow(w.key(u16::try_from(port).expect("few")), w.flow());
    }
    let changed = &[Counter::FlowOpened, Counter::PortChanged, Counter::ToRelay];
    cases.extend([
        w.case(
            "a second connection from one port is shown another",
            w.diverted(),
            second.octets(),
        )
        .leaves(EGRESS, shown(&second), changed)
        .entry(
            w.key(w.second_port),
            Flow {
                original_dst: second_dst,
                ..w.new_flow()
            },
        ),
        w.case(
            "another destination does not reopen a closed entry",
            closing,
            second.octets(),
        )
        .leaves(EGRESS, shown(&second), changed),
        w.case(
            "the second connection's data finds its entry",
            both,
            second_data.octets(),
        )
        .leaves(EGRESS, shown(&second_data), &[Counter::ToRelay]),
        w.case(
            "a repeated SYN finds its entry behind a freed one",
            behind_free,
            second.octets(),
        )
        .leaves(EGRESS, shown(&second), &[Counter::ToRelay]),
        w.case("all candidates taken", exhausted, second.octets())
            .dropped(&[Counter::CandidatesExhausted, Counter::FailedClosed]),
        w.case("no room for an entry", full, w.to_mx("S").octets())
            .dropped(&[Counter::FlowTableFull, Counter::FailedClosed]),
    ]);
}
