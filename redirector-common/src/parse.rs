//! From the octets of a frame to what the decisions need, without touching a map.
//!
//! [`ether::link`] reads the Ethernet header and its tags; [`packet`] reads the packet behind it.
//! Every reader has three outcomes: ours, not ours, malformed. Nothing here writes.

pub mod ether;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod tcp;
pub mod tunnel;
pub mod usual;

use self::{ether::Link, tcp::Flags};
use crate::{
    addr::{Addr, AddrRef, FAMILY_V4, FAMILY_V6},
    frame::Frame,
};

/// A whole TCP header in an unfragmented packet. Plain integers throughout, so that it may live in a
/// map's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub source_port_be: [u8; 2],
    /// Destination port.
    pub destination_port_be: [u8; 2],
    /// Offset of the TCP header in the frame.
    pub l4: u16,
    /// TCP flags.
    pub flags: Flags,
    /// TTL or hop limit.
    pub hop_limit: u8,
}

/// What stands behind the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A TCP segment.
    Tcp(Segment),
    /// A fragment that could carry mail past us: see [`tcp::fragment_may_carry_mail`].
    Fragment,
    /// A chain of IPv6 extension headers longer than is followed, or of an unknown length.
    LongChain,
    /// Whatever is behind more tags than two: see [`ether::beneath`].
    Deep,
    /// An ICMP or ICMPv6 message: see [`icmp::Quote`].
    Icmp,
    /// A packet behind this one's header, as in a tunnel: see [`tunnel::Outer`].
    Tunnel,
    /// Well-formed as far as was looked, and nothing to us.
    NotOurs,
    /// It contradicts itself, or ends before its headers do.
    Malformed,
}

/// Who sends to whom, [`Addr::mapped`]. Read apart from the rest, because most frames are none of
/// ours before their addresses matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Ends {
    /// Who sent it.
    pub source: [u8; 16],
    /// To whom.
    pub destination: [u8; 16],
    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    pub family: u8,
}

impl Ends {
    /// The source with its family.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> AddrRef<'_> {
        AddrRef {
            mapped: &self.source,
            family: self.family,
        }
    }

    /// The destination with its family.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> AddrRef<'_> {
        AddrRef {
            mapped: &self.destination,
            family: self.family,
        }
    }
}

/// Reads the packet behind the Ethernet header.
#[inline(always)]
pub fn packet<F: Frame>(frame: &F, link: Link) -> Packet {
    match link.ethertype_be {
        ether::IPV4_BE => ipv4::packet(frame, usize::from(link.octets)),
        ether::IPV6_BE => ipv6::packet(frame, usize::from(link.octets)),
        other if ether::is_tag(other) => Packet::Deep,
        _ => Packet::NotOurs,
    }
}

/// Whether the packet could be mail, by as little as can be said of it where it is not going to be followed.
#[inline(always)]
pub fn may_be_mail<F: Frame>(frame: &F, link: Link) -> bool {
    let l3 = usize::from(link.octets);
    let l4 = match link.ethertype_be {
        ether::IPV4_BE => ipv4::tcp_at(frame, l3),
        ether::IPV6_BE => ipv6::tcp_at(frame, l3),
        _ => return false,
    };
    match l4 {
        TcpAt::Offset(l4) => frame
            .read::<2>(l4 + tcp::DESTINATION_PORT_AT)
            .is_some_and(|port| port == tcp::SMTP_PORT_BE),
        TcpAt::Hidden => true,
        TcpAt::Nowhere => false,
    }
}

/// Where a packet has its TCP header.
enum TcpAt {
    /// At this offset in the frame.
    Offset(usize),
    /// In a part of it, or behind what nobody has followed.
    Hidden,
    /// It has none.
    Nowhere,
}

impl Ends {
    /// Reads the addresses of a packet that [`packet`] has found to be IP; `false` = it is too short.
    #[inline(always)]
    pub fn read<F: Frame>(&mut self, frame: &F, link: Link) -> bool {
        let l3 = usize::from(link.octets);
        if link.ethertype_be == ether::IPV4_BE {
            let Some(source) = frame.read::<4>(l3 + ipv4::SOURCE_AT) else {
                return false;
            };
            self.source = Addr::V4(source).mapped();
            let Some(destination) = frame.read::<4>(l3 + ipv4::DESTINATION_AT) else {
                return false;
            };
            self.destination = Addr::V4(destination).mapped();
            self.family = FAMILY_V4;
        } else {
            let Some(source) = frame.read::<16>(l3 + ipv6::SOURCE_AT) else {
                return false;
            };
            self.source = source;
            let Some(destination) = frame.read::<16>(l3 + ipv6::DESTINATION_AT) else {
                return false;
            };
            self.destination = destination;
            self.family = FAMILY_V6;
        }
        true
    }
}
