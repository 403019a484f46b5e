//! Translating an ICMP error as its connection is (RFC 5508 section 4.2): in the packet that it quotes, one
//! address, both ports and their checksums; around it, the address that stands for the same host.
//!
//! Whoever calls has already changed the Ethernet header and taken the hop off ([`super::steer`]). Checksums
//! follow by what changed, so a wrong one stays wrong and a right one right, inside the quote too: TCP looks
//! at what it is shown of its own segment.

use super::{Before, End, Rewrite};
use crate::{
    addr::FAMILY_V4,
    checksum::Difference,
    frame::Frame,
    parse::{
        icmp::{self, Quote},
        ipv4, ipv6, tcp,
    },
};

/// An error that was read from a frame. Plain integers throughout: it lives in a map's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quoted {
    /// Where it is, and what it is about.
    pub(crate) quote: Quote,
    /// Who says so, [`crate::addr::Addr::mapped`].
    pub(crate) speaker: [u8; 16],
}

/// Translates the error. `before` is the segment that would go the same way, and `end` the end of it that
/// gets another address: the opposite one in the quote, and its own around it where that is who speaks or
/// hears. `false` as in [`super::apply`].
#[inline(never)]
pub(crate) fn translate<F: Frame>(
    frame: &mut F,
    before: &Before,
    quoted: &Quoted,
    rewrite: &Rewrite,
    end: End,
) -> bool {
    let v4 = before.ends.family == FAMILY_V4;
    let new_link = frame.link_octets(&rewrite.path);
    let moved = |at: u16| usize::from((at + new_link).wrapping_sub(before.link.octets));
    let (old, at4, at6) = match end {
        End::Source => (
            &before.ends.source,
            ipv4::DESTINATION_AT,
            ipv6::DESTINATION_AT,
        ),
        End::Destination => (&before.ends.destination, ipv4::SOURCE_AT, ipv6::SOURCE_AT),
    };
    // The equal first parts of two mapped IPv4 addresses change no checksum.
    let address = Difference::none().octets(old, &rewrite.addr);

    // Another router's address stays what it is: it is the one that can say why.
    let mut pseudo = Difference::none();
    if matches!(end, End::Destination) || quoted.speaker == before.ends.source {
        if !outer(frame, usize::from(new_link), rewrite, end, v4, address) {
            return false;
        }
        if !v4 {
            // The pseudo-header of RFC 4443 section 2.3.
            pseudo = address;
        }
    }

    let l3 = moved(quoted.quote.l3);
    let l4 = moved(quoted.quote.l4);
    let mut message = address;
    if v4 {
        let Some(changed) = change(frame, l3 + ipv4::CHECKSUM_AT, address) else {
            return false;
        };
        message = message.and(changed);
    }
    let ports = Difference::none()
        .word(
            before.segment.destination_port_be,
            rewrite.destination_port_be,
        )
        .word(before.segment.source_port_be, rewrite.source_port_be);
    message = message.and(ports);
    if quoted.quote.has_checksum != 0 {
        let Some(changed) = change(frame, l4 + tcp::CHECKSUM_AT, address.and(ports)) else {
            return false;
        };
        message = message.and(changed);
    }
    put_address(frame, l3 + if v4 { at4 } else { at6 }, rewrite, v4)
        && frame.write(l4, &rewrite.destination_port_be)
        && frame.write(l4 + tcp::DESTINATION_PORT_AT, &rewrite.source_port_be)
        && frame.change_checksum(
            moved(quoted.quote.icmp) + icmp::CHECKSUM_AT,
            pseudo,
            message,
        )
}

/// Writes the address at one end of the packet around the quote, and the header checksum that IPv4 has.
#[inline(always)]
fn outer<F: Frame>(
    frame: &mut F,
    l3: usize,
    rewrite: &Rewrite,
    end: End,
    v4: bool,
    address: Difference,
) -> bool {
    let at = match (end, v4) {
        (End::Source, true) => ipv4::SOURCE_AT,
        (End::Source, false) => ipv6::SOURCE_AT,
        (End::Destination, true) => ipv4::DESTINATION_AT,
        (End::Destination, false) => ipv6::DESTINATION_AT,
    };
    put_address(frame, l3 + at, rewrite, v4)
        && (!v4 || frame.change_header_checksum(l3 + ipv4::CHECKSUM_AT, address))
}

#[inline(always)]
fn put_address<F: Frame>(frame: &mut F, at: usize, rewrite: &Rewrite, v4: bool) -> bool {
    if v4 {
        let [.., a, b, c, d] = rewrite.addr;
        frame.write(at, &[a, b, c, d])
    } else {
        frame.write(at, &rewrite.addr)
    }
}

/// Changes a checksum inside the quote, and says what that changes around it; `None` = there is none.
#[inline(always)]
fn change<F: Frame>(frame: &mut F, at: usize, difference: Difference) -> Option<Difference> {
    let old = frame.read::<2>(at)?;
    let new = difference.apply(old);
    if frame.write(at, &new) {
        Some(Difference::none().word(old, new))
    } else {
        None
    }
}
