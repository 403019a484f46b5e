//! TCP (RFC 9293): ports and flags, and which fragments could carry mail past us.

use super::{Packet, Segment};
use crate::{abi::SMTP_PORT, frame::Frame};

/// IP protocol number.
pub const PROTOCOL: u8 = 6;
/// Octets of a header without options.
pub const HEADER_OCTETS: usize = 20;
/// Offset of the destination port in the header.
pub const DESTINATION_PORT_AT: usize = 2;
/// Offset of the sequence number in the header.
pub const SEQUENCE_AT: usize = 4;
/// Offset of the octet that says where the header ends.
pub const DATA_OFFSET_AT: usize = 12;
/// Offset of the checksum in the header.
pub const CHECKSUM_AT: usize = 16;
/// [`SMTP_PORT`] as it stands in packets.
pub const SMTP_PORT_BE: [u8; 2] = SMTP_PORT.to_be_bytes();

/// The flags octet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The receiver should hand on what it has.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;

    /// Whether any of these bits is set.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// Whether the segment asks for a new connection. Everything else belongs to an older one.
    #[inline(always)]
    #[must_use]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST) == Self::SYN
    }
}

/// Reads the segment at `l4`; `l4_octets` is what the IP header says is there, `None` if that is
/// less than nothing.
#[inline(always)]
pub(super) fn segment<F: Frame>(
    frame: &F,
    l4: usize,
    l4_octets: Option<usize>,
    hop_limit: u8,
) -> Packet {
    if l4_octets.is_none_or(|octets| octets < HEADER_OCTETS) {
        return Packet::Malformed;
    }
    let Some([s0, s1, d0, d1, _, _, _, _, _, _, _, _, _, flags, ..]) =
        frame.read::<HEADER_OCTETS>(l4)
    else {
        return Packet::Malformed;
    };
    // A frame has at most 64 KiB.
    let Ok(l4) = u16::try_from(l4) else {
        return Packet::Malformed;
    };
    Packet::Tcp(Segment {
        l4,
        source_port_be: [s0, s1],
        destination_port_be: [d0, d1],
        flags: Flags(flags),
        hop_limit,
    })
}

/// Whether a TCP fragment could be part of a segment to port 25 whose ports nobody has judged:
/// a first one with that port, a first one that ends inside the TCP header (RFC 1858 section 3), or
/// one at offset 1, which may overwrite the ports' neighbours on reassembly (the same, section 4).
/// Without its first fragment nothing reassembles, so later ones need no judgement.
#[inline(always)]
pub(super) fn fragment_may_carry_mail<F: Frame>(
    frame: &F,
    l4: usize,
    l4_octets: Option<usize>,
    offset: u16,
) -> bool {
    if offset != 0 {
        return offset == 1;
    }
    let Some([_, _, d0, d1, _, _, _, _, _, _, _, _, data_offset, ..]) =
        frame.read::<HEADER_OCTETS>(l4)
    else {
        return true;
    };
    let header_octets = (usize::from(data_offset >> 4) * 4).max(HEADER_OCTETS);
    l4_octets.is_none_or(|octets| octets < header_octets) || [d0, d1] == SMTP_PORT_BE
}
