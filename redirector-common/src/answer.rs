//! Segments that the edge sends itself: the one that came becomes the one that answers, in place, and
//! nothing is remembered.

use crate::{
    abi::{NO_ADDRESS, REFUSAL_OCTETS, RefusalText},
    addr::FAMILY_V4,
    checksum::Sum,
    frame::Frame,
    parse::{
        ipv4, ipv6,
        tcp::{self, Flags, SMTP_PORT_BE},
    },
    reply,
    rewrite::Before,
    tables::Tables,
};

/// What is said in return. Plain integers throughout, so that it may live in a map's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    /// Sequence number.
    pub(crate) sequence: u32,
    /// Acknowledgement number.
    pub(crate) acknowledged: u32,
    /// [`Flags`]; with SYN goes the option of the maximum segment size.
    pub(crate) flags: u8,
    /// Octets that the customer may send.
    pub(crate) window: u16,
    /// The customer's address as a text shows it.
    address: Address,
}

/// Turns the frame round into the answer, with the same tags, without the options and extension headers
/// that came. `false` = it could not be done; the frame is then fit for nothing but a drop.
///
/// In steps out of line, one after the other and none inside another: together they need more than a BPF
/// stack holds.
#[inline(always)]
pub(crate) fn send<F: Frame>(frame: &mut F, before: &Before, answer: &Answer) -> bool {
    frame.about_to_change();
    if answer.flags & Flags::SYN == 0 {
        return network_header(frame, before, 0) && tcp_header(frame, before, answer, 0, 0);
    }
    // The option's two words.
    let sum = 0x0204 + u32::from(MSS);
    network_header(frame, before, MSS_OPTION_OCTETS)
        && tcp_header(frame, before, answer, MSS_OPTION_OCTETS, sum)
        && option(frame, before)
}

/// The same with a text behind the headers.
#[inline(always)]
pub(crate) fn say<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    before: &Before,
    answer: &mut Answer,
    text: RefusalText,
) -> bool {
    let sum = render(tables, before, answer, text);
    frame.about_to_change();
    sum != 0
        && network_header(frame, before, REFUSAL_OCTETS)
        && tcp_header(frame, before, answer, REFUSAL_OCTETS, sum)
        && payload(frame, tables, before, answer, text)
}

/// Puts the customer's address into letters, and sums the text with it; 0 = there is no text.
#[inline(never)]
fn render<T: Tables>(tables: &T, before: &Before, answer: &mut Answer, text: RefusalText) -> u32 {
    let Some(refusal) = tables.refusal(text.index(before.ends.family)) else {
        return 0;
    };
    let sum = u32::from(refusal.sum);
    // No text sums to zero: a record of zeros has not been written yet.
    if sum == 0 || refusal.address_at == NO_ADDRESS {
        return sum;
    }
    if before.ends.family == FAMILY_V4 {
        answer.address.dotted(&before.ends.source);
    } else {
        answer.address.colons(&before.ends.source);
    }
    let address = answer.address.sum();
    // Behind an odd number of octets the same words count with their octets exchanged (RFC 1071
    // section 2, B).
    sum + u32::from(if refusal.address_at % 2 == 0 {
        address
    } else {
        address.swap_bytes()
    })
}

/// Makes the frame as long as the answer with `more` octets behind the TCP header, and writes all that
/// is in front of that. One after the other out of line: together they are more than a third of a BPF stack.
#[inline(always)]
fn network_header<F: Frame>(frame: &mut F, before: &Before, more: u16) -> bool {
    link_header(frame, before, more) && ip_header(frame, before, more)
}

#[inline(never)]
fn link_header<F: Frame>(frame: &mut F, before: &Before, more: u16) -> bool {
    let Before {
        link,
        segment,
        way_back,
        ..
    } = before;
    // Ethernet wants 60 octets, and not every driver adds them.
    let padded = usize::from(frame.link_octets(way_back)) + PADDED_OCTETS;
    let octets = (payload_at(frame, before) + usize::from(more)).max(padded);
    frame.begin_anew(link, segment.l4, way_back, octets)
}

#[inline(never)]
fn ip_header<F: Frame>(frame: &mut F, before: &Before, more: u16) -> bool {
    let Before { ends, way_back, .. } = before;
    let l3 = usize::from(frame.link_octets(way_back));
    let l4_octets = TCP_OCTETS + more;
    if ends.family == FAMILY_V4 {
        frame.write(l3 + SHORTEST_OCTETS, &[0; PADDED_OCTETS - SHORTEST_OCTETS])
            && frame.write(
                l3,
                &reply::ipv4(&ends.destination, &ends.source, tcp::PROTOCOL, l4_octets).0,
            )
    } else {
        frame.write(l3, &reply::ipv6_start(tcp::PROTOCOL, l4_octets))
            && frame.write(l3 + ipv6::SOURCE_AT, &ends.destination)
            && frame.write(l3 + ipv6::DESTINATION_AT, &ends.source)
    }
}

/// Writes the TCP header in front of `more` octets, over which the sum is `sum`.
#[inline(never)]
fn tcp_header<F: Frame>(
    frame: &mut F,
    before: &Before,
    answer: &Answer,
    more: u16,
    sum: u32,
) -> bool {
    let [p0, p1] = SMTP_PORT_BE;
    let [d0, d1] = before.segment.source_port_be;
    let [q0, q1, q2, q3] = answer.sequence.to_be_bytes();
    let [a0, a1, a2, a3] = answer.acknowledged.to_be_bytes();
    let [w0, w1] = answer.window.to_be_bytes();
    let data_offset = if answer.flags & Flags::SYN == 0 {
        0x50
    } else {
        0x60
    };
    let mut header = [
        p0,
        p1,
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
        answer.flags,
        w0,
        w1,
        0,
        0,
        0,
        0,
    ];
    // The prefix of a mapped IPv4 address sums to zero: its one word is 0xffff.
    let [c0, c1] = Sum::from(sum)
        .octets(&before.ends.source)
        .octets(&before.ends.destination)
        .number(u16::from(tcp::PROTOCOL))
        .number(TCP_OCTETS + more)
        .octets(&header)
        .checksum();
    header[tcp::CHECKSUM_AT] = c0;
    header[tcp::CHECKSUM_AT + 1] = c1;
    frame.write(payload_at(frame, before) - tcp::HEADER_OCTETS, &header)
}

#[inline(never)]
fn option<F: Frame>(frame: &mut F, before: &Before) -> bool {
    let [high, low] = MSS.to_be_bytes();
    frame.write(payload_at(frame, before), &[2, 4, high, low])
}

#[inline(never)]
fn payload<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    before: &Before,
    answer: &Answer,
    text: RefusalText,
) -> bool {
    let Some(refusal) = tables.refusal(text.index(before.ends.family)) else {
        return false;
    };
    let mut at = payload_at(frame, before);
    let address_at = at + usize::from(refusal.address_at);
    for block in &refusal.text {
        if !frame.write(at, block) {
            return false;
        }
        at += block.len();
    }
    if refusal.address_at == NO_ADDRESS {
        return true;
    }
    let [a, b, c, d, e] = &answer.address.parts;
    frame.write(address_at, a)
        && frame.write(address_at + 8, b)
        && (before.ends.family == FAMILY_V4
            || frame.write(address_at + 16, c)
                && frame.write(address_at + 24, d)
                && frame.write(address_at + 32, e))
}

/// Where the answer's TCP header without options ends.
#[inline(always)]
fn payload_at<F: Frame>(frame: &F, before: &Before) -> usize {
    let ip = if before.ends.family == FAMILY_V4 {
        ipv4::HEADER_OCTETS
    } else {
        ipv6::HEADER_OCTETS
    };
    usize::from(frame.link_octets(&before.way_back)) + ip + tcp::HEADER_OCTETS
}

/// An address in letters, padded with spaces to the width of its family; zeros behind that.
#[derive(Clone, Copy, Debug, Default)]
struct Address {
    parts: [[u8; 8]; 5],
}

impl Address {
    /// `192.0.2.10`, with no leading zeros: some readers would take them for octal numbers.
    #[inline(never)]
    fn dotted(&mut self, mapped: &[u8; 16]) {
        self.parts = [[b' '; 8], [b' '; 8], [0; 8], [0; 8], [0; 8]];
        let [.., a, b, c, d] = *mapped;
        let mut at = 0;
        for (nth, octet) in [a, b, c, d].into_iter().enumerate() {
            if nth != 0 {
                at = self.put(at, b'.');
            }
            if octet >= 100 {
                at = self.put(at, b'0' + octet / 100);
            }
            if octet >= 10 {
                at = self.put(at, b'0' + octet / 10 % 10);
            }
            at = self.put(at, b'0' + octet % 10);
        }
    }

    /// All eight groups with all their digits (RFC 4291 section 2.2, form 1), and a space.
    #[inline(never)]
    fn colons(&mut self, mapped: &[u8; 16]) {
        let mut at = 0;
        for (nth, octet) in mapped.iter().enumerate() {
            at = self.put(at, digit(octet >> 4));
            at = self.put(at, digit(octet & 0x0f));
            if nth % 2 == 1 {
                at = self.put(at, if nth == 15 { b' ' } else { b':' });
            }
        }
    }

    /// Sum over all of it.
    #[inline(always)]
    fn sum(&self) -> u16 {
        let parts = self.parts.iter();
        let sum = parts.fold(Sum::new(), |sum, part| sum.octets(part));
        !u16::from_be_bytes(sum.checksum())
    }

    #[inline(always)]
    fn put(&mut self, at: usize, letter: u8) -> usize {
        if let Some(place) = self.parts.as_flattened_mut().get_mut(at) {
            *place = letter;
        }
        at + 1
    }
}

#[inline(always)]
const fn digit(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'a' + value - 10
    }
}

/// Room for a client that talks before it is greeted; nothing of it is kept.
pub(crate) const WINDOW: u16 = 1024;
/// The maximum segment size that every path carries (RFC 9293 section 3.7.1).
const MSS: u16 = 536;
const MSS_OPTION_OCTETS: u16 = 4;
const TCP_OCTETS: u16 = 20;
/// Of an IPv4 packet with a TCP header and nothing else.
const SHORTEST_OCTETS: usize = ipv4::HEADER_OCTETS + tcp::HEADER_OCTETS;
const PADDED_OCTETS: usize = 46;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::addr::Addr;

    fn rendered(addr: Addr) -> Vec<u8> {
        let mut address = Address { parts: [[7; 8]; 5] };
        match addr {
            Addr::V4(_) => address.dotted(&addr.mapped()),
            Addr::V6(_) => address.colons(&addr.mapped()),
        }
        address.parts.as_flattened().to_vec()
    }

    proptest! {
        #[test]
        fn ipv4_is_written_as_people_do(octets: [u8; 4]) {
            let text = Ipv4Addr::from(octets).to_string();
            let expected = format!("{text:16}{}", "\0".repeat(24));
            prop_assert_eq!(rendered(Addr::V4(octets)), expected.into_bytes());
        }

        #[test]
        fn ipv6_is_written_whole(octets: [u8; 16]) {
            let text = String::from_utf8(rendered(Addr::V6(octets))).unwrap();
            prop_assert_eq!(text.len(), 40);
            prop_assert_eq!(text.trim_end().parse::<Ipv6Addr>(), Ok(octets.into()));
        }
    }
}
