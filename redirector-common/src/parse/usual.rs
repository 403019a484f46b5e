//! The usual packet, read at one look.
//!
//! Nearly everything that a router forwards is untagged, has neither IP options nor extension headers, and is TCP
//! or UDP. That is told by a few words at fixed places, so that the packets of bystanders cost next to nothing.
//! The answer is what [`ether::link`] and [`super::packet`] would say, or `None`: then it is for them.

use super::{
    Packet, Segment,
    ether::{self, IPV4_BE, IPV6_BE, Link},
    ipv4, ipv6,
    tcp::{self, Flags},
};
use crate::frame::Frame;

/// Reads the frame, if it is a usual one.
#[inline(always)]
pub fn packet<F: Frame>(frame: &F) -> Option<(Link, Packet)> {
    let head = frame.read::<HEAD_OCTETS>(0)?;
    // EtherType, version, and what follows the version in its octet: words of header, or the class.
    let kind = long([head[12], head[13], head[14], 0]);
    if kind == IPV4_WITHOUT_OPTIONS {
        let link = Link {
            ethertype_be: IPV4_BE,
            octets: ether::LINK_OCTETS[0],
        };
        if head[23] == UDP {
            return Some((link, Packet::NotOurs));
        }
        let part = long([head[20], head[21], 0, head[23]]);
        let is_whole_tcp = part & (u32::from(ipv4::IS_PART) << 16 | 0xff)
            == u32::from(tcp::PROTOCOL)
            && usize::from(word(head[16], head[17])) >= ipv4::HEADER_OCTETS + tcp::HEADER_OCTETS;
        let segment = Segment {
            source_port_be: [head[34], head[35]],
            destination_port_be: [head[36], head[37]],
            l4: TCP4_AT,
            flags: Flags(head[47]),
            hop_limit: head[22],
        };
        return is_whole_tcp.then_some((link, Packet::Tcp(segment)));
    }
    if kind & !CLASS == IPV6 {
        let link = Link {
            ethertype_be: IPV6_BE,
            octets: ether::LINK_OCTETS[0],
        };
        if head[20] == UDP {
            return Some((link, Packet::NotOurs));
        }
        if head[20] != tcp::PROTOCOL || usize::from(word(head[18], head[19])) < tcp::HEADER_OCTETS {
            return None;
        }
        let tcp = frame.read::<{ tcp::HEADER_OCTETS }>(TCP6_AT as usize)?;
        let segment = Segment {
            source_port_be: [tcp[0], tcp[1]],
            destination_port_be: [tcp[2], tcp[3]],
            l4: TCP6_AT,
            flags: Flags(tcp[13]),
            hop_limit: head[21],
        };
        return Some((link, Packet::Tcp(segment)));
    }
    None
}

#[inline(always)]
const fn word(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

#[inline(always)]
const fn long(octets: [u8; 4]) -> u32 {
    u32::from_be_bytes(octets)
}

/// IP protocol number, in either family.
const UDP: u8 = 17;
/// Version 4, and five words of header.
const IPV4_WITHOUT_OPTIONS: u32 = long([IPV4_BE[0], IPV4_BE[1], 0x45, 0]);
/// Version 6 without [`CLASS`].
const IPV6: u32 = long([IPV6_BE[0], IPV6_BE[1], 0x60, 0]);
/// The traffic class's first bits.
const CLASS: u32 = 0x0f00;
/// Where TCP starts in IPv4, and in IPv6.
const TCP4_AT: u16 = 34;
const TCP6_AT: u16 = 54;
/// Up to the end of TCP in IPv4, which is nearly that of a short frame.
const HEAD_OCTETS: usize = TCP4_AT as usize + tcp::HEADER_OCTETS;
const _: () = assert!(TCP4_AT as usize == ether::HEADER_OCTETS + ipv4::HEADER_OCTETS);
const _: () = assert!(TCP6_AT as usize == ether::HEADER_OCTETS + ipv6::HEADER_OCTETS);
