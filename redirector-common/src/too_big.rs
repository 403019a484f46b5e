//! Saying that a packet is too big for what is ahead of it (RFC 1191 section 4, RFC 4443 section 3.2).
//!
//! The answer is a twelfth of what it answers, or less, so nobody is flooded by it; and it comes from the address that
//! the packet was for, because the network that the edge stands in is none of the sender's business.

use crate::{
    addr::FAMILY_V4,
    checksum::Sum,
    frame::Frame,
    parse::{icmp, ipv4, ipv6},
    reply,
    rewrite::Before,
};

/// Start of a packet that is too big. All of them are longer.
pub(crate) type Quotation = [[u8; 16]; 5];

/// Turns the frame round into the error, with the same tags. `false` = it could not be done, or the packet may be
/// cut into pieces and is not to be answered; the frame is then fit for nothing but a drop.
#[inline(always)]
pub(crate) fn send<F: Frame>(
    frame: &mut F,
    before: &Before,
    quotation: &mut Quotation,
    mtu: u16,
) -> bool {
    let sum = quote(frame, before, quotation);
    sum != 0
        && begin(frame, before)
        && message(frame, before, mtu, sum)
        && copy(frame, before, quotation)
}

/// Reads what is quoted, options and the ports behind them whatever their length. Answers with the sum over it, which is
/// never zero: a packet has a version; 0 = there is nothing to be answered.
#[inline(never)]
fn quote<F: Frame>(frame: &F, before: &Before, quotation: &mut Quotation) -> u32 {
    let mut sum = Sum::new();
    let mut at = usize::from(before.link.octets);
    for block in quotation.iter_mut() {
        let Some(octets) = frame.read::<16>(at) else {
            return 0;
        };
        sum = sum.octets(&octets);
        *block = octets;
        at += octets.len();
    }
    let [[_, _, _, _, _, _, flags, ..], ..] = quotation;
    if before.ends.family == FAMILY_V4 && *flags & DONT_FRAGMENT == 0 {
        return 0;
    }
    sum.into()
}

/// Makes the frame as long as the answer, and writes its IP header.
#[inline(never)]
fn begin<F: Frame>(frame: &mut F, before: &Before) -> bool {
    let Before {
        link,
        segment,
        way_back,
        ends,
        ..
    } = before;
    let l3 = usize::from(frame.link_octets(way_back));
    if ends.family == FAMILY_V4 {
        let octets = l3 + ipv4::HEADER_OCTETS + usize::from(MESSAGE_OCTETS);
        frame.begin_anew(link, segment.l4, way_back, octets)
            && frame.write(
                l3,
                &reply::ipv4(
                    &ends.destination,
                    &ends.source,
                    icmp::PROTOCOL,
                    MESSAGE_OCTETS,
                )
                .0,
            )
    } else {
        let octets = l3 + ipv6::HEADER_OCTETS + usize::from(MESSAGE_OCTETS);
        frame.begin_anew(link, segment.l4, way_back, octets)
            && frame.write(l3, &reply::ipv6_start(icmp::PROTOCOL_V6, MESSAGE_OCTETS))
            && frame.write(l3 + ipv6::SOURCE_AT, &ends.destination)
            && frame.write(l3 + ipv6::DESTINATION_AT, &ends.source)
    }
}

/// Writes the ICMP header.
#[inline(never)]
fn message<F: Frame>(frame: &mut F, before: &Before, mtu: u16, sum: u32) -> bool {
    // As one number: octet by octet it would be written at places that the verifier does not like.
    let (kind, sum) = if before.ends.family == FAMILY_V4 {
        (FRAGMENTATION_NEEDED, Sum::from(sum))
    } else {
        // The pseudo-header of RFC 8200 section 8.1.
        let sum = Sum::from(sum)
            .octets(&before.ends.source)
            .octets(&before.ends.destination)
            .number(u16::from(icmp::PROTOCOL_V6))
            .number(MESSAGE_OCTETS);
        (PACKET_TOO_BIG, sum)
    };
    let checksum = sum.number(kind).number(mtu).checksum();
    let checksum = u64::from(u16::from_be_bytes(checksum));
    let header = u64::from(kind) << 48 | checksum << 32 | u64::from(mtu);
    frame.write(message_at(frame, before), &header.to_be_bytes())
}

#[inline(never)]
fn copy<F: Frame>(frame: &mut F, before: &Before, quotation: &Quotation) -> bool {
    let mut at = message_at(frame, before) + icmp::HEADER_OCTETS;
    for block in quotation {
        if !frame.write(at, block) {
            return false;
        }
        at += block.len();
    }
    true
}

#[inline(always)]
fn message_at<F: Frame>(frame: &F, before: &Before) -> usize {
    let ip = if before.ends.family == FAMILY_V4 {
        ipv4::HEADER_OCTETS
    } else {
        ipv6::HEADER_OCTETS
    };
    usize::from(frame.link_octets(&before.way_back)) + ip
}

/// ICMP header and quotation.
const MESSAGE_OCTETS: u16 = 8 + 80;
const _: () = assert!(MESSAGE_OCTETS as usize == icmp::HEADER_OCTETS + size_of::<Quotation>());
/// In the octet of flags and fragment offset.
const DONT_FRAGMENT: u8 = 0x40;
/// ICMP type and code (destination unreachable), with the size in the header's last two octets.
const FRAGMENTATION_NEEDED: u16 = 0x0304;
/// ICMPv6 type and code, with the size in the last four.
const PACKET_TOO_BIG: u16 = 0x0200;
