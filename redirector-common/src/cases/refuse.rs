//! Connections that the edge answers itself.

mod exchange;

use std::{vec, vec::Vec};

use self::exchange::{ALL_SENT, ack, blank_line, line, padded, reply, syn_ack, with_texts};
use super::{
    Case, EGRESS,
    packet::Packet,
    world::{World, policy, pool},
};
use crate::{
    abi::{Action, NO_ADDRESS, NO_RELAY, OnFailure, Policy},
    counters::Counter,
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    handshake(world, cases);
    closing(world, cases);
    strangers(world, cases);
    failure(world, cases);
}

fn handshake(w: &World, cases: &mut Vec<Case>) {
    let refusing = || w.refusing();
    let syn = w.to_mx("S");
    let early = Packet {
        flags: "SF",
        ..w.to_mx("S")
    };
    let tagged = Packet {
        tags: vec![[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]],
        ..w.to_mx("S")
    };
    let answers = [Counter::RefuseHandshake];
    for (name, syn) in [
        ("refuse answers a SYN with a cookie", syn),
        ("refuse keeps the tags of a SYN", tagged.clone()),
        (
            "refuse leaves options and extension headers of a SYN out",
            w.behind_more(w.to_mx("S")),
        ),
        ("refuse answers a SYN that ends at once", early),
    ] {
        cases.push(
            w.case(name, refusing(), syn.octets())
                .answered(padded(&syn_ack(w, &syn)), &answers),
        );
    }
    let mut untold = refusing();
    untold.refusals.clear();
    for (name, before, text) in [
        ("refuse tells who acknowledges the cookie", ack(w, 0, 1), 0),
        (
            "refuse takes the cookie of the epoch before",
            ack(w, 1, 1),
            0,
        ),
        (
            "refuse acknowledges what came before the greeting",
            Packet {
                payload: b"QUIT\r\n".to_vec(),
                ..ack(w, 0, 1)
            },
            6,
        ),
        (
            "refuse acknowledges a FIN before the greeting",
            Packet {
                flags: "FA",
                ..ack(w, 0, 1)
            },
            1,
        ),
        (
            "refuse tells in the same tags",
            Packet {
                tags: tagged.tags,
                ..ack(w, 0, 1)
            },
            0,
        ),
        (
            "refuse tells without options and extension headers",
            w.behind_more(ack(w, 0, 1)),
            0,
        ),
    ] {
        let out = Packet {
            flags: "PFA",
            payload: line(w, "554 5.7.1"),
            ..reply(&before, text)
        };
        cases.push(
            w.case(name, refusing(), before.octets())
                .answered(padded(&out), &[Counter::Refused]),
        );
    }
    let plain = {
        let mut tables = refusing();
        for refusal in tables.refusals.values_mut() {
            refusal.address_at = NO_ADDRESS;
        }
        tables
    };
    let before = ack(w, 0, 1);
    let out = Packet {
        flags: "PFA",
        // What stands in the text where the address would go are zeros.
        payload: blank_line(w, "554 5.7.1"),
        ..reply(&before, 0)
    };
    cases.extend([
        w.case("a text may name no address", plain, before.octets())
            .answered(padded(&out), &[Counter::Refused]),
        w.case("without a text nothing is said", untold, before.octets())
            .dropped(&[Counter::InternalError]),
    ]);
}

fn closing(w: &World, cases: &mut Vec<Case>) {
    let refusing = || w.refusing();
    let quit = |flags, past| Packet {
        flags,
        payload: b"QUIT\r\n".to_vec(),
        ..ack(w, 0, past)
    };
    let told = ALL_SENT;
    let closing = &[Counter::RefuseClosing];
    for (name, before, length) in [
        (
            "refuse acknowledges data after the text",
            quit("A", told),
            6,
        ),
        (
            "refuse acknowledges data of who has half the text",
            quit("A", 100),
            6,
        ),
        ("refuse acknowledges data with FIN", quit("FA", told), 7),
        (
            "refuse acknowledges a FIN",
            Packet {
                flags: "FA",
                ..ack(w, 1, told)
            },
            1,
        ),
    ] {
        let out = Packet {
            flags: "A",
            ..reply(&before, length)
        };
        cases.push(
            w.case(name, refusing(), before.octets())
                .answered(padded(&out), closing),
        );
    }
    let small_window = Packet {
        window: 215,
        ..ack(w, 0, 1)
    };
    let reset = Packet {
        flags: "RA",
        ..ack(w, 0, 1)
    };
    cases.extend([
        w.case(
            "refuse does not answer a bare acknowledgement of the text",
            refusing(),
            ack(w, 0, told).octets(),
        )
        .dropped(closing),
        w.case(
            "refuse tells nobody who has no room",
            refusing(),
            small_window.octets(),
        )
        .dropped(closing),
        w.case("refuse ignores an RST", refusing(), reset.octets())
            .dropped(closing),
    ]);
}

/// Segments of connections that the edge has not answered.
fn strangers(w: &World, cases: &mut Vec<Case>) {
    let refusing = || w.refusing();
    let young = |tables: MemoryTables| {
        let mut tables = tables;
        tables.hosts.insert(
            w.customer.into(),
            Policy {
                grace_until_s: w.now_s + 60,
                ..policy(Action::Refuse)
            },
        );
        tables
    };
    let orphan = &[Counter::Orphan];
    for (name, before) in [
        ("refuse resets who acknowledges no cookie", w.to_mx("A")),
        ("refuse resets a cookie that is too old", ack(w, 2, 1)),
        (
            "refuse resets who is past all that was sent",
            ack(w, 0, ALL_SENT + 1),
        ),
        (
            "refuse resets who acknowledges the SYN's own number",
            ack(w, 0, 0),
        ),
    ] {
        let out = Packet {
            flags: "R",
            numbers: [before.numbers[1], 0],
            window: 0,
            payload: Vec::new(),
            ..reply(&before, 0)
        };
        cases.push(
            w.case(name, refusing(), before.octets())
                .answered(padded(&out), orphan),
        );
    }
    let data = w.to_mx("A");
    let told = Packet {
        flags: "PFA",
        payload: line(w, "554 5.7.1"),
        ..reply(&ack(w, 0, 1), 0)
    };
    cases.extend([
        w.case(
            "refuse never answers a stranger's RST",
            refusing(),
            w.to_mx("R").octets(),
        )
        .dropped(orphan),
        w.case("refuse has grace", young(refusing()), data.octets())
            .counts(&[Counter::Grace]),
        w.case(
            "within refuse's grace data keeps its relay",
            young(with_texts(w, w.diverted())),
            data.octets(),
        )
        .leaves(EGRESS, w.at_relay(&data).octets(), &[Counter::ToRelay]),
        w.case(
            "refuse's grace is not for new connections",
            young(refusing()),
            w.to_mx("S").octets(),
        )
        .answered(
            padded(&syn_ack(w, &w.to_mx("S"))),
            &[Counter::RefuseHandshake],
        ),
        w.case(
            "refuse tells during its grace too",
            young(refusing()),
            ack(w, 0, 1).octets(),
        )
        .answered(padded(&told), &[Counter::Refused]),
    ]);
}

/// No relay, and a pool that has the edge say so.
fn failure(w: &World, cases: &mut Vec<Case>) {
    let failing = || {
        let mut tables = with_texts(w, w.flagged(Action::Redirect));
        tables.pools.insert(0, pool(OnFailure::Refuse));
        tables.slots.insert(0, NO_RELAY);
        tables
    };
    let mut back = failing();
    back.slots.insert(0, World::RELAY.into());
    let mut stale = failing();
    stale.slots.insert(0, World::RELAY.into());
    // A machine that runs these cases may have been up for only half a minute.
    stale.settings.heartbeat_limit_s = 10;
    stale.settings.heartbeat_s = w.now_s - 12;
    let mut closed = failing();
    closed.pools.insert(0, pool(OnFailure::Closed));
    let syn = w.to_mx("S");
    let told = Packet {
        flags: "PFA",
        payload: line(w, "421 4.3.2"),
        ..reply(&ack(w, 0, 1), 0)
    };
    let orphaned = ack(w, 0, 1);
    let reset = Packet {
        flags: "R",
        numbers: [orphaned.numbers[1], 0],
        window: 0,
        ..reply(&orphaned, 0)
    };
    let case = |name: &str, tables, frame: &Packet| w.case(name, tables, frame.octets());
    cases.extend([
        case("without a relay the edge answers", failing(), &syn)
            .answered(padded(&syn_ack(w, &syn)), &[Counter::FailedRefused]),
        case("without a heartbeat the edge answers", stale, &syn).answered(
            padded(&syn_ack(w, &syn)),
            &[Counter::HeartbeatStale, Counter::FailedRefused],
        ),
        case(
            "without a relay the edge says 421",
            failing(),
            &ack(w, 0, 1),
        )
        .answered(padded(&told), &[Counter::Deferred]),
        case(
            "a relay that is back changes no connection",
            back,
            &ack(w, 0, 1),
        )
        .answered(padded(&told), &[Counter::Deferred]),
        case(
            "a pool that fails closed knows no cookie",
            closed,
            &orphaned,
        )
        .answered(padded(&reset), &[Counter::Orphan]),
        case(
            "without a relay a stranger's segment is reset",
            failing(),
            &Packet {
                payload: Vec::new(),
                ..w.to_mx("A")
            },
        )
        .answered(
            padded(&Packet {
                numbers: [0x0506_0708, 0],
                ..reset
            }),
            &[Counter::Orphan],
        ),
    ]);
}
