//! Answering a segment with RST, in place: the frame that asked becomes the answer.

use crate::{
    abi::L2Path,
    addr::FAMILY_V4,
    checksum::Sum,
    frame::Frame,
    parse::{
        Segment, ipv4, ipv6,
        tcp::{self, Flags},
    },
    rewrite::Before,
};

/// Turns the frame round into the RST of RFC 9293 section 3.10.7.1 (state CLOSED), with the same
/// tags. The segment must not be an RST itself. `false` = it could not be done; the frame is then fit
/// for nothing but a drop.
#[inline(never)]
pub(crate) fn answer<F: Frame>(frame: &mut F, before: &Before) -> bool {
    let Before {
        link,
        segment,
        ends,
        way_back,
    } = before;
    let (l3, l4) = (usize::from(link.octets), usize::from(segment.l4));
    // The prefix of a mapped IPv4 address sums to zero: its one word is 0xffff.
    let addresses = Sum::new().octets(&ends.source).octets(&ends.destination);
    if ends.family == FAMILY_V4 {
        let Some([_, _, l0, l1]) = frame.read::<4>(l3) else {
            return false;
        };
        let l4_octets = usize::from(u16::from_be_bytes([l0, l1])).saturating_sub(l4 - l3);
        let Some(tcp) = reply_tcp(frame, segment, l4_octets, addresses) else {
            return false;
        };
        // Ethernet wants 60 octets; a frame that had them keeps them, with padding.
        let padded = frame.octets() >= l3 + PADDED_OCTETS;
        let octets = if padded { PADDED_OCTETS } else { RESET4_OCTETS };
        turn_round(frame, way_back)
            && (!padded || frame.write(l3 + RESET4_OCTETS, &[0; PADDED_OCTETS - RESET4_OCTETS]))
            && frame.write(l3, &reply_ipv4(&ends.destination, &ends.source))
            && frame.write(l3 + ipv4::HEADER_OCTETS, &tcp)
            && frame.cut_tail(l3 + octets)
    } else {
        let Some([_, _, _, _, p0, p1]) = frame.read::<6>(l3) else {
            return false;
        };
        let payload = l3 + ipv6::HEADER_OCTETS + usize::from(u16::from_be_bytes([p0, p1]));
        let Some(tcp) = reply_tcp(frame, segment, payload.saturating_sub(l4), addresses) else {
            return false;
        };
        turn_round(frame, way_back)
            && frame.write(l3, &IPV6_START)
            && frame.write(l3 + IPV6_START.len(), &ends.destination)
            && frame.write(l3 + IPV6_START.len() + 16, &ends.source)
            && frame.write(l3 + ipv6::HEADER_OCTETS, &tcp)
            && frame.cut_tail(l3 + ipv6::HEADER_OCTETS + tcp::HEADER_OCTETS)
    }
}

/// The TCP header of the answer; `addresses` is the sum over both.
#[inline(always)]
fn reply_tcp<F: Frame>(
    frame: &F,
    segment: &Segment,
    l4_octets: usize,
    addresses: Sum,
) -> Option<[u8; tcp::HEADER_OCTETS]> {
    let [
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        data_offset,
        ..,
    ] = frame.read::<{ tcp::HEADER_OCTETS }>(usize::from(segment.l4))?;
    let (sequence, acknowledged, flags) = if segment.flags.has(Flags::ACK) {
        // "<SEQ=SEG.ACK><CTL=RST>"
        ([a0, a1, a2, a3], 0, Flags::RST)
    } else {
        // "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"; SYN and FIN count one each.
        let text = l4_octets.saturating_sub(usize::from(data_offset >> 4) * 4);
        let controls =
            u32::from(segment.flags.has(Flags::SYN)) + u32::from(segment.flags.has(Flags::FIN));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an IP packet has at most 65535 octets"
        )]
        let length = text as u32 + controls;
        let sequence = u32::from_be_bytes([q0, q1, q2, q3]);
        (
            [0; 4],
            sequence.wrapping_add(length),
            Flags::RST | Flags::ACK,
        )
    };
    let [q0, q1, q2, q3] = sequence;
    let [a0, a1, a2, a3] = acknowledged.to_be_bytes();
    let mut header = [
        d0, d1, s0, s1, q0, q1, q2, q3, a0, a1, a2, a3, 0x50, flags, 0, 0, 0, 0, 0, 0,
    ];
    let [c0, c1] = addresses
        .number(u16::from(tcp::PROTOCOL))
        .number(RESET_TCP_OCTETS)
        .octets(&header)
        .checksum();
    header[tcp::CHECKSUM_AT] = c0;
    header[tcp::CHECKSUM_AT + 1] = c1;
    Some(header)
}

#[inline(always)]
fn reply_ipv4(source: &[u8; 16], destination: &[u8; 16]) -> [u8; ipv4::HEADER_OCTETS] {
    let [.., s0, s1, s2, s3] = *source;
    let [.., d0, d1, d2, d3] = *destination;
    // Header length 5, total length 40, don't fragment.
    let mut header = [
        0x45,
        0,
        0,
        40,
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

#[inline(always)]
fn turn_round<F: Frame>(frame: &mut F, way_back: &L2Path) -> bool {
    let [d0, d1, d2, d3, d4, d5] = way_back.peer_mac;
    let [s0, s1, s2, s3, s4, s5] = way_back.own_mac;
    frame.write(0, &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5])
}

/// Start of an IPv6 header: 20 octets of TCP follow.
const IPV6_START: [u8; 8] = [0x60, 0, 0, 0, 0, 20, tcp::PROTOCOL, HOP_LIMIT];
const HOP_LIMIT: u8 = 64;
const RESET_TCP_OCTETS: u16 = 20;
const RESET4_OCTETS: usize = ipv4::HEADER_OCTETS + tcp::HEADER_OCTETS;
const PADDED_OCTETS: usize = 46;
