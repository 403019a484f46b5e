//! What the customer and the edge say to each other when the edge answers itself: the cookie, the
//! segments around it, and the text.
#![expect(deprecated, reason = "std's own SipHash-2-4 is the oracle")]

use std::{
    format,
    hash::{Hasher as _, SipHasher},
    string::String,
    vec,
    vec::Vec,
};

use crate::{
    abi::{Action, CookieKey, Refusal},
    addr::Addr,
    cases::{
        packet::Packet,
        world::{CUSTOMER_MAC, EDGE_MAC, World},
    },
    tables::memory::MemoryTables,
};

impl World {
    /// Maps with the customer refused.
    #[must_use]
    pub fn refusing(&self) -> MemoryTables {
        with_texts(self, self.flagged(Action::Refuse))
    }
}

/// The maps with a key and both texts.
pub(super) fn with_texts(w: &World, mut tables: MemoryTables) -> MemoryTables {
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
pub(super) fn line(w: &World, code: &str) -> Vec<u8> {
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
pub(super) fn blank_line(w: &World, code: &str) -> Vec<u8> {
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
pub(super) fn ack(w: &World, epochs: u32, past: u32) -> Packet {
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

pub(super) fn syn_ack(w: &World, syn: &Packet) -> Packet {
    Packet {
        flags: "SA",
        numbers: [cookie(w, 0).cast_signed(), 0x0102_0305],
        options: vec![2, 4, 2, 24],
        ..reply(syn, 0)
    }
}

/// A bare segment back to the customer, that acknowledges so much.
pub(super) fn reply(before: &Packet, length: i32) -> Packet {
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
pub(super) fn padded(packet: &Packet) -> Vec<u8> {
    packet.padded(60 + 4 * packet.tags.len())
}

const KEY: CookieKey = CookieKey {
    halves: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210],
};
/// Where the address stands in the lines of 554 and 421: at an even and at an odd offset.
const ADDRESS_AT: [usize; 2] = [16, 15];
/// Past the cookie: the SYN, the text, the FIN.
pub(super) const ALL_SENT: u32 = 218;
