//! Frames of flagged customers to destinations that nobody is redirected away from.

use std::{net::IpAddr, vec::Vec};

use super::{
    Case, EGRESS,
    packet::Packet,
    world::{World, policy},
};
use crate::{
    abi::{Action, Flow, OnFailure, Policy},
    counters::Counter,
    tables::memory::MemoryTables,
};

/// The same maps, with a prefix that nobody is redirected away from.
fn sparing(mut tables: MemoryTables, prefix: IpAddr, length: u8) -> MemoryTables {
    tables.bypasses.insert((prefix.into(), length));
    tables
}

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let (mx, host) = (w.mx[0], if w.mx[0].is_ipv4() { 32 } else { 128 });
    let spared = |tables| sparing(tables, mx, host);
    let redirected = || spared(w.flagged(Action::Redirect));
    redirects(w, &redirected, cases);
    others(w, &spared, cases);
    let wide = sparing(w.flagged(Action::Redirect), mx, 0);
    let other = Packet {
        to: w.mx[1],
        ..w.to_mx("S")
    };
    cases.extend([
        w.case("a SYN into a spared prefix passes", wide, other.octets())
            .counts(&[Counter::Bypassed]),
        w.case(
            "a SYN beside a spared address is diverted",
            redirected(),
            other.octets(),
        )
        .leaves(
            EGRESS,
            w.at_relay(&other).octets(),
            &[Counter::FlowOpened, Counter::ToRelay],
        ),
    ]);
}

fn redirects(w: &World, redirected: &impl Fn() -> MemoryTables, cases: &mut Vec<Case>) {
    let bypassed = &[Counter::Bypassed];
    let case = |name: &str, tables, flags| w.case(name, tables, w.to_mx(flags).octets());
    let mut standing = redirected();
    standing.put_flow(w.key(World::PORT), w.flow());
    let seen = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let mut stale = redirected();
    // A machine that runs these cases may have been up for only half a minute.
    stale.settings.heartbeat_limit_s = 10;
    stale.settings.heartbeat_s = w.now_s - 12;
    let mut steered = redirected();
    steered.pools = w.steered().pools;
    let mut refusing = redirected();
    refusing.slots.clear();
    if let Some(pool) = refusing.pools.get_mut(&0) {
        pool.on_failure = OnFailure::Refuse as u8;
    }
    let probe = Policy {
        flags: Policy::DIRECT,
        limit_per_hour: World::RELAY,
        ..policy(Action::Redirect)
    };
    let mut probing = redirected();
    probing.hosts.insert(w.customer.into(), probe);
    cases.extend([
        case("a SYN to a spared address passes", redirected(), "S").counts(bypassed),
        case("a spared connection goes on", redirected(), "A").counts(bypassed),
        case("a spared connection ends", redirected(), "FA").counts(bypassed),
        case("a spared connection is reset", redirected(), "RA").counts(bypassed),
        case("a spared SYN needs no controller", stale, "S").counts(bypassed),
        case("a spared SYN passes a pool that steers", steered, "S").counts(bypassed),
        case("a spared SYN needs no relay", refusing.clone(), "S").counts(bypassed),
        case("a spared segment is not answered with 421", refusing, "A").counts(bypassed),
        case(
            "what was diverted before it was spared keeps its relay",
            standing,
            "A",
        )
        .leaves(
            EGRESS,
            w.at_relay(&w.to_mx("A")).octets(),
            &[Counter::ToRelay],
        )
        .entry(w.key(World::PORT), seen),
        case(
            "a probe goes to its relay wherever it seems to go",
            probing,
            "S",
        )
        .leaves(
            EGRESS,
            w.at_relay(&w.to_mx("S")).octets(),
            &[Counter::FlowOpened, Counter::ToRelay],
        ),
    ]);
    if w.customer.is_ipv4() {
        let fragment = Packet {
            fragment: (false, 64),
            ..w.to_mx("A")
        };
        let later = w.case(
            "a later fragment to a spared address passes",
            redirected(),
            fragment.octets(),
        );
        let first = Packet {
            fragment: (true, 0),
            ..w.to_mx("A")
        };
        let first = w.case(
            "a first fragment to a spared address passes",
            redirected(),
            first.octets(),
        );
        cases.extend([later, first.counts(&[Counter::FragmentPassed])]);
    }
}

/// Whoever is refused, limited or exempt is so wherever the mail goes.
fn others(w: &World, spared: &impl Fn(MemoryTables) -> MemoryTables, cases: &mut Vec<Case>) {
    let case = |name: &str, action| {
        let tables = spared(w.flagged(action));
        w.case(name, tables, w.to_mx("S").octets())
    };
    cases.extend([
        case("drop spares no destination", Action::Drop).dropped(&[Counter::Dropped]),
        case("limit spares no destination", Action::Limit).dropped(&[Counter::Limited]),
        case("pass passes as before", Action::Pass).counts(&[Counter::Passed]),
        case("observe counts as before", Action::Observe).counts(&[Counter::Observed]),
        w.case(
            "nobody is asked who is not flagged",
            spared(w.tables()),
            w.to_mx("S").octets(),
        )
        .counts(&[Counter::Unflagged]),
    ]);
}
