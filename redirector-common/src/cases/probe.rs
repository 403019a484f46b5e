//! Frames of the edge's own probes: each goes to one relay, whatever the pool's slots and rates say.

use std::vec::Vec;

use super::{
    Case, EGRESS, INGRESS,
    packet::Packet,
    world::{EDGE_RELAY_MAC, RELAY_MAC, World, policy, relay_path},
};
use crate::{
    abi::{Action, Bucket, L2Path, NO_RELAY, OnFailure, Policy, Pool, Relay, Role, Via},
    addr::Addr,
    counters::Counter,
    tables::memory::MemoryTables,
};

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    opening(w, cases);
    going_on(w, cases);
    without_a_way(w, cases);
}

/// The source is a probe of the relay, which no slot names.
fn probing(w: &World, via: Via, on_failure: OnFailure) -> MemoryTables {
    let mut tables = w.tables();
    let pool = Pool {
        on_failure: on_failure as u8,
        via: via as u8,
        present: 1,
        ..Pool::default()
    };
    tables.pools.insert(0, pool);
    tables.slots.insert(0, NO_RELAY);
    let probe = Policy {
        flags: Policy::DIRECT,
        limit_per_hour: World::RELAY,
        ..policy(Action::Redirect)
    };
    tables.hosts.insert(w.customer.into(), probe);
    tables
}

fn steered(before: &Packet) -> Packet {
    Packet {
        stations: [RELAY_MAC, EDGE_RELAY_MAC],
        hops: before.hops - 1,
        ..before.clone()
    }
}

fn opening(w: &World, cases: &mut Vec<Case>) {
    let syn = w.to_mx("S");
    let opened = &[Counter::FlowOpened, Counter::ToRelay];
    let rewritten = || probing(w, Via::Rewrite, OnFailure::Open);
    let mut spent = rewritten();
    spent.buckets.insert(
        Addr::from(w.customer).customer_key(),
        Bucket {
            // A moment ahead, so that no time has passed on a real clock either.
            updated_ns: spent.now_ns + 2_000_000_000,
            ..Bucket::default()
        },
    );
    let mut another = rewritten();
    another.slots.insert(0, 4);
    another.relays.insert(
        4,
        w.relay_record(L2Path {
            peer_mac: [2, 0, 0, 0, 0, 4],
            ..relay_path()
        }),
    );
    let case = |name: &str, tables| w.case(name, tables, syn.octets());
    let out = w.at_relay(&syn).octets();
    cases.extend([
        case("a probe reaches a relay out of rotation", rewritten())
            .leaves(EGRESS, out.clone(), opened)
            .entry(w.key(World::PORT), w.new_flow()),
        case("a probe reaches its relay and not the slot's", another)
            .leaves(EGRESS, out.clone(), opened)
            .entry(w.key(World::PORT), w.new_flow()),
        case("no rate bounds a probe", spent).leaves(EGRESS, out, opened),
        case(
            "a probe is steered",
            probing(w, Via::Steer, OnFailure::Closed),
        )
        .leaves(EGRESS, steered(&syn).octets(), opened)
        .entry(w.steered_key(w.mx[0]), w.new_flow()),
    ]);
}

fn going_on(w: &World, cases: &mut Vec<Case>) {
    let data = w.to_mx("A");
    let answer = w.from_relay("A");
    let mut rewritten = probing(w, Via::Rewrite, OnFailure::Closed);
    rewritten.put_flow(w.key(World::PORT), w.flow());
    let mut own_ends = probing(w, Via::Steer, OnFailure::Closed);
    own_ends.put_flow(w.steered_key(w.mx[0]), w.flow());
    cases.extend([
        w.case("a probe's data follows", rewritten.clone(), data.octets())
            .leaves(EGRESS, w.at_relay(&data).octets(), &[Counter::ToRelay]),
        w.case("a steered probe's data follows", own_ends, data.octets())
            .leaves(EGRESS, steered(&data).octets(), &[Counter::ToRelay]),
        w.case("a probe gets its answer", rewritten, answer.octets())
            .role(Some(Role::Relay))
            .leaves(
                INGRESS,
                w.at_customer(&answer).octets(),
                &[Counter::ToCustomer],
            ),
    ]);
}

fn without_a_way(w: &World, cases: &mut Vec<Case>) {
    let syn = w.to_mx("S");
    let unsent = &[Counter::ProbeUnsent];
    for (on_failure, word) in [
        (OnFailure::Open, "open"),
        (OnFailure::Closed, "closed"),
        (OnFailure::Refuse, "refuse"),
    ] {
        let mut gone = probing(w, Via::Rewrite, on_failure);
        gone.relays.insert(World::RELAY.into(), Relay::default());
        let mut unreachable = probing(w, Via::Steer, on_failure);
        unreachable
            .relays
            .insert(World::RELAY.into(), w.relay_record(L2Path::default()));
        let case = |name: &str, tables| {
            let name = [name, word].concat();
            w.case(&name, tables, syn.octets()).dropped(unsent)
        };
        cases.extend([
            case("a probe of no relay stays inside a pool that fails ", gone),
            case(
                "a probe without a way stays inside a pool that fails ",
                unreachable,
            ),
        ]);
    }
    let mut stale = probing(w, Via::Rewrite, OnFailure::Open);
    // A machine that runs these cases may have been up for only half a minute.
    stale.settings.heartbeat_limit_s = 10;
    stale.settings.heartbeat_s = w.now_s - 12;
    cases.push(
        w.case("a probe of a controller long gone", stale, syn.octets())
            .dropped(&[Counter::HeartbeatStale, Counter::ProbeUnsent]),
    );
}
