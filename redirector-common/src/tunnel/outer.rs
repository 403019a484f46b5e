//! The outer header: written from what it carries, and read where it is plain.
//!
//! Plain is what a tunnel's end writes: no options, no extension headers, one piece, lengths that agree, and no tunnel
//! inside. Whatever else says that it carries IP is [`Outer::Odd`]: it may be anybody's, and is left to the kernel.

use crate::{
    checksum::Sum,
    frame::Frame,
    parse::{
        ether::{IPV4_BE, IPV6_BE, Link},
        ipv4, ipv6,
    },
};

/// Octets of an outer IPv4 header.
pub const OCTETS_V4: usize = ipv4::HEADER_OCTETS;
/// Octets of an outer IPv6 header.
pub const OCTETS_V6: usize = ipv6::HEADER_OCTETS;
/// Protocol number of IPv4 inside of either family (RFC 2003, RFC 2473).
pub const IPV4_INSIDE: u8 = 4;
/// Protocol number of IPv6 inside of either family (RFC 4213, RFC 2473).
pub const IPV6_INSIDE: u8 = 41;
/// Hop limit that an outer header begins with.
pub const HOP_LIMIT: u8 = 64;

/// What an outer header says of the packet inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inner {
    /// [`IPV4_INSIDE`] or [`IPV6_INSIDE`].
    pub protocol: u8,
    /// TOS or traffic class.
    pub class: u8,
    /// Octets of the packet, its header with it.
    pub octets: u16,
}

impl Inner {
    /// Reads them from a packet that is to go into a tunnel; `None` = it is no IP packet that says how long it is.
    #[inline(always)]
    #[must_use]
    pub fn read<F: Frame>(frame: &F, link: Link) -> Option<Self> {
        let l3 = usize::from(link.octets);
        let [first, second, a, b, c, d, ..] = frame.read::<8>(l3)?;
        match (link.ethertype_be, first >> 4) {
            (IPV4_BE, 4) => Some(Self {
                protocol: IPV4_INSIDE,
                class: second,
                octets: u16::from_be_bytes([a, b]),
            }),
            (IPV6_BE, 6) => Some(Self {
                protocol: IPV6_INSIDE,
                class: class_v6(first, second),
                // A jumbogram (RFC 2675), or several segments with more than 64 KiB, has no length here.
                octets: match u16::from_be_bytes([c, d]) {
                    0 => return None,
                    payload => payload.checked_add(OCTETS_V6_SHORT)?,
                },
            }),
            _ => None,
        }
        .filter(|inner| inner.octets != 0)
    }

    /// An outer IPv4 header around it; `None` = both together are more than its length can say.
    ///
    /// It is never to be fragmented, so its identification means nothing and is zero (RFC 6864 section 4.1). Class and
    /// ECN are copied (RFC 6040 section 4.1, normal mode).
    #[inline(always)]
    #[must_use]
    pub fn within_v4(&self, local: [u8; 4], remote: [u8; 4]) -> Option<[u8; OCTETS_V4]> {
        let [l0, l1] = self.octets.checked_add(OCTETS_V4_SHORT)?.to_be_bytes();
        let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (local, remote);
        let header = |[c0, c1]: [u8; 2]| {
            let (class, protocol) = (self.class, self.protocol);
            let [f0, f1] = DONT_FRAGMENT;
            [
                0x45, class, l0, l1, 0, 0, f0, f1, HOP_LIMIT, protocol, c0, c1, s0, s1, s2, s3, d0,
                d1, d2, d3,
            ]
        };
        let checksum = Sum::new().octets(&header([0; 2])).checksum();
        Some(header(checksum))
    }

    /// An outer IPv6 header around it.
    #[inline(always)]
    #[must_use]
    pub const fn within_v6(&self, local: &[u8; 16], remote: &[u8; 16]) -> [u8; OCTETS_V6] {
        let [h0, h1, h2, h3, h4, h5, h6, h7] = self.start_v6();
        let [
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7,
            s8,
            s9,
            sa,
            sb,
            sc,
            sd,
            se,
            sf,
        ] = *local;
        let [
            d0,
            d1,
            d2,
            d3,
            d4,
            d5,
            d6,
            d7,
            d8,
            d9,
            da,
            db,
            dc,
            dd,
            de,
            df,
        ] = *remote;
        [
            h0, h1, h2, h3, h4, h5, h6, h7, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd,
            se, sf, d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, da, db, dc, dd, de, df,
        ]
    }

    /// What an outer IPv6 header has before its addresses. Its flow label is zero: few tunnels and many connections in
    /// each.
    #[inline(always)]
    #[must_use]
    pub const fn start_v6(&self) -> [u8; ipv6::SOURCE_AT] {
        // As one number: octet by octet it would be written at places that the verifier does not like.
        let start = 0x6 << 60
            | (self.class as u64) << 52
            | (self.octets as u64) << 16
            | (self.protocol as u64) << 8
            | HOP_LIMIT as u64;
        start.to_be_bytes()
    }
}

/// What a packet is, as somebody looks at it who ends tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// It carries another one, and nothing is odd about it.
    Plain(Plain),
    /// It says that it carries another one, and is not as our tunnels' ends write them.
    Odd,
    /// It is something else.
    None,
}

/// What is to be taken off a packet. Whose it is says [`crate::parse::Ends::read`] with the same link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Octets of the outer header.
    pub octets: u16,
    /// EtherType of the packet inside.
    pub ethertype_be: [u8; 2],
    /// TOS or traffic class of the outer header.
    pub class: u8,
    /// The same of the inner one.
    pub inner_class: u8,
}

impl Outer {
    /// Reads the packet behind an Ethernet header.
    #[inline(always)]
    #[must_use]
    pub fn read<F: Frame>(frame: &F, link: Link) -> Self {
        match link.ethertype_be {
            IPV4_BE => Self::read_v4(frame, link),
            IPV6_BE => Self::read_v6(frame, link),
            _ => Self::None,
        }
    }

    #[inline(always)]
    fn read_v4<F: Frame>(frame: &F, link: Link) -> Self {
        let l3 = usize::from(link.octets);
        let Some(header) = frame.read::<OCTETS_V4>(l3) else {
            return Self::None;
        };
        let [first, class, l0, l1, _, _, f0, f1, _, protocol, ..] = header;
        let Some(ethertype_be) = inside(protocol) else {
            return Self::None;
        };
        // A router may have let a damaged header through; whoever the packet is for must not (RFC 1122 section
        // 3.2.1.2), and its addresses are what we go by.
        if first != IPV4_WITHOUT_OPTIONS
            || u16::from_be_bytes([f0, f1]) & ipv4::IS_PART != 0
            || Sum::new().octets(&header).checksum() != [0; 2]
        {
            return Self::Odd;
        }
        match u16::from_be_bytes([l0, l1]).checked_sub(OCTETS_V4_SHORT) {
            Some(payload) => Self::of(frame, l3 + OCTETS_V4, ethertype_be, payload).map_or(
                Self::Odd,
                |inner_class| {
                    Self::Plain(Plain {
                        octets: OCTETS_V4_SHORT,
                        ethertype_be,
                        class,
                        inner_class,
                    })
                },
            ),
            None => Self::Odd,
        }
    }

    #[inline(always)]
    fn read_v6<F: Frame>(frame: &F, link: Link) -> Self {
        let l3 = usize::from(link.octets);
        let Some([first, second, _, _, l0, l1, protocol, ..]) = frame.read::<OCTETS_V6>(l3) else {
            return Self::None;
        };
        let Some(ethertype_be) = inside(protocol) else {
            return Self::None;
        };
        if first >> 4 != 6 {
            return Self::Odd;
        }
        let payload = u16::from_be_bytes([l0, l1]);
        Self::of(frame, l3 + OCTETS_V6, ethertype_be, payload).map_or(Self::Odd, |inner_class| {
            Self::Plain(Plain {
                octets: OCTETS_V6_SHORT,
                ethertype_be,
                class: class_v6(first, second),
                inner_class,
            })
        })
    }

    /// Class of the packet at `at`, if it is of that family, as long as the outer header says, whole in the frame, and
    /// carries no packet itself.
    #[inline(always)]
    fn of<F: Frame>(frame: &F, at: usize, ethertype_be: [u8; 2], octets: u16) -> Option<u8> {
        if at + usize::from(octets) > frame.octets() {
            return None;
        }
        let (class, length, protocol) = if ethertype_be == IPV4_BE {
            let [first, class, l0, l1, _, _, _, _, _, protocol, ..] =
                frame.read::<{ ipv4::HEADER_OCTETS }>(at)?;
            if first >> 4 != 4 || first & 0x0f < 5 {
                return None;
            }
            (class, u16::from_be_bytes([l0, l1]), protocol)
        } else {
            let [first, second, _, _, l0, l1, protocol, ..] =
                frame.read::<{ ipv6::HEADER_OCTETS }>(at)?;
            if first >> 4 != 6 {
                return None;
            }
            let length = u16::from_be_bytes([l0, l1]).checked_add(OCTETS_V6_SHORT)?;
            (class_v6(first, second), length, protocol)
        };
        (length == octets && !is_carried(protocol)).then_some(class)
    }
}

/// Whether this protocol is a packet.
#[inline(always)]
#[must_use]
pub const fn is_carried(protocol: u8) -> bool {
    matches!(protocol, IPV4_INSIDE | IPV6_INSIDE)
}

/// EtherType of what a protocol number says to be inside.
#[inline(always)]
const fn inside(protocol: u8) -> Option<[u8; 2]> {
    match protocol {
        IPV4_INSIDE => Some(IPV4_BE),
        IPV6_INSIDE => Some(IPV6_BE),
        _ => None,
    }
}

/// Traffic class, which lies across the first two octets.
#[inline(always)]
const fn class_v6(first: u8, second: u8) -> u8 {
    first << 4 | second >> 4
}

/// Version 4, and five words of header.
const IPV4_WITHOUT_OPTIONS: u8 = 0x45;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0x00];
const OCTETS_V4_SHORT: u16 = 20;
const OCTETS_V6_SHORT: u16 = 40;
const _: () = assert!(OCTETS_V4_SHORT as usize == OCTETS_V4);
const _: () = assert!(OCTETS_V6_SHORT as usize == OCTETS_V6);
