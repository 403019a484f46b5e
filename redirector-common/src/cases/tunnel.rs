//! Relays behind a tunnel, with an outer header of either family: what goes in, and what comes out.

pub(crate) mod envelope;
mod inwards;
mod outwards;
mod strange;
mod too_big;

use std::{
    format,
    net::{Ipv4Addr, Ipv6Addr},
    string::String,
    vec,
    vec::Vec,
};

use self::envelope::Ends;
use super::{
    Case,
    packet::Packet,
    world::{CUSTOMER_MAC, EDGE_MAC, EDGE_RELAY_MAC, RELAY_MAC, World, relay_path},
};
use crate::{
    abi::{L2Path, Relay},
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    for outside in [V4, V6] {
        let scene = Scene { world, outside };
        outwards::cases(&scene, cases);
        inwards::cases(&scene, cases);
        strange::cases(&scene, cases);
        too_big::cases(&scene, cases);
    }
}

/// A world whose relay is behind a tunnel.
struct Scene<'a> {
    world: &'a World,
    outside: Ends,
}

impl Scene<'_> {
    /// What a case is called here.
    fn name(&self, name: &str) -> String {
        let outside = if self.outside.0.is_ipv4() {
            "IPv4"
        } else {
            "IPv6"
        };
        format!("tunnel over {outside}: {name}")
    }

    fn case(&self, name: &str, tables: MemoryTables, frame: Vec<u8>) -> Case {
        self.world.case(&self.name(name), tables, frame)
    }

    /// Maps in which the relay is behind the tunnel.
    fn with_tunnel(&self, tables: MemoryTables) -> MemoryTables {
        self.by_path(tables, relay_path())
    }

    /// The same, with the tunnel's far end this way.
    fn by_path(&self, tables: MemoryTables, path: L2Path) -> MemoryTables {
        with_tunnel(self.world, tables, self.outside, path)
    }

    /// The customer is redirected to the relay.
    fn steered(&self) -> MemoryTables {
        self.with_tunnel(self.world.steered())
    }

    /// The same with its address lent to the relay.
    fn lent(&self) -> MemoryTables {
        self.with_tunnel(self.world.lent())
    }

    /// The same with its connection to the first MX established.
    fn established(&self) -> MemoryTables {
        let mut tables = self.steered();
        let key = self.world.steered_key(self.world.mx[0]);
        tables.put_flow(key, self.world.flow());
        tables
    }

    /// A frame as it must leave for the relay: `sent` is what was sent, with the hops that are left.
    fn sealed(&self, sent: &[u8]) -> Vec<u8> {
        self.outside.around(sent)
    }

    /// The longest segment that the relay may be told of, as an option.
    fn most(&self) -> u16 {
        MTU - if self.world.customer.is_ipv4() {
            40
        } else {
            60
        }
    }
}

/// Maps in which the relay is behind a tunnel, whose far end is this way.
pub(crate) fn with_tunnel(
    world: &World,
    mut tables: MemoryTables,
    outside: Ends,
    path: L2Path,
) -> MemoryTables {
    let relay = Relay {
        tunnel: outside.tunnel(MTU),
        ..world.relay_record(path)
    };
    tables.relays.insert(World::RELAY.into(), relay);
    tables
        .tunnels
        .insert(relay.tunnel.key(), World::RELAY.into());
    tables
}

/// A customer's frame as it is inside of the tunnel: one hop fewer, between other stations.
fn inside(before: &Packet) -> Packet {
    Packet {
        stations: [RELAY_MAC, EDGE_RELAY_MAC],
        tags: Vec::new(),
        hops: before.hops - 1,
        ..before.clone()
    }
}

/// A segment of the relay, for the MX, to the customer.
fn answer(w: &World, flags: &'static str) -> Packet {
    let payload = if flags.contains('S') {
        Vec::new()
    } else {
        b"250 mx.example\r\n".to_vec()
    };
    Packet {
        from: w.mx[0],
        ports: [25, World::PORT],
        payload,
        ..w.from_relay(flags)
    }
}

/// The same as the customer must get it.
fn at_customer(before: &Packet) -> Packet {
    Packet {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        tags: Vec::new(),
        hops: before.hops - 1,
        ..before.clone()
    }
}

/// A segment of the relay's own leg to the first MX, from the customer's address.
fn leg(w: &World, flags: &'static str) -> Packet {
    Packet {
        from: w.customer,
        to: w.mx[0],
        ports: [61_000, 25],
        ..w.from_relay(flags)
    }
}

/// A SYN's option of the maximum segment size.
fn told(octets: u16) -> Vec<u8> {
    let [high, low] = octets.to_be_bytes();
    vec![2, 4, high, low]
}

/// The same behind an option of one octet, so that it stands at an odd place.
fn told_oddly(octets: u16) -> Vec<u8> {
    let [high, low] = octets.to_be_bytes();
    vec![1, 2, 4, high, low, 4, 2, 0]
}

/// Two tags.
fn tags() -> Vec<[u8; 4]> {
    vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]]
}

/// Our end and the relay's, in the one family and the other.
pub(crate) const V4: Ends = Ends(
    std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 130)),
);
pub(crate) const V6: Ends = Ends(
    std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1)),
    std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 1, 0, 0, 0, 2)),
);
/// Octets that the tunnel carries.
pub(crate) const MTU: u16 = 1400;
