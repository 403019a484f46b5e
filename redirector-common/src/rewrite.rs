//! Rewriting one frame: another address at one end, other ports, one hop fewer, another Ethernet
//! header; or, steered, the last two alone. All checksums follow by what changed, so a wrong one stays wrong and a right one right.

pub(crate) mod quoted;
pub(crate) mod tunnel;

use crate::{
    abi::L2Path,
    addr::FAMILY_V4,
    checksum::Difference,
    frame::Frame,
    parse::{
        Ends, Segment,
        ether::{self, IPV4_BE, IPV6_BE, LINK_OCTETS, Link, TAG_OCTETS, TAGS_AT},
        ipv4, ipv6, tcp,
    },
};

/// What was read from a frame. Plain integers throughout, as is [`Rewrite`], so that both may live in
/// a map's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    /// The way back to the sender, of this frame.
    pub(crate) way_back: L2Path,
    pub(crate) link: Link,
    pub(crate) segment: Segment,
    pub(crate) ends: Ends,
    /// 1 if all was there, as [`Before::read`] has answered. Whoever looks at that behind another call looks here: of
    /// an answer that is kept in a register over a call, Linux 6.1's verifier follows one value, and cuts off what
    /// only the other one leads to.
    pub(crate) whole: u8,
}

impl Before {
    /// Reads what is left to read. Out of line: so many octets at once are more than a BPF stack
    /// holds.
    #[inline(never)]
    pub(crate) fn read<F: Frame>(&mut self, frame: &F, ifindex: u32) -> bool {
        self.way_back.ifindex = ifindex;
        let whole = self.ends.read(frame, self.link)
            && ether::way_back(frame, self.link, &mut self.way_back);
        self.whole = u8::from(whole);
        whole
    }

    /// Reads the way back alone, but for its interface, which is there already.
    #[inline(never)]
    pub(crate) fn read_way_back<F: Frame>(&mut self, frame: &F) -> bool {
        ether::way_back(frame, self.link, &mut self.way_back)
    }
}

/// What a frame becomes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rewrite {
    pub(crate) path: L2Path,
    /// [`crate::addr::Addr::mapped`], of the packet's family.
    pub(crate) addr: [u8; 16],
    pub(crate) source_port_be: [u8; 2],
    pub(crate) destination_port_be: [u8; 2],
}

/// Which end of the packet gets another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// Rewrites the frame that `before` was read from; its hop limit must be above one. `false` = it
/// could not be done; the frame is then fit for nothing but a drop.
#[inline(always)]
pub(crate) fn apply<F: Frame>(frame: &mut F, before: &Before, rewrite: &Rewrite, end: End) -> bool {
    new_link(frame, before, &rewrite.path) && translate(frame, before, rewrite, end)
}

/// Rewrites what is behind the Ethernet header, which has been replaced. Out of line, as that is, one after the
/// other: together they are half of a BPF stack.
#[inline(never)]
fn translate<F: Frame>(frame: &mut F, before: &Before, rewrite: &Rewrite, end: End) -> bool {
    let Before {
        link,
        segment,
        ends,
        ..
    } = before;
    let octets = frame.link_octets(&rewrite.path);
    let l3 = usize::from(octets);
    let l4 = usize::from((segment.l4 + octets).wrapping_sub(link.octets));
    let (old, at4, at6) = match end {
        End::Source => (&ends.source, ipv4::SOURCE_AT, ipv6::SOURCE_AT),
        End::Destination => (
            &ends.destination,
            ipv4::DESTINATION_AT,
            ipv6::DESTINATION_AT,
        ),
    };
    // The equal first parts of two mapped IPv4 addresses change no checksum.
    let address = Difference::none().octets(old, &rewrite.addr);
    let ports = Difference::none()
        .word(segment.source_port_be, rewrite.source_port_be)
        .word(segment.destination_port_be, rewrite.destination_port_be);
    let hops = segment.hop_limit.wrapping_sub(1);

    let v4 = ends.family == FAMILY_V4;
    let ip = if v4 {
        let [.., a, b, c, d] = rewrite.addr;
        let hop = address.word([segment.hop_limit, tcp::PROTOCOL], [hops, tcp::PROTOCOL]);
        frame.write(l3 + ipv4::TTL_AT, &[hops])
            && frame.write(l3 + at4, &[a, b, c, d])
            && frame.change_header_checksum(l3 + ipv4::CHECKSUM_AT, hop)
    } else {
        frame.packet_changed(address.and(hop_alone(segment.hop_limit)));
        frame.write(l3 + ipv6::HOP_LIMIT_AT, &[hops]) && frame.write(l3 + at6, &rewrite.addr)
    };
    ip && frame.write(l4, &rewrite.source_port_be)
        && frame.write(l4 + tcp::DESTINATION_PORT_AT, &rewrite.destination_port_be)
        && frame.change_checksum(l4 + tcp::CHECKSUM_AT, address, ports)
}

/// Changes the Ethernet header and takes one hop off, and nothing else: what an octet behind the IP header
/// says stays, a wrong checksum with it. The hop limit must be above one. `false` as in [`apply`].
#[inline(always)]
pub(crate) fn steer<F: Frame>(frame: &mut F, before: &Before, path: &L2Path) -> bool {
    new_link(frame, before, path) && take_hop(frame, before, path)
}

/// Replaces the Ethernet header.
#[inline(never)]
fn new_link<F: Frame>(frame: &mut F, before: &Before, path: &L2Path) -> bool {
    let ethertype_be = if before.ends.family == FAMILY_V4 {
        IPV4_BE
    } else {
        IPV6_BE
    };
    frame.replace_link(&before.link, path, ethertype_be)
}

/// Takes one hop off a frame whose Ethernet header has been replaced.
#[inline(never)]
fn take_hop<F: Frame>(frame: &mut F, before: &Before, path: &L2Path) -> bool {
    let Before { segment, ends, .. } = before;
    let l3 = usize::from(frame.link_octets(path));
    let hops = segment.hop_limit.wrapping_sub(1);
    if ends.family == FAMILY_V4 {
        let hop =
            Difference::none().word([segment.hop_limit, tcp::PROTOCOL], [hops, tcp::PROTOCOL]);
        frame.write(l3 + ipv4::TTL_AT, &[hops])
            && frame.change_header_checksum(l3 + ipv4::CHECKSUM_AT, hop)
    } else {
        frame.packet_changed(hop_alone(segment.hop_limit));
        frame.write(l3 + ipv6::HOP_LIMIT_AT, &[hops])
    }
}

/// One hop fewer in an IPv6 header, where it is the second octet of its word.
#[inline(always)]
fn hop_alone(limit: u8) -> Difference {
    Difference::none().word([0, limit], [0, limit.wrapping_sub(1)])
}

/// Octets of the Ethernet header of a path.
#[inline(always)]
pub(crate) const fn path_octets(path: &L2Path) -> u16 {
    let [outer, inner] = path.tags;
    if !is_present(outer) {
        LINK_OCTETS[0]
    } else if !is_present(inner) {
        LINK_OCTETS[1]
    } else {
        LINK_OCTETS[2]
    }
}

/// Moves the head of the frame so that the path's Ethernet header fits, and writes it.
#[inline(always)]
pub(crate) fn replace_link<F: Frame>(
    frame: &mut F,
    link: &Link,
    path: &L2Path,
    ethertype: [u8; 2],
) -> bool {
    let octets = path_octets(path);
    let by = i32::from(octets) - i32::from(link.octets);
    if by != 0 && !frame.grow_head(by) {
        return false;
    }
    write_link(frame, path, ethertype)
}

/// Takes `octets` octets behind the Ethernet header out, and says that what follows is of that EtherType.
#[inline(always)]
pub(crate) fn cut_out<F: Frame>(
    frame: &mut F,
    link: &Link,
    ethertype: [u8; 2],
    octets: u16,
) -> bool {
    let mut path = L2Path::default();
    if !ether::way_back(frame, *link, &mut path) || !frame.grow_head(-i32::from(octets)) {
        return false;
    }
    // It came to us, and still does.
    (path.peer_mac, path.own_mac) = (path.own_mac, path.peer_mac);
    write_link(frame, &path, ethertype)
}

/// Makes the frame so long; its content is of no interest any more. Where the driver has put no room
/// behind a short frame, as veth does, there is some in front of it.
#[inline(always)]
pub(crate) fn lengthen<F: Frame>(frame: &mut F, octets: usize) -> bool {
    if frame.resize(octets) {
        return true;
    }
    let missing = octets.checked_sub(frame.octets());
    let missing = missing.and_then(|missing| i32::try_from(missing).ok());
    missing.is_some_and(|missing| frame.grow_head(missing))
}

/// Writes the Ethernet header of a path.
#[inline(always)]
pub(crate) fn write_link<F: Frame>(frame: &mut F, path: &L2Path, ethertype: [u8; 2]) -> bool {
    let octets = path_octets(path);
    let [d0, d1, d2, d3, d4, d5] = path.peer_mac;
    let [s0, s1, s2, s3, s4, s5] = path.own_mac;
    let [outer, inner] = path.tags;
    let type_at = usize::from(octets) - TYPE_OCTETS;
    frame.write(0, &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5])
        && (!is_present(outer) || frame.write(TAGS_AT, &outer))
        && (!is_present(inner)
            || type_at < TAGS_AT + 2 * TAG_OCTETS
            || frame.write(TAGS_AT + TAG_OCTETS, &inner))
        && frame.write(type_at, &ethertype)
}

/// Whether these are the octets of a tag.
#[inline(always)]
pub(crate) const fn is_present([high, low, _, _]: [u8; 4]) -> bool {
    high != 0 || low != 0
}

const TYPE_OCTETS: usize = 2;
