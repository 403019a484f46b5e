//! Connections that the edge answers itself.
#![expect(deprecated, reason = "std's own SipHash-2-4 is the oracle")]

use std::{
    format,
    hash::{Hasher as _, SipHasher},
    string::String,
    vec,
    vec::Vec,
};

use super::{
    Case, EGRESS,
    packet::Packet,
    world::{CUSTOMER_MAC, EDGE_MAC, World, policy, pool},
};
use crate::{
    abi::{Action, CookieKey, NO_ADDRESS, NO_RELAY, OnFailure, Policy, Refusal},
    addr::Addr,
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

impl World {
    /// Maps with the customer refused.
    #[must_use]
    pub fn refusing(&self) -> MemoryTables {
        with_texts(self, self.flagged(Action::Refuse))
    }
}

/// The maps with a key and both texts.
fn with_texts(w: &World, mut tables: MemoryTables) -> MemoryTables {
    tables.cookie_key = KEY;
    let six = u32::from(w.customer.is_ipv6());
    for (number, code) in (0..).zip(["554 5.7.1", "421 4.3.2"]) {
        tables.refusals.insert(number * 2 + six, refusal(w, code));
    }
    tables
}

fn refusal(w: &World, code: &str) -> Refusal {
    let octets = blank_line(w, code);
    let words = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let mut refusal = Refusal {
        sum: u16::try_from(sum % 0xffff).expect("a remainder"),
        address_at: u16::try_from(ADDRESS_AT[usize::from(code == "421 4.3.2")]).expect("small"),
        ..Refusal::default()
    };
    refusal.text.as_flattened_mut().copy_from_slice(&octets);
    refusal
}

/// What the customer reads.
fn line(w: &World, code: &str) -> Vec<u8> {
    let address = match w.customer.is_ipv4() {
        true => format!("{:16}", w.customer),
        false => String::from("2001:0db8:000a:000a:0000:0000:0000:0010 "),
    };
    let mut octets = blank_line(w, code);
    let at = ADDRESS_AT[usize::from(code == "421 4.3.2")];
    octets[at..at + address.len()].copy_from_slice(address.as_bytes());
    octets
}

/// The same with zeros for the address.
fn blank_line(w: &World, code: &str) -> Vec<u8> {
    let blank = "\0".repeat(if w.customer.is_ipv4() { 16 } else { 40 });
    let from = if code == "421 4.3.2" {
        "host "
    } else {
        "mail  "
    };
    let mut text = format!("{code} {from}{blank} is refused, see https://help.example/");
    while text.len() < 214 {
        text.push(' ');
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The customer's bare acknowledgement of a cookie that was given out `epochs` ago, and of so much more.
fn ack(w: &World, epochs: u32, past: u32) -> Packet {
    let cookie = cookie(w, epochs);
    Packet {
        numbers: [0x0102_0305, cookie.wrapping_add(past).cast_signed()],
        payload: Vec::new(),
        ..w.to_mx("A")
    }
}

fn cookie(w: &World, epochs_ago: u32) -> u32 {
    let mut hasher = SipHasher::new_with_keys(KEY.halves[0], KEY.halves[1]);
    hasher.write(&Addr::from(w.customer).mapped());
    hasher.write(&Addr::from(w.mx[0]).mapped());
    hasher.write(&World::PORT.to_be_bytes());
    hasher.write(&[0; 2]);
    hasher.write(&(w.now_s / 64).wrapping_sub(epochs_ago).to_be_bytes());
    u32::try_from(hasher.finish() & 0xffff_ffff).expect("32 bits")
}

fn syn_ack(w: &World, syn: &Packet) -> Packet {
    Packet {
        flags: "SA",
        numbers: [cookie(w, 0).cast_signed(), 0x0102_0305],
        options: vec![2, 4, 2, 24],
        ..reply(syn, 0)
    }
}

/// A bare segment back to the customer, that acknowledges so much.
fn reply(before: &Packet, length: i32) -> Packet {
    Packet {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        from: before.to,
        to: before.from,
        ports: [25, World::PORT],
        hops: 64,
        between: Vec::new(),
        ident: 0,
        flags: "A",
        numbers: [before.numbers[1], before.numbers[0] + length],
        window: 1024,
        payload: Vec::new(),
        ..before.clone()
    }
}

/// A frame that Ethernet would take.
fn padded(packet: &Packet) -> Vec<u8> {
    packet.padded(60 + 4 * packet.tags.len())
}

const KEY: CookieKey = CookieKey {
    halves: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210],
};
/// Where the address stands in the lines of 554 and 421: at an even and at an odd offset.
const ADDRESS_AT: [usize; 2] = [16, 15];
/// Past the cookie: the SYN, the text, the FIN.
const ALL_SENT: u32 = 218;
