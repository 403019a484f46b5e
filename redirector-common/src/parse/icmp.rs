//! ICMP (RFC 792) and ICMPv6 (RFC 4443): the errors, and the segment that one quotes.
//!
//! All of it is read apart from the packet, as [`Quote`]: other packets must not pay for it, nor the stack.
//! Errors are taken whole or not at all: in one piece, and with all the octets that the IP header promises.

use super::{
    Ends,
    ether::{IPV4_BE, Link},
    ipv4, ipv6, tcp,
};
use crate::frame::Frame;

/// IP protocol number of ICMP.
pub const PROTOCOL: u8 = 1;
/// The same of ICMPv6.
pub const PROTOCOL_V6: u8 = 58;
/// Octets in front of the quoted packet.
pub const HEADER_OCTETS: usize = 8;
/// Offset of the checksum in the header.
pub const CHECKSUM_AT: usize = 2;
/// Octets of a TCP header that every error quotes (RFC 792): ports and sequence number.
pub const QUOTED_OCTETS: usize = 8;

/// An error, and the segment that it is about as far as it is quoted. Plain integers throughout, so that it
/// may live in a map's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    /// Who had sent the segment to whom.
    pub ends: Ends,
    /// Its source port.
    pub source_port_be: [u8; 2],
    /// Its destination port.
    pub destination_port_be: [u8; 2],
    /// Offset of its IP header in the frame.
    pub l3: u16,
    /// Offset of its TCP header in the frame, of which at least [`QUOTED_OCTETS`] are there.
    pub l4: u16,
    /// 1 if the quote reaches beyond its TCP checksum.
    pub has_checksum: u8,
    /// TTL or hop limit of the error.
    pub hop_limit: u8,
    /// Offset of the ICMP header in the frame.
    pub icmp: u16,
}

impl Quote {
    /// Reads what a [`super::Packet::Icmp`] behind this Ethernet header quotes; `false` = it is no error, or what
    /// it quotes is no TCP segment, or too little of it.
    #[inline(never)]
    pub fn read<F: Frame>(&mut self, frame: &F, link: Link) -> bool {
        frame.reach(REACH_OCTETS);
        let outer = usize::from(link.octets);
        let v4 = link.ethertype_be == IPV4_BE;
        let (icmp, end) = if v4 {
            let Some(header) = frame.read::<{ ipv4::HEADER_OCTETS }>(outer) else {
                return false;
            };
            // An error is never so long that it must be fragmented (RFC 1812 section 4.3.2.3).
            if ipv4::is_fragment(&header) {
                return false;
            }
            let [ihl, _, l0, l1, _, _, _, _, ttl, ..] = header;
            self.hop_limit = ttl;
            (
                outer + usize::from(ihl & 0x0f) * 4,
                outer + usize::from(u16::from_be_bytes([l0, l1])),
            )
        } else {
            let Some([_, _, _, _, p0, p1, _, hop_limit]) = frame.read::<8>(outer) else {
                return false;
            };
            self.hop_limit = hop_limit;
            let icmp = outer + ipv6::HEADER_OCTETS;
            (icmp, icmp + usize::from(u16::from_be_bytes([p0, p1])))
        };
        let Some([kind, ..]) = frame.read::<HEADER_OCTETS>(icmp) else {
            return false;
        };
        if !is_error(kind, v4) {
            return false;
        }
        let l3 = icmp + HEADER_OCTETS;
        let l4 = if v4 {
            ipv4::quoted(frame, l3)
        } else {
            ipv6::quoted(frame, l3)
        };
        if l4 == 0 || l4 + QUOTED_OCTETS > end || end > frame.octets() {
            return false;
        }
        // A frame has at most 64 KiB.
        let (Ok(icmp), Ok(l3), Ok(l4_short)) =
            (u16::try_from(icmp), u16::try_from(l3), u16::try_from(l4))
        else {
            return false;
        };
        let inner = Link { octets: l3, ..link };
        let Some([s0, s1, d0, d1]) = frame.read::<4>(l4) else {
            return false;
        };
        self.icmp = icmp;
        self.l3 = l3;
        self.l4 = l4_short;
        self.source_port_be = [s0, s1];
        self.destination_port_be = [d0, d1];
        self.has_checksum = u8::from(l4 + tcp::CHECKSUM_AT + 2 <= end);
        self.ends.read(frame, inner)
    }
}

/// Destination unreachable, packet too big (IPv6), time exceeded, parameter problem. Not source quench,
/// which is dead (RFC 6633), and not redirect, which is between a host and its own router.
#[inline(always)]
const fn is_error(kind: u8, v4: bool) -> bool {
    if v4 {
        matches!(kind, 3 | 11 | 12)
    } else {
        matches!(kind, 1..=4)
    }
}

/// Octets of a frame within which an error quotes what is read of it, with room for options and extension
/// headers.
const REACH_OCTETS: usize = 512;
