//! The network of the cases: one customer, one server and two edges, for each family inside and outside.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    string::String,
    vec,
    vec::Vec,
};

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet};

use crate::{
    abi::host::{HostCustomer, HostEdge},
    addr::Addr,
    cases::{World, packet::Packet},
    tunnel::memory::HostMemory,
};

/// One family inside of one family.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Customer and servers.
    pub inside: World,
    /// Our end of every tunnel.
    pub local: IpAddr,
    /// The edges' ends.
    pub edges: [IpAddr; 2],
}

/// An outer header, field by field.
#[derive(Clone, Debug)]
pub struct Header {
    /// Source address.
    pub from: IpAddr,
    /// Destination address.
    pub to: IpAddr,
    /// Class.
    pub class: u8,
    /// IPv4: options, a multiple of four octets.
    pub options: Vec<u8>,
    /// IPv4: more fragments, and offset in octets.
    pub fragment: (bool, u16),
    /// What the length says beyond what there is.
    pub excess: i16,
}

impl Network {
    /// Each of the four.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let v4 = |last| Ipv4Addr::new(198, 51, 100, last).into();
        let v6 = |last| Ipv6Addr::new(0x2001, 0xdb8, 0x7, 0, 0, 0, 0, last).into();
        let mut all = Vec::new();
        for inside in [World::v4(1), World::v6(1)] {
            for address in [&v4 as &dyn Fn(u8) -> IpAddr, &|last| v6(u16::from(last))] {
                all.push(Self {
                    inside,
                    local: address(7),
                    edges: [address(101), address(102)],
                });
            }
        }
        all
    }

    /// What it is called in cases.
    #[must_use]
    pub fn name(&self) -> String {
        let outside = if self.local.is_ipv4() { "IPv4" } else { "IPv6" };
        std::format!("{} in {outside}", self.inside.family)
    }

    /// Octets of an outer header.
    #[must_use]
    pub fn outer_octets(&self) -> usize {
        if self.local.is_ipv4() { 20 } else { 40 }
    }

    /// Maps with both edges, and nobody noted.
    #[must_use]
    pub fn tables(&self) -> HostMemory {
        let local = Addr::from(self.local);
        let edge = HostEdge {
            local: local.mapped(),
            family: local.family(),
            ..HostEdge::default()
        };
        let mut tables = HostMemory::default();
        tables
            .edges
            .extend(self.edges.map(|address| (mapped(address), edge)));
        tables.own.insert(mapped(self.local));
        tables
    }

    /// The header of what an edge sends here.
    #[must_use]
    pub fn from_edge(&self, edge: usize) -> Header {
        Header {
            from: self.edges[edge],
            to: self.local,
            class: 0,
            options: Vec::new(),
            fragment: (false, 0),
            excess: 0,
        }
    }

    /// The header of what we send to an edge.
    #[must_use]
    pub fn to_edge(&self, edge: usize) -> Header {
        let Header { from, to, .. } = self.from_edge(edge);
        Header {
            from: to,
            to: from,
            ..self.from_edge(edge)
        }
    }

    /// A segment from the server to a leg of the relay's from the customer's address.
    #[must_use]
    pub fn to_leg(&self) -> Packet {
        Packet {
            from: self.inside.mx[0],
            to: self.inside.customer,
            ports: [25, LEG],
            ..self.inside.to_mx("A")
        }
    }

    /// A segment of that leg.
    #[must_use]
    pub fn of_leg(&self) -> Packet {
        Packet {
            ports: [LEG, 25],
            ..self.inside.to_mx("A")
        }
    }

    /// A segment of the relay to the customer, in the server's name.
    #[must_use]
    pub fn to_customer(&self) -> Packet {
        Packet {
            ports: [25, World::PORT],
            ..self.to_leg()
        }
    }

    /// The customer, as it is noted.
    #[must_use]
    pub fn customer_key(&self) -> HostCustomer {
        let customer = Addr::from(self.inside.customer);
        HostCustomer {
            address: customer.customer_key(),
            family: customer.family(),
            ..HostCustomer::default()
        }
    }

    /// Key of an edge.
    #[must_use]
    pub fn edge_key(&self, edge: usize) -> [u8; 16] {
        mapped(self.edges[edge])
    }
}

impl Header {
    /// The frame with this header between its Ethernet header and its packet, which has no padding behind it.
    #[must_use]
    pub fn around(&self, frame: &[u8]) -> Vec<u8> {
        let (link, inner) = frame.split_at(14);
        let protocol = if link[12] == 0x08 {
            IpProtocol::from(4)
        } else {
            IpProtocol::from(41)
        };
        let length = |octets: usize| {
            let octets = u16::try_from(octets).expect("a case fits a frame");
            octets.wrapping_add_signed(self.excess)
        };
        let (ethertype, outer) = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut octets = vec![0; 20];
                octets.extend(&self.options);
                let header = octets.len();
                let mut outer = Ipv4Packet::new_unchecked(&mut octets);
                outer.set_version(4);
                outer.set_header_len(u8::try_from(header).expect("at most 60 octets"));
                outer.set_dscp(self.class >> 2);
                outer.set_ecn(self.class & 3);
                outer.set_total_len(length(header + inner.len()));
                outer.set_dont_frag(self.fragment == (false, 0));
                outer.set_more_frags(self.fragment.0);
                outer.set_frag_offset(self.fragment.1);
                outer.set_hop_limit(64);
                outer.set_next_header(protocol);
                outer.set_src_addr(from);
                outer.set_dst_addr(to);
                outer.fill_checksum();
                ([0x08, 0x00], octets)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut octets = vec![0; 40];
                let mut outer = Ipv6Packet::new_unchecked(&mut octets);
                outer.set_version(6);
                outer.set_traffic_class(self.class);
                outer.set_payload_len(length(inner.len()));
                outer.set_hop_limit(64);
                outer.set_next_header(protocol);
                outer.set_src_addr(from);
                outer.set_dst_addr(to);
                ([0x86, 0xdd], octets)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => panic!("two families in one header"),
        };
        [&link[..12], &ethertype[..], &outer, inner].concat()
    }
}

/// The frame with that class in its packet, and IPv4's checksum right.
pub(super) fn with_class(mut frame: Vec<u8>, class: u8) -> Vec<u8> {
    if frame[12] == 0x08 {
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
        packet.set_dscp(class >> 2);
        packet.set_ecn(class & 3);
        packet.fill_checksum();
    } else {
        Ipv6Packet::new_unchecked(&mut frame[14..]).set_traffic_class(class);
    }
    frame
}

/// Class of the frame's packet.
pub(super) fn class_of(frame: &[u8]) -> u8 {
    if frame[12] == 0x08 {
        let packet = Ipv4Packet::new_unchecked(&frame[14..]);
        packet.dscp() << 2 | packet.ecn()
    } else {
        Ipv6Packet::new_unchecked(&frame[14..]).traffic_class()
    }
}

/// As keys have it.
pub(super) fn mapped(address: IpAddr) -> [u8; 16] {
    Addr::from(address).mapped()
}

/// Port of a leg of the relay's.
pub(super) const LEG: u16 = 61_500;
