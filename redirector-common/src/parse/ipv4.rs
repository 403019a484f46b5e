//! IPv4 (RFC 791), with options.

use super::{Packet, TcpAt, icmp, tcp};
use crate::{frame::Frame, tunnel::outer::is_carried};

/// Octets of a header without options.
pub const HEADER_OCTETS: usize = 20;
/// Offset of the TTL.
pub const TTL_AT: usize = 8;
/// Offset of the header checksum.
pub const CHECKSUM_AT: usize = 10;
/// Offset of the source address.
pub const SOURCE_AT: usize = 12;
/// Offset of the destination address.
pub const DESTINATION_AT: usize = 16;

/// Reads the packet at `l3`.
#[inline(always)]
pub(super) fn packet<F: Frame>(frame: &F, l3: usize) -> Packet {
    let Some([ihl, _, l0, l1, _, _, f0, f1, ttl, protocol, ..]) = frame.read::<HEADER_OCTETS>(l3)
    else {
        return Packet::Malformed;
    };
    let header_octets = usize::from(ihl & 0x0f) * 4;
    if ihl >> 4 != 4 || header_octets < HEADER_OCTETS {
        return Packet::Malformed;
    }
    if protocol != tcp::PROTOCOL {
        return if protocol == icmp::PROTOCOL {
            Packet::Icmp
        } else if is_carried(protocol) {
            Packet::Tunnel
        } else {
            Packet::NotOurs
        };
    }
    let l4_octets = usize::from(u16::from_be_bytes([l0, l1])).checked_sub(header_octets);
    let l4 = l3 + header_octets;
    let fragment = u16::from_be_bytes([f0, f1]);
    if fragment & IS_PART != 0 {
        let offset = fragment & FRAGMENT_OFFSET;
        return if tcp::fragment_may_carry_mail(frame, l4, l4_octets, offset) {
            Packet::Fragment
        } else {
            Packet::NotOurs
        };
    }
    tcp::segment(frame, l4, l4_octets, ttl)
}

/// Where the packet at `l3` has its TCP header, at one look.
#[inline(always)]
pub(super) fn tcp_at<F: Frame>(frame: &F, l3: usize) -> TcpAt {
    match frame.read::<HEADER_OCTETS>(l3) {
        Some(header) if header[9] == tcp::PROTOCOL => {
            if is_fragment(&header) {
                TcpAt::Hidden
            } else {
                TcpAt::Offset(l3 + usize::from(header[0] & 0x0f) * 4)
            }
        }
        _ => TcpAt::Nowhere,
    }
}

/// Whether the packet whose header is this is part of another.
#[inline(always)]
pub(super) const fn is_fragment(header: &[u8; HEADER_OCTETS]) -> bool {
    let [_, _, _, _, _, _, f0, f1, ..] = *header;
    u16::from_be_bytes([f0, f1]) & IS_PART != 0
}

/// Reads the header of a packet that an error quotes at `l3`; answers where its TCP header is, or 0.
#[inline(always)]
pub(super) fn quoted<F: Frame>(frame: &F, l3: usize) -> usize {
    let Some([ihl, _, _, _, _, _, f0, f1, _, protocol, ..]) = frame.read::<HEADER_OCTETS>(l3)
    else {
        return 0;
    };
    let header_octets = usize::from(ihl & 0x0f) * 4;
    // The ports are in the first fragment.
    let offset = u16::from_be_bytes([f0, f1]) & FRAGMENT_OFFSET;
    if ihl >> 4 != 4 || header_octets < HEADER_OCTETS || protocol != tcp::PROTOCOL || offset != 0 {
        return 0;
    }
    l3 + header_octets
}

const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// Bits of the fragment field of which one at least is set in a part of a packet.
pub(crate) const IS_PART: u16 = MORE_FRAGMENTS | FRAGMENT_OFFSET;
