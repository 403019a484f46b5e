//! What travels in the world: a customer's segments and a relay's, before and after the edge.

use std::{vec, vec::Vec};

use super::{CUSTOMER_MAC, EDGE_MAC, EDGE_RELAY_MAC, RELAY_MAC, World};
use crate::cases::packet::Packet;

impl World {
    /// A segment of the customer to the first MX.
    #[must_use]
    pub fn to_mx(&self, flags: &'static str) -> Packet {
        Packet {
            stations: [EDGE_MAC, CUSTOMER_MAC],
            tags: Vec::new(),
            from: self.customer,
            to: self.mx[0],
            ports: [Self::PORT, 25],
            hops: 64,
            between: Vec::new(),
            first: 0,
            fragment: (false, 0),
            ident: 0x1234,
            flags,
            numbers: [0x0102_0304, 0x0506_0708],
            window: 64_240,
            options: Vec::new(),
            payload: if flags.contains('S') {
                Vec::new()
            } else {
                b"HELO a.example\r\n".to_vec()
            },
        }
    }

    /// The same segment as the relay must get it.
    #[must_use]
    pub fn at_relay(&self, before: &Packet) -> Packet {
        Packet {
            stations: [RELAY_MAC, EDGE_RELAY_MAC],
            tags: Vec::new(),
            to: self.relay,
            ports: [before.ports[0], Self::RELAY_PORT],
            hops: before.hops - 1,
            ..before.clone()
        }
    }

    /// A segment of the relay to the customer.
    #[must_use]
    pub fn from_relay(&self, flags: &'static str) -> Packet {
        Packet {
            stations: [EDGE_RELAY_MAC, RELAY_MAC],
            from: self.relay,
            to: self.customer,
            ports: [Self::RELAY_PORT, Self::PORT],
            payload: b"220 relay.example\r\n".to_vec(),
            ..self.to_mx(flags)
        }
    }

    /// The same segment as the customer must get it.
    #[must_use]
    pub fn at_customer(&self, before: &Packet) -> Packet {
        Packet {
            stations: [CUSTOMER_MAC, EDGE_MAC],
            tags: Vec::new(),
            from: self.mx[0],
            ports: [25, Self::PORT],
            hops: before.hops - 1,
            ..before.clone()
        }
    }

    /// IPv4 options, or IPv6 extension headers: hop-by-hop, routing and destination options.
    #[must_use]
    pub fn long_between(&self) -> Vec<u8> {
        if self.customer.is_ipv4() {
            // Timestamp option (RFC 791) with room for one, and an end.
            return vec![68, 8, 5, 0, 0, 0, 0, 0, 1, 1, 1, 0];
        }
        let mut chain = vec![43, 0, 1, 4, 0, 0, 0, 0];
        chain.extend([60, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        chain.extend([6, 0, 1, 4, 0, 0, 0, 0]);
        chain
    }

    /// The packet behind them.
    #[must_use]
    pub fn behind_more(&self, packet: Packet) -> Packet {
        Packet {
            first: 0,
            between: self.long_between(),
            ..packet
        }
    }
}
