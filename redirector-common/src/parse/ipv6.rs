//! IPv6 (RFC 8200), with a bounded walk over extension headers.

use super::{Packet, TcpAt, icmp, tcp};
use crate::{frame::Frame, tunnel::outer::is_carried};

/// Octets of the fixed header.
pub const HEADER_OCTETS: usize = 40;
/// Offset of the hop limit.
pub const HOP_LIMIT_AT: usize = 7;
/// Offset of the source address.
pub const SOURCE_AT: usize = 8;
/// Offset of the destination address.
pub const DESTINATION_AT: usize = 24;

/// Extension headers that are followed, at most; RFC 8504 section 5.3 lets hosts stop at that many.
pub const CHAIN_HEADERS: usize = 8;
/// The same in a packet that an error quotes.
pub const QUOTED_CHAIN_HEADERS: usize = 3;
/// Octets of extension headers that are followed, at most, before the last one.
pub const CHAIN_OCTETS: usize = 512;

/// Reads the packet at `l3`.
#[inline(always)]
pub(super) fn packet<F: Frame>(frame: &F, l3: usize) -> Packet {
    let Some([version, _, _, _, p0, p1, next, hop_limit, ..]) = frame.read::<HEADER_OCTETS>(l3)
    else {
        return Packet::Malformed;
    };
    if version >> 4 != 6 {
        return Packet::Malformed;
    }
    // Behind extension headers nobody sends an error.
    if next == icmp::PROTOCOL_V6 {
        return Packet::Icmp;
    }
    let payload_octets = usize::from(u16::from_be_bytes([p0, p1]));
    if is_extension(next) {
        frame.reach(l3 + HEADER_OCTETS + CHAIN_REACH_OCTETS);
    }
    match walk(frame, l3 + HEADER_OCTETS, next, payload_octets) {
        Walk::Tcp {
            chain_octets,
            fragment_first,
        } => {
            let l4 = l3 + HEADER_OCTETS + chain_octets;
            let l4_octets = payload_octets.checked_sub(chain_octets);
            if !fragment_first {
                return tcp::segment(frame, l4, l4_octets, hop_limit);
            }
            if tcp::fragment_may_carry_mail(frame, l4, l4_octets, 0) {
                Packet::Fragment
            } else {
                Packet::NotOurs
            }
        }
        Walk::Fragment => Packet::Fragment,
        Walk::TooLong => Packet::LongChain,
        Walk::Tunnel => Packet::Tunnel,
        Walk::NotOurs => Packet::NotOurs,
        Walk::Malformed => Packet::Malformed,
    }
}

/// Where the packet at `l3` has its TCP header, at one look.
#[inline(always)]
pub(super) fn tcp_at<F: Frame>(frame: &F, l3: usize) -> TcpAt {
    match frame.read::<HEADER_OCTETS>(l3) {
        Some(header) if header[6] == tcp::PROTOCOL => TcpAt::Offset(l3 + HEADER_OCTETS),
        Some(header) if is_extension(header[6]) => TcpAt::Hidden,
        _ => TcpAt::Nowhere,
    }
}

/// Where the chain of extension headers leads.
enum Walk {
    /// To a TCP header.
    Tcp {
        chain_octets: usize,
        fragment_first: bool,
    },
    /// To a fragment whose TCP header cannot be seen.
    Fragment,
    TooLong,
    /// To a packet in this one.
    Tunnel,
    NotOurs,
    Malformed,
}

#[inline(always)]
fn walk<F: Frame>(frame: &F, start: usize, first: u8, payload_octets: usize) -> Walk {
    let mut next = first;
    let mut chain_octets = 0;
    let mut fragment_first = false;
    for _ in 0..=CHAIN_HEADERS {
        if next == tcp::PROTOCOL {
            return Walk::Tcp {
                chain_octets,
                fragment_first,
            };
        }
        if !is_extension(next) {
            return if is_carried(next) {
                Walk::Tunnel
            } else {
                Walk::NotOurs
            };
        }
        if chain_octets > CHAIN_OCTETS {
            return Walk::TooLong;
        }
        let header = if chain_octets + EXTENSION_OCTETS > payload_octets {
            None
        } else {
            frame.read::<EXTENSION_OCTETS>(start + chain_octets)
        };
        let Some([following, length, o0, o1, ..]) = header else {
            // RFC 7112: a first fragment must hold the whole chain. Unfragmented, nothing can be
            // behind the end; but of a packet that starts with a hop-by-hop header and says that it has
            // no length, as a jumbogram does (RFC 2675), Linux takes the frame's, whatever the options.
            return if fragment_first {
                Walk::Fragment
            } else if payload_octets == 0 && next == HOP_BY_HOP {
                Walk::TooLong
            } else {
                Walk::Malformed
            };
        };
        if next == FRAGMENT {
            let field = u16::from_be_bytes([o0, o1]);
            let (offset, more) = (field >> 3, field & 1 != 0);
            if offset != 0 {
                // The port's neighbours start at offset 1 if TCP comes first; an extension header in
                // front of it only moves them back. What comes first is what the first fragment says, and
                // not this one (RFC 8200 section 4.5).
                return if offset == 1 {
                    Walk::Fragment
                } else {
                    Walk::NotOurs
                };
            }
            // Offset 0 and nothing more is an atomic fragment: a whole packet (RFC 6946).
            fragment_first |= more;
            chain_octets += EXTENSION_OCTETS;
        } else {
            chain_octets += EXTENSION_OCTETS + usize::from(length) * 8;
        }
        next = following;
    }
    Walk::TooLong
}

/// Reads the headers of a packet that an error quotes at `l3`; answers where its TCP header is, or 0. The
/// walk is short: what is diverted has extension headers only where a customer tries to slip through.
#[inline(always)]
pub(super) fn quoted<F: Frame>(frame: &F, l3: usize) -> usize {
    let Some([version, _, _, _, _, _, first, ..]) = frame.read::<HEADER_OCTETS>(l3) else {
        return 0;
    };
    if version >> 4 != 6 {
        return 0;
    }
    let mut next = first;
    let mut at = l3 + HEADER_OCTETS;
    for _ in 0..=QUOTED_CHAIN_HEADERS {
        if next == tcp::PROTOCOL {
            return at;
        }
        if !is_extension(next) {
            return 0;
        }
        let Some([following, length, o0, o1, ..]) = frame.read::<EXTENSION_OCTETS>(at) else {
            return 0;
        };
        if next == FRAGMENT {
            if u16::from_be_bytes([o0, o1]) >> 3 != 0 {
                return 0;
            }
            at += EXTENSION_OCTETS;
        } else {
            at += EXTENSION_OCTETS + usize::from(length) * 8;
        }
        next = following;
    }
    0
}

/// The headers that are walked over. Not among them: ESP, whose content nobody sees, and AH, which
/// only a receiver with a security association takes; both pass, as they do in IPv4.
#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION | MOBILITY | HIP | SHIM6
    )
}

/// What is behind the fixed header of a packet whose chain is followed: a chain, its last header, and TCP.
const CHAIN_REACH_OCTETS: usize = CHAIN_OCTETS + 2048 + tcp::HEADER_OCTETS;
/// Every extension header has at least so many octets, and counts the others in units of as many.
const EXTENSION_OCTETS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;
