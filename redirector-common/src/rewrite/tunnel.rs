//! Putting a packet into a tunnel: one hop fewer, another Ethernet header, and an IP header between the two.

use super::Before;
use crate::{
    abi::{L2Path, Tunnel},
    addr::FAMILY_V4,
    checksum::Difference,
    frame::Frame,
    parse::{
        ether::{IPV4_BE, IPV6_BE},
        ipv4, ipv6,
    },
    tunnel::outer::{IPV4_INSIDE, Inner, OCTETS_V4, OCTETS_V6},
};

/// What the header outside is made of. Plain integers throughout: it lives in a map's memory, and goes to functions
/// as one, which have room for five numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Envelope {
    /// The tunnel.
    pub(crate) tunnel: Tunnel,
    /// The packet inside. The tunnel is one of those whose far end heeds what it says about congestion (RFC 6040 section
    /// 4.1, normal mode).
    pub(crate) inner: Inner,
    /// From the frame's start to the packet inside.
    pub(crate) l3: u16,
}

/// Makes room for the tunnel's header in the frame that `before` was read from, behind the Ethernet header of `path`.
/// `false` = it could not be done; the frame is then fit for nothing but a drop.
#[inline(never)]
pub(crate) fn make_room<F: Frame>(
    frame: &mut F,
    before: &Before,
    path: &L2Path,
    envelope: &mut Envelope,
) -> bool {
    let (ethertype_be, octets) = if envelope.tunnel.family == FAMILY_V4 {
        (IPV4_BE, OUTER4_OCTETS)
    } else {
        (IPV6_BE, OUTER6_OCTETS)
    };
    envelope.l3 = frame.link_octets(path) + octets;
    frame.make_room(&before.link, path, ethertype_be, octets)
}

/// Takes a hop off the packet, which must have more than one, and writes the tunnel's header. `false` as before.
#[inline(always)]
pub(crate) fn finish<F: Frame>(frame: &mut F, before: &Before, envelope: &Envelope) -> bool {
    take_hop(frame, before, envelope) && header(frame, envelope)
}

/// Takes a hop off. By words, because at an offset that the verifier does not know it sees no bound of a single octet.
#[inline(never)]
fn take_hop<F: Frame>(frame: &mut F, before: &Before, envelope: &Envelope) -> bool {
    let l3 = usize::from(envelope.l3);
    let hops = before.segment.hop_limit.wrapping_sub(1);
    if envelope.inner.protocol == IPV4_INSIDE {
        let Some(old) = frame.read::<2>(l3 + ipv4::TTL_AT) else {
            return false;
        };
        let new = [hops, old[1]];
        frame.write(l3 + ipv4::TTL_AT, &new)
            && frame
                .change_header_checksum(l3 + ipv4::CHECKSUM_AT, Difference::none().word(old, new))
    } else {
        let at = l3 + ipv6::HOP_LIMIT_AT - 1;
        let Some(old) = frame.read::<2>(at) else {
            return false;
        };
        let new = [old[0], hops];
        frame.packet_changed(Difference::none().word(old, new));
        frame.write(at, &new)
    }
}

/// Writes the header in front of the packet. One after the other out of line, as everywhere: the stack.
#[inline(never)]
fn header<F: Frame>(frame: &mut F, envelope: &Envelope) -> bool {
    let Envelope { tunnel, inner, l3 } = envelope;
    if tunnel.family == FAMILY_V4 {
        let [.., s0, s1, s2, s3] = tunnel.near;
        let [.., d0, d1, d2, d3] = tunnel.far;
        inner
            .within_v4([s0, s1, s2, s3], [d0, d1, d2, d3])
            .is_some_and(|header| frame.write(l3.wrapping_sub(OUTER4_OCTETS).into(), &header))
    } else {
        let l3 = usize::from(l3.wrapping_sub(OUTER6_OCTETS));
        let start = inner.start_v6();
        // What is new in a packet that a network card has summed; over the header of IPv4 the sum is zero.
        let added = Difference::none().octets(&[0; 8], &start);
        let added = added.octets(&[0; 16], &tunnel.near);
        frame.packet_changed(added.octets(&[0; 16], &tunnel.far));
        frame.write(l3, &start)
            && frame.write(l3 + ipv6::SOURCE_AT, &tunnel.near)
            && frame.write(l3 + ipv6::DESTINATION_AT, &tunnel.far)
    }
}

/// Octets of a header outside, by its family.
const OUTER4_OCTETS: u16 = 20;
const OUTER6_OCTETS: u16 = 40;
const _: () = assert!(OUTER4_OCTETS as usize == OCTETS_V4);
const _: () = assert!(OUTER6_OCTETS as usize == OCTETS_V6);
