//! What an answer takes from the segment that it answers, and the IP headers that it gets.

use crate::{
    addr::FAMILY_V4,
    checksum::Sum,
    frame::Frame,
    parse::{ipv4, ipv6, tcp},
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

/// An IPv4 header without options, don't fragment, in front of `l4_octets` of TCP.
#[inline(always)]
pub(crate) fn ipv4(
    source: &[u8; 16],
    destination: &[u8; 16],
    l4_octets: u16,
) -> [u8; ipv4::HEADER_OCTETS] {
    let [.., s0, s1, s2, s3] = *source;
    let [.., d0, d1, d2, d3] = *destination;
    #[expect(clippy::cast_possible_truncation, reason = "a header has 20 octets")]
    let [t0, t1] = (ipv4::HEADER_OCTETS as u16 + l4_octets).to_be_bytes();
    let mut header = [
        0x45,
        0,
        t0,
        t1,
        0,
        0,
        0x40,
        0,
        HOP_LIMIT,
        tcp::PROTOCOL,
        0,
        0,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ];
    let [c0, c1] = Sum::new().octets(&header).checksum();
    header[10] = c0;
    header[11] = c1;
    header
}

/// Start of an IPv6 header in front of `l4_octets` of TCP; both addresses follow.
#[inline(always)]
pub(crate) const fn ipv6_start(l4_octets: u16) -> [u8; ipv6::SOURCE_AT] {
    let [p0, p1] = l4_octets.to_be_bytes();
    [0x60, 0, 0, 0, p0, p1, tcp::PROTOCOL, HOP_LIMIT]
}

const HOP_LIMIT: u8 = 64;
