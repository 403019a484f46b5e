//! The octets of a frame in tc, and what an `skb` keeps beside them.
//!
//! At the ingress hook the kernel has taken the outer tag off the octets; it stands in the `skb` and goes
//! back on where the frame leaves. Octets may lie out of a window's reach until they are pulled, a frame
//! may be several segments merged into one, and its TCP checksum may still have to be computed
//! (`CHECKSUM_PARTIAL`: the host's own frames, a guest's by virtio, merged ones) or have been summed by
//! the network card (`CHECKSUM_COMPLETE`). So all writing goes through the helpers that know all that.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
        BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_PSEUDO_HDR, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::{
        bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_proto, bpf_skb_change_tail,
        bpf_skb_load_bytes, bpf_skb_vlan_pop, bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use redirector_common::{
    abi::L2Path,
    checksum::Difference,
    frame::Frame,
    parse::{
        ether::{self, IPV4_BE, LINK_OCTETS, Link, TAG_OCTETS},
        tcp,
    },
};

use crate::{
    capture::{self, Shown},
    octets::{Skb, is_tag, word},
};

/// One frame, as the kernel's stack hands it over.
pub(crate) struct SkbFrame {
    octets: Skb,
}

impl SkbFrame {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self {
            octets: Skb::new(context),
        }
    }
}

/// The tag beside the octets is not shown.
impl Shown for SkbFrame {
    #[inline(always)]
    fn wire_octets(&self) -> u64 {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        u64::from(unsafe { (*self.octets.0).len })
    }

    #[inline(always)]
    fn load(&self, into: *mut c_void, octets: u32) -> bool {
        // SAFETY: the context is valid, and whoever asks has room for so many octets.
        unsafe { bpf_skb_load_bytes(self.octets.0.cast(), 0, into, octets) == 0 }
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.octets.ifindex()
    }
}

impl Frame for SkbFrame {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.octets.read(at)
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, at: usize, octets: &[u8; N]) -> bool {
        self.octets.write(at, octets)
    }

    #[inline(always)]
    fn octets(&self) -> usize {
        self.octets.octets()
    }

    #[inline(always)]
    fn grow_head(&mut self, by: i32) -> bool {
        self.octets.grow_head(by)
    }

    #[inline(always)]
    fn about_to_change(&mut self) {
        capture::keep(self);
    }

    #[inline(always)]
    fn about_to_pass(&mut self) {
        capture::forget();
    }

    #[inline(always)]
    fn resize(&mut self, octets: usize) -> bool {
        self.octets.resize(octets)
    }

    #[inline(always)]
    fn reach(&self, octets: usize) {
        self.octets.reach(octets);
    }

    #[inline(always)]
    fn tag_beside(&self) -> [u8; 4] {
        self.octets.tag_beside()
    }

    #[inline(always)]
    fn link_octets(&self, path: &L2Path) -> u16 {
        let [_, inner] = path.tags;
        if is_tag(inner) {
            LINK_OCTETS[1]
        } else {
            LINK_OCTETS[0]
        }
    }

    #[inline(always)]
    fn replace_link(&mut self, link: &Link, path: &L2Path, _ethertype_be: [u8; 2]) -> bool {
        let count = self.tags(link);
        take_tags(self.octets.0, count) && self.put_link(path)
    }

    #[inline(always)]
    fn piece_octets(&self) -> usize {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        unsafe { (*self.octets.0).gso_size as usize }
    }

    #[inline(always)]
    fn make_room(
        &mut self,
        link: &Link,
        path: &L2Path,
        ethertype_be: [u8; 2],
        octets: u16,
    ) -> bool {
        let count = self.tags(link);
        take_tags(self.octets.0, count)
            && grow(self.octets.0, octets.into(), ethertype_be == IPV4_BE)
            && self.write(ETHERTYPE_AT, &ethertype_be)
            && self.put_link(path)
    }

    #[inline(always)]
    fn take_room(&mut self, link: &Link, ethertype_be: [u8; 2], octets: u16) -> bool {
        let old_ethertype_be = link.ethertype_be;
        if link.octets == LINK_OCTETS[0] {
            return shrink(self.octets.0, octets.into(), old_ethertype_be, ethertype_be)
                && self.write(ETHERTYPE_AT, &ethertype_be);
        }
        // The kernel cuts where the untagged header ends.
        let mut path = L2Path::default();
        if !ether::way_back(self, *link, &mut path) {
            return false;
        }
        let [outer, inner] = path.tags;
        let count = self.tags(link);
        take_tags(self.octets.0, count)
            && shrink(self.octets.0, octets.into(), old_ethertype_be, ethertype_be)
            && self.write(ETHERTYPE_AT, &ethertype_be)
            && put_tag(self.octets.0, inner)
            && put_tag(self.octets.0, outer)
    }

    #[inline(always)]
    fn begin_anew(&mut self, link: &Link, l4: u16, path: &L2Path, octets: usize) -> bool {
        let count = self.tags(link);
        // What is cut out in front reaches from the packet's start to behind the place of the TCP
        // checksum, wherever options and extension headers have put it.
        let checksum_end = usize::from(l4) - usize::from(link.octets) + SPARE_OCTETS;
        let octets = octets - TAG_OCTETS * usize::from(self.link_octets(path) > LINK_OCTETS[0]);
        take_tags(self.octets.0, count)
            && empty(self.octets.0, octets, checksum_end)
            && self.put_link(path)
    }

    #[inline(always)]
    fn change_checksum(&mut self, at: usize, pseudo: Difference, segment: Difference) -> bool {
        let Ok(at) = u32::try_from(at) else {
            return false;
        };
        let pseudo = u64::from(word(pseudo));
        let segment = u64::from(word(segment));
        // The size in the flags is zero: a difference, as `bpf_csum_diff` would give it.
        let flags = u64::from(BPF_F_PSEUDO_HDR);
        // SAFETY: the context is valid, and no window outlives the call.
        let pseudo_done = unsafe { bpf_l4_csum_replace(self.octets.0, at, 0, pseudo, flags) == 0 };
        // SAFETY: as above.
        pseudo_done && unsafe { bpf_l4_csum_replace(self.octets.0, at, 0, segment, 0) == 0 }
    }

    #[inline(always)]
    fn packet_changed(&mut self, difference: Difference) {
        self.octets.packet_changed(difference);
    }
}

impl SkbFrame {
    /// How many tags the frame has, beside its octets and among them.
    #[inline(always)]
    fn tags(&self, link: &Link) -> usize {
        usize::from(is_tag(self.tag_beside()))
            + usize::from(link.octets > LINK_OCTETS[0])
            + usize::from(link.octets > LINK_OCTETS[1])
    }

    /// Makes the untagged Ethernet header that of the path. The EtherType is that of the packet already.
    #[inline(always)]
    fn put_link(&mut self, path: &L2Path) -> bool {
        let [outer, inner] = path.tags;
        self.write(0, &path.peer_mac)
            && self.write(6, &path.own_mac)
            && put_tag(self.octets.0, inner)
            && put_tag(self.octets.0, outer)
    }
}

/// Takes so many tags off.
#[inline(never)]
fn take_tags(skb: *mut __sk_buff, count: usize) -> bool {
    for _ in 0..count.min(2) {
        // SAFETY: the context is valid, and no window outlives the call.
        if unsafe { bpf_skb_vlan_pop(skb) } != 0 {
            return false;
        }
    }
    true
}

/// Puts a tag in front of the others, if it is one. The outer one then stands beside the octets.
#[inline(never)]
fn put_tag(skb: *mut __sk_buff, tag: [u8; 4]) -> bool {
    if !is_tag(tag) {
        return true;
    }
    let [p0, p1, t0, t1] = tag;
    let (protocol, tci) = (u16::from_ne_bytes([p0, p1]), u16::from_be_bytes([t0, t1]));
    // SAFETY: the context is valid, and no window outlives the call.
    unsafe { bpf_skb_vlan_push(skb, protocol, tci) == 0 }
}

/// Leaves an untagged Ethernet header and what makes `octets` of it, and nothing that was planned for the
/// old content. `checksum_end` is where, in the packet, its TCP checksum ended.
///
/// No helper says that a checksum is not partial any more. But what changes the length unmerges the
/// segments, growing forgets the card's sum, and cutting out what a partial checksum starts in makes the
/// kernel forget that (`skb_postpull_rcsum`).
#[inline(never)]
fn empty(skb: *mut __sk_buff, octets: usize, checksum_end: usize) -> bool {
    let (Ok(cut), Ok(octets)) = (i32::try_from(checksum_end), u32::try_from(octets)) else {
        return false;
    };
    let longer = octets + cut.unsigned_abs();
    // SAFETY: the context is valid, and no window outlives the call.
    if unsafe { bpf_skb_change_tail(skb, longer - 1, 0) } != 0 {
        return false;
    }
    // SAFETY: as above.
    if unsafe { bpf_skb_change_tail(skb, longer, 0) } != 0 {
        return false;
    }
    // SAFETY: as above.
    unsafe { bpf_skb_adjust_room(skb, -cut, BPF_ADJ_ROOM_MAC, 0) == 0 }
}

/// Makes room for `octets` octets of an IP header around the packet of an untagged frame. What was merged stays so: the
/// kernel takes it apart with a header around each piece, each as long as it was.
#[inline(never)]
fn grow(skb: *mut __sk_buff, octets: i32, v4: bool) -> bool {
    let around = if v4 {
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
    } else {
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
    };
    let flags = u64::from(BPF_F_ADJ_ROOM_FIXED_GSO | around);
    // SAFETY: the context is valid, and no window outlives the call.
    unsafe { bpf_skb_adjust_room(skb, octets, BPF_ADJ_ROOM_MAC, flags) == 0 }
}

/// Takes the first `octets` octets of the packet of an untagged frame away.
#[inline(never)]
fn shrink(skb: *mut __sk_buff, mut octets: i32, old_be: [u8; 2], new_be: [u8; 2]) -> bool {
    if old_be != new_be {
        // The flags that say which family is left are only known since Linux 6.3. This exchanges a header of the one
        // family for one of the other, of whatever content.
        // SAFETY: the context is valid, and no window outlives the call.
        if unsafe { bpf_skb_change_proto(skb, u16::from_ne_bytes(new_be), 0) } != 0 {
            return false;
        }
        octets = if new_be == IPV4_BE {
            HEADER4_OCTETS
        } else {
            HEADER6_OCTETS
        };
    }
    let flags = u64::from(BPF_F_ADJ_ROOM_FIXED_GSO);
    // SAFETY: as above.
    unsafe { bpf_skb_adjust_room(skb, -octets, BPF_ADJ_ROOM_MAC, flags) == 0 }
}

/// Of an IP header, by its family.
const HEADER4_OCTETS: i32 = 20;
const HEADER6_OCTETS: i32 = 40;
/// Behind both stations of an untagged frame.
const ETHERTYPE_AT: usize = 12;
/// Of a TCP header up to behind its checksum.
const SPARE_OCTETS: usize = tcp::CHECKSUM_AT + 2;
