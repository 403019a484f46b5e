//! A packet that was inside of another one, on its way from a relay to an edge; see [`crate::tunnel`].

use super::{
    Packet,
    ether::{IPV4_BE, Link},
    icmp, ipv4, ipv6, tcp,
};
use crate::frame::Frame;

/// Reads the packet that a tunnel has carried. A relay's own host has made it, which puts nothing between an IPv6 header
/// and TCP or ICMPv6, so no chain is followed: whatever has one is nothing to us.
#[inline(always)]
#[must_use]
pub fn inner<F: Frame>(frame: &F, link: Link) -> Packet {
    let l3 = usize::from(link.octets);
    if link.ethertype_be == IPV4_BE {
        return ipv4::packet(frame, l3);
    }
    let Some([_, _, _, _, p0, p1, next, hop_limit, ..]) = frame.read::<{ ipv6::HEADER_OCTETS }>(l3)
    else {
        return Packet::Malformed;
    };
    match next {
        tcp::PROTOCOL => {
            let payload_octets = usize::from(u16::from_be_bytes([p0, p1]));
            tcp::segment(
                frame,
                l3 + ipv6::HEADER_OCTETS,
                Some(payload_octets),
                hop_limit,
            )
        }
        icmp::PROTOCOL_V6 => Packet::Icmp,
        _ => Packet::NotOurs,
    }
}
