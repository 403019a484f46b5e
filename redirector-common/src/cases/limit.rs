//! Frames of a customer whose new connections are limited.

use std::vec::Vec;

use super::{
    Case, EGRESS,
    world::{World, policy},
};
use crate::{
    abi::{Action, Bucket, Policy},
    addr::Addr,
    counters::Counter,
    tables::memory::MemoryTables,
};

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let limit = |tables: MemoryTables, per_hour, burst| {
        let mut tables = tables;
        tables.hosts.insert(
            w.customer.into(),
            Policy {
                limit_per_hour: per_hour,
                limit_burst: burst,
                grace_until_s: w.now_s + 60,
                ..policy(Action::Limit)
            },
        );
        tables
    };
    // As an earlier redirect left it: with relays that it must not forget.
    let with_bucket = |millitokens, ago_s: i64, per_hour| {
        let mut tables = limit(w.tables(), per_hour, 10);
        tables.buckets.insert(
            Addr::from(w.customer).customer_key(),
            Bucket {
                updated_ns: tables.now_ns.saturating_add_signed(-ago_s * 1_000_000_000),
                millitokens,
                relays: [World::RELAY, 5],
                ..Bucket::default()
            },
        );
        tables
    };
    let syn = w.to_mx("S");
    let data = w.to_mx("A");
    let case = |name: &str, tables| w.case(name, tables, w.to_mx("S").octets());
    cases.extend([
        case("limit lets the burst through", limit(w.tables(), 1, 1))
            .counts(&[Counter::LimitPassed]),
        case("limit without a burst drops", limit(w.tables(), 1, 0)).dropped(&[Counter::Limited]),
        // A moment ahead, so that no time has passed on a real clock either.
        case("limit drops above the rate", with_bucket(999, -2, 60)).dropped(&[Counter::Limited]),
        case("limit gives tokens back with time", with_bucket(0, 2, 3600))
            .counts(&[Counter::LimitPassed]),
        case("limit does so at its own rate", with_bucket(0, 20, 60)).dropped(&[Counter::Limited]),
        w.case(
            "limit leaves segments of older connections alone",
            with_bucket(0, -2, 1),
            data.octets(),
        )
        .counts(&[Counter::LimitPassed]),
        w.case(
            "within limit's grace data keeps its relay",
            limit(w.diverted(), 1, 0),
            data.octets(),
        )
        .leaves(EGRESS, w.at_relay(&data).octets(), &[Counter::ToRelay]),
        w.case(
            "limit counts a SYN behind options",
            limit(w.tables(), 1, 0),
            w.behind_more(syn).octets(),
        )
        .dropped(&[Counter::Limited]),
    ]);
}
