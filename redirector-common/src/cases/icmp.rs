//! ICMP and ICMPv6 errors about diverted connections, and about anything else.

mod beyond;
mod customer;
pub(crate) mod message;
mod quotes;
mod relay;
mod uplink;

use std::{net::IpAddr, vec::Vec};

pub(crate) use self::message::{Kind, Message};
use super::{
    Case,
    packet::Packet,
    world::{EDGE_MAC, World},
};
use crate::tables::memory::MemoryTables;

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    customer::cases(world, cases);
    quotes::cases(world, cases);
    relay::cases(world, cases);
    uplink::cases(world, cases);
    beyond::cases(world, cases);
}

/// A packet too big, from one address to the sender of what it quotes.
pub(crate) fn too_big(from: IpAddr, quoted: &Packet) -> Message {
    Message {
        stations: [EDGE_MAC, STRANGER_MAC],
        tags: Vec::new(),
        from,
        to: quoted.from,
        hops: 64,
        options: Vec::new(),
        kind: Kind::TooBig,
        quote: quoted.octets()[14..].to_vec(),
    }
}

/// An address of a router in this world.
pub(crate) fn router(w: &World) -> IpAddr {
    if w.customer.is_ipv4() {
        [100, 64, 0, 1].into()
    } else {
        [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1].into()
    }
}

/// How much of what it quotes an old router sends: the IP header and eight octets.
fn least(w: &World) -> usize {
    if w.customer.is_ipv4() { 28 } else { 48 }
}

/// The same maps with the second MX among the customers.
fn mx_inside(w: &World, mut tables: MemoryTables) -> MemoryTables {
    let bits = if w.customer.is_ipv4() { 32 } else { 128 };
    tables.customers.insert((w.mx[0].into(), bits));
    tables
}

const STRANGER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
