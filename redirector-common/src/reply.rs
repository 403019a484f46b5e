//! What an answer takes from the segment that it answers, and the IP headers that it gets.

use crate::{
    addr::FAMILY_V4,
    checksum::Sum,
    frame::Frame,
    parse::{ipv4, ipv6},
    rewrite::Before,
};

/// Octets behind the IP header, as it says itself; `None` = the frame is too short for one. Padding of
/// the frame is not counted.
#[inline(always)]
pub(crate) fn l4_octets<F: Frame>(frame: &F, before: &Before) -> Option<usize> {
    let (l3, l4) = (
        usize::from(before.link.octets),
        usize::from(before.segment.l4),
    );
    let end = if before.ends.family == FAMILY_V4 {
        let [_, _, l0, l1] = frame.read::<4>(l3)?;
        l3 + usize::from(u16::from_be_bytes([l0, l1]))
    } else {
        let [_, _, _, _, p0, p1] = frame.read::<6>(l3)?;
        l3 + ipv6::HEADER_OCTETS + usize::from(u16::from_be_bytes([p0, p1]))
    };
    Some(end.saturating_sub(l4))
}

/// Octets behind a TCP header, whose data offset stands in the octet of that name.
#[inline(always)]
pub(crate) fn text_octets(l4_octets: usize, data_offset: u8) -> u32 {
    let text = l4_octets.saturating_sub(usize::from(data_offset >> 4) * 4);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an IP packet has at most 65575 octets"
    )]
    let text = text as u32;
    text
}

/// Octets that stand on the stack as the verifier wants them where the compiler makes words of them.
#[repr(align(8))]
pub(crate) struct Aligned<const N: usize>(pub(crate) [u8; N]);

/// An IPv4 header without options, don't fragment, in front of `l4_octets` of that protocol.
#[inline(always)]
pub(crate) fn ipv4(
    source: &[u8; 16],
    destination: &[u8; 16],
    protocol: u8,
    l4_octets: u16,
) -> Aligned<{ ipv4::HEADER_OCTETS }> {
    let [.., s0, s1, s2, s3] = *source;
    let [.., d0, d1, d2, d3] = *destination;
    #[expect(clippy::cast_possible_truncation, reason = "a header has 20 octets")]
    let [t0, t1] = (ipv4::HEADER_OCTETS as u16 + l4_octets).to_be_bytes();
    let mut header = Aligned([
        0x45, 0, t0, t1, 0, 0, 0x40, 0, HOP_LIMIT, protocol, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3,
    ]);
    let [c0, c1] = Sum::new().octets(&header.0).checksum();
    header.0[ipv4::CHECKSUM_AT] = c0;
    header.0[ipv4::CHECKSUM_AT + 1] = c1;
    header
}

/// Start of an IPv6 header in front of `l4_octets` of that protocol; both addresses follow.
#[inline(always)]
pub(crate) const fn ipv6_start(protocol: u8, l4_octets: u16) -> [u8; ipv6::SOURCE_AT] {
    // As one number: octet by octet it would be written at places that the verifier does not like.
    let start = 0x6 << 60 | (l4_octets as u64) << 16 | (protocol as u64) << 8 | HOP_LIMIT as u64;
    start.to_be_bytes()
}

const HOP_LIMIT: u8 = 64;
