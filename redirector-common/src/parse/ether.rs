//! The Ethernet header, with at most two tags.

use crate::{
    abi::{L2Path, RoleKey},
    frame::Frame,
    rewrite::is_present,
};

/// EtherType of IPv4.
pub const IPV4_BE: [u8; 2] = [0x08, 0x00];
/// EtherType of IPv6.
pub const IPV6_BE: [u8; 2] = [0x86, 0xdd];
/// Octets of an untagged header.
pub const HEADER_OCTETS: usize = 14;
/// Octets of one tag.
pub const TAG_OCTETS: usize = 4;
/// Octets of a header with no, one and two tags.
pub const LINK_OCTETS: [u16; 3] = [14, 18, 22];
/// Offset of the outer tag, or of the EtherType if there is none.
pub const TAGS_AT: usize = 12;

/// What an Ethernet header leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Type of the packet.
    pub ethertype_be: [u8; 2],
    /// Octets of the header with the tags that are among the frame's octets, which is where the packet
    /// starts.
    pub octets: u16,
}

/// Reads the header as far as every frame needs it; `None` if the frame is too short.
#[inline(always)]
pub fn link<F: Frame>(frame: &F) -> Option<Link> {
    let [.., t0, t1] = frame.read::<HEADER_OCTETS>(0)?;
    if !is_tag([t0, t1]) {
        return Some(Link {
            ethertype_be: [t0, t1],
            octets: LINK_OCTETS[0],
        });
    }
    let [_, _, t0, t1] = frame.read::<TAG_OCTETS>(HEADER_OCTETS)?;
    if !is_tag([t0, t1]) || is_present(frame.tag_beside()) {
        return Some(Link {
            ethertype_be: [t0, t1],
            octets: LINK_OCTETS[1],
        });
    }
    // A third tag is left as the EtherType: see [`beneath`].
    let [_, _, t0, t1] = frame.read::<TAG_OCTETS>(HEADER_OCTETS + TAG_OCTETS)?;
    Some(Link {
        ethertype_be: [t0, t1],
        octets: LINK_OCTETS[2],
    })
}

/// Reads the rest of a header that [`link`] has read: from whom to whom, by which tags. Written as
/// the way back to the sender; the interface is the caller's. `false` = it is too short.
#[inline(always)]
pub fn way_back<F: Frame>(frame: &F, link: Link, path: &mut L2Path) -> bool {
    let Some(own_mac) = frame.read::<6>(0) else {
        return false;
    };
    path.own_mac = own_mac;
    let Some(peer_mac) = frame.read::<6>(6) else {
        return false;
    };
    path.peer_mac = peer_mac;
    let Some(tags) = tags(frame, link) else {
        return false;
    };
    path.tags = tags;
    true
}

/// Key of the role of whatever stands behind the tags that [`link`] follows.
#[inline(always)]
pub fn role_key<F: Frame>(frame: &F, link: Link, ifindex: u32) -> Option<RoleKey> {
    let [outer, inner] = tags(frame, link)?;
    let mut key = RoleKey {
        ifindex,
        ..RoleKey::default()
    };
    enter(&mut key, outer);
    enter(&mut key, inner);
    Some(key)
}

/// The same of a frame whose tags are more than that.
#[inline(always)]
pub fn deep_role_key<F: Frame>(frame: &F, ifindex: u32) -> Option<RoleKey> {
    let mut key = RoleKey {
        ifindex,
        ..RoleKey::default()
    };
    enter(&mut key, frame.tag_beside());
    let mut at = TAGS_AT;
    for _ in 0..2 + DEEP_TAGS {
        let tag = frame.read::<TAG_OCTETS>(at)?;
        if !is_tag([tag[0], tag[1]]) {
            break;
        }
        enter(&mut key, tag);
        at += TAG_OCTETS;
    }
    Some(key)
}

/// What is beneath the tags that [`link`] has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beneath {
    /// A packet, and where it starts.
    Packet(Link),
    /// Nothing: the frame ends first.
    Nothing,
    /// Still more tags.
    Tags,
}

/// Follows the tags behind the second one. Outgate sends nothing on from there, but Linux takes any number of
/// priority tags off a frame and routes what is beneath, so whoever is flagged must not hide there.
#[inline(always)]
pub fn beneath<F: Frame>(frame: &F, mut link: Link) -> Beneath {
    for _ in 0..DEEP_TAGS {
        let Some([_, _, t0, t1]) = frame.read::<TAG_OCTETS>(usize::from(link.octets)) else {
            return Beneath::Nothing;
        };
        link.octets += DEEPER;
        link.ethertype_be = [t0, t1];
        if !is_tag(link.ethertype_be) {
            return Beneath::Packet(link);
        }
    }
    Beneath::Tags
}

/// Whether more than one station was meant. No router forwards such a frame.
#[inline(always)]
#[must_use]
pub const fn is_group([first, ..]: [u8; 6]) -> bool {
    first & 1 != 0
}

#[inline(always)]
fn tags<F: Frame>(frame: &F, link: Link) -> Option<[[u8; 4]; 2]> {
    let mut tags = [[0; 4]; 2];
    let beside = frame.tag_beside();
    if is_present(beside) {
        tags[0] = beside;
        if link.octets >= LINK_OCTETS[1] {
            tags[1] = frame.read::<TAG_OCTETS>(TAGS_AT)?;
        }
        return Some(tags);
    }
    if link.octets >= LINK_OCTETS[1] {
        tags[0] = frame.read::<TAG_OCTETS>(TAGS_AT)?;
    }
    if link.octets >= LINK_OCTETS[2] {
        tags[1] = frame.read::<TAG_OCTETS>(TAGS_AT + TAG_OCTETS)?;
    }
    Some(tags)
}

/// Notes the VLAN of one more tag. A tag without one is about priority alone: whoever takes it off goes by the
/// next (IEEE 802.1Q section 9.6; Linux since 5.3), so it is no way around a role.
#[inline(always)]
const fn enter(key: &mut RoleKey, tag: [u8; 4]) {
    if key.outer == 0 {
        key.outer = vlan(tag);
    } else if key.inner == 0 {
        key.inner = vlan(tag);
    }
}

/// IEEE 802.1Q C-TAG, or 802.1ad S-TAG.
#[inline(always)]
pub(super) const fn is_tag(ethertype_be: [u8; 2]) -> bool {
    matches!(ethertype_be, [0x81, 0x00] | [0x88, 0xa8])
}

/// VLAN identifier: the low 12 bits of the TCI.
#[inline(always)]
const fn vlan([_, _, high, low]: [u8; 4]) -> u16 {
    u16::from_be_bytes([high, low]) & 0x0fff
}

/// Tags behind the second one that are followed, at most.
pub const DEEP_TAGS: usize = 4;
/// [`TAG_OCTETS`] of a [`Link`].
const DEEPER: u16 = 4;
