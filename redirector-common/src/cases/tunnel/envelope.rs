//! Frames inside of a tunnel for the cases, their outer header written by smoltcp.

use std::{net::IpAddr, vec, vec::Vec};

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet};

use crate::abi::Tunnel;

/// The two ends of a tunnel, ours first, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends(pub(crate) IpAddr, pub(crate) IpAddr);

impl Ends {
    /// As the maps say it.
    pub(crate) fn tunnel(self, mtu: u16) -> Tunnel {
        Tunnel::new(self.0.into(), self.1.into(), mtu)
    }

    /// What the relay's end sends to ours.
    pub(crate) const fn back(self) -> Self {
        Self(self.1, self.0)
    }

    /// Octets of the header around a packet.
    pub(crate) const fn octets(self) -> usize {
        if self.0.is_ipv4() { 20 } else { 40 }
    }

    /// The packet of a frame behind a header from the first end to the second, with the frame's Ethernet header. The
    /// class is that of the packet inside, and padding stays.
    pub(crate) fn around(self, frame: &[u8]) -> Vec<u8> {
        let link = link_octets(frame);
        let (head, inner) = frame.split_at(link);
        let v4 = head[link - 2..] == [0x08, 0x00];
        let (class, carried, inner_octets) = if v4 {
            let packet = Ipv4Packet::new_unchecked(inner);
            (inner[1], IpProtocol::from(4), packet.total_len())
        } else {
            let packet = Ipv6Packet::new_unchecked(inner);
            (
                packet.traffic_class(),
                IpProtocol::from(41),
                40 + packet.payload_len(),
            )
        };
        let (ethertype, mut outer) = match self {
            Self(IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut octets = vec![0; 20];
                let mut packet = Ipv4Packet::new_unchecked(&mut octets);
                packet.set_version(4);
                packet.set_header_len(20);
                packet.set_dscp(class >> 2);
                packet.set_ecn(class & 3);
                packet.set_total_len(20 + inner_octets);
                packet.set_ident(0);
                packet.clear_flags();
                packet.set_dont_frag(true);
                packet.set_hop_limit(64);
                packet.set_next_header(carried);
                packet.set_src_addr(from);
                packet.set_dst_addr(to);
                packet.fill_checksum();
                ([0x08, 0x00], octets)
            }
            Self(IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut octets = vec![0; 40];
                let mut packet = Ipv6Packet::new_unchecked(&mut octets);
                packet.set_version(6);
                packet.set_traffic_class(class);
                packet.set_payload_len(inner_octets);
                packet.set_hop_limit(64);
                packet.set_next_header(carried);
                packet.set_src_addr(from);
                packet.set_dst_addr(to);
                ([0x86, 0xdd], octets)
            }
            Self(IpAddr::V4(_) | IpAddr::V6(_), _) => panic!("two families at one tunnel"),
        };
        let mut octets = head.to_vec();
        octets[link - 2..].copy_from_slice(&ethertype);
        octets.append(&mut outer);
        octets.extend_from_slice(inner);
        octets
    }
}

/// The frame with another traffic class, or type of service, and the checksum of that.
pub(crate) fn with_class(mut frame: Vec<u8>, class: u8) -> Vec<u8> {
    let link = link_octets(&frame);
    let v4 = frame[link - 2..link] == [0x08, 0x00];
    let packet = &mut frame[link..];
    if v4 {
        let mut packet = Ipv4Packet::new_unchecked(packet);
        packet.set_dscp(class >> 2);
        packet.set_ecn(class & 3);
        packet.fill_checksum();
    } else {
        Ipv6Packet::new_unchecked(packet).set_traffic_class(class);
    }
    frame
}

/// Octets of a frame's Ethernet header.
pub(crate) fn link_octets(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(frame[at..at + 2], [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    at + 2
}
