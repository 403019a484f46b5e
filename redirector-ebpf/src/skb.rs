//! The octets of a frame in tc, and what an `skb` keeps beside them.
//!
//! At the ingress hook the kernel has taken the outer tag off the octets; it stands in the `skb` and goes
//! back on where the frame leaves. Octets may lie out of a window's reach until they are pulled, a frame
//! may be several segments merged into one, and its TCP checksum may still have to be computed
//! (`CHECKSUM_PARTIAL`: the host's own frames, a guest's by virtio, merged ones) or have been summed by
//! the network card (`CHECKSUM_COMPLETE`). So all writing goes through the helpers that know all that.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    EbpfContext,
    bindings::{__sk_buff, BPF_F_PSEUDO_HDR, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC},
    helpers::generated::{
        bpf_csum_update, bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_tail,
        bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_store_bytes, bpf_skb_vlan_pop,
        bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use redirector_common::{
    abi::L2Path,
    checksum::Difference,
    frame::Frame,
    parse::{
        ether::{LINK_OCTETS, Link, TAG_OCTETS},
        tcp,
    },
};

use crate::{
    capture::{self, Shown},
    machine,
    window::window,
};

/// One frame, as the kernel's stack hands it over.
pub(crate) struct SkbFrame {
    skb: *mut __sk_buff,
}

impl SkbFrame {
    /// Takes the frame up, with all headers that are not unusually long in reach.
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        let frame = Self {
            skb: context.as_ptr().cast(),
        };
        frame.reach(USUAL_HEADERS_OCTETS);
        frame
    }

    /// Octets of the whole frame, without the tag beside it.
    #[inline(always)]
    fn len(&self) -> usize {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let len = unsafe { &raw const (*self.skb).len };
        // SAFETY: the field is valid and aligned; what changes the length changes it behind LLVM's back.
        unsafe { ptr::read_volatile(len) as usize }
    }

    /// First octet and the octet after the last in reach, read anew for every window, because what
    /// writes ends all older pointers.
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let context = unsafe { &*self.skb };
        // SAFETY: a reference to a field is valid and aligned.
        let data = unsafe { ptr::read_volatile(&raw const context.data) };
        // SAFETY: as above.
        let end = unsafe { ptr::read_volatile(&raw const context.data_end) };
        (data as usize, end as usize)
    }
}

/// The tag beside the octets is not shown.
impl Shown for SkbFrame {
    #[inline(always)]
    fn wire_octets(&self) -> u64 {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        u64::from(unsafe { (*self.skb).len })
    }

    #[inline(always)]
    fn load(&self, into: *mut c_void, octets: u32) -> bool {
        // SAFETY: the context is valid, and whoever asks has room for so many octets.
        unsafe { bpf_skb_load_bytes(self.skb.cast(), 0, into, octets) == 0 }
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        unsafe { (*self.skb).ifindex }
    }
}

impl Frame for SkbFrame {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let window = window::<N>(at, || self.bounds())?;
        // SAFETY: `at..at + N` was just proved to lie inside the frame, and `[u8; N]` has alignment 1.
        Some(unsafe { machine::read(window) })
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, at: usize, octets: &[u8; N]) -> bool {
        let (Ok(at), Ok(length)) = (u32::try_from(at), u32::try_from(N)) else {
            return false;
        };
        // SAFETY: the context is valid, `octets` is so long, and no window outlives the call.
        unsafe { bpf_skb_store_bytes(self.skb, at, octets.as_ptr().cast(), length, 0) == 0 }
    }

    #[inline(always)]
    fn octets(&self) -> usize {
        let beside = self.tag_beside();
        self.len() + if is_tag(beside) { TAG_OCTETS } else { 0 }
    }

    #[inline(always)]
    fn grow_head(&mut self, _by: i32) -> bool {
        // Tags come and go by `replace_link`, and nothing else moves a head.
        false
    }

    #[inline(always)]
    fn about_to_change(&mut self) {
        capture::keep(self);
    }

    #[inline(always)]
    fn resize(&mut self, octets: usize) -> bool {
        let Ok(octets) = u32::try_from(octets) else {
            return false;
        };
        // SAFETY: the context is valid, and no window outlives the call.
        unsafe { bpf_skb_change_tail(self.skb, octets, 0) == 0 }
    }

    #[inline(always)]
    fn reach(&self, octets: usize) {
        let (data, end) = self.bounds();
        let wanted = octets.min(self.len());
        if end - data >= wanted {
            return;
        }
        if let Ok(wanted) = u32::try_from(wanted) {
            // SAFETY: the context is valid, and no window outlives the call. Where there is no memory,
            // the octets stay out of reach, and a header that ends too soon is judged as one.
            let _out_of_reach = unsafe { bpf_skb_pull_data(self.skb, wanted) };
        }
    }

    #[inline(always)]
    fn tag_beside(&self) -> [u8; 4] {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let context = unsafe { &*self.skb };
        if context.vlan_present == 0 {
            return [0; 4];
        }
        // The one is in network order, the other in the host's.
        let [p0, p1, ..] = context.vlan_proto.to_ne_bytes();
        let [.., t0, t1] = context.vlan_tci.to_be_bytes();
        [p0, p1, t0, t1]
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
        take_tags(self.skb, count) && self.put_link(path)
    }

    #[inline(always)]
    fn begin_anew(&mut self, link: &Link, l4: u16, path: &L2Path, octets: usize) -> bool {
        let count = self.tags(link);
        // What is cut out in front reaches from the packet's start to behind the place of the TCP
        // checksum, wherever options and extension headers have put it.
        let checksum_end = usize::from(l4) - usize::from(link.octets) + SPARE_OCTETS;
        let octets = octets - TAG_OCTETS * usize::from(self.link_octets(path) > LINK_OCTETS[0]);
        take_tags(self.skb, count) && empty(self.skb, octets, checksum_end) && self.put_link(path)
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
        let pseudo_done = unsafe { bpf_l4_csum_replace(self.skb, at, 0, pseudo, flags) == 0 };
        // SAFETY: as above.
        pseudo_done && unsafe { bpf_l4_csum_replace(self.skb, at, 0, segment, 0) == 0 }
    }

    #[inline(always)]
    fn packet_changed(&mut self, difference: Difference) {
        // SAFETY: the context is valid. It answers that there is no such sum, mostly.
        let _no_sum = unsafe { bpf_csum_update(self.skb, word(difference)) };
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
            && put_tag(self.skb, inner)
            && put_tag(self.skb, outer)
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

#[inline(always)]
const fn is_tag([high, low, _, _]: [u8; 4]) -> bool {
    high != 0 || low != 0
}

/// A difference as the kernel keeps sums: over words as they stand in memory.
#[inline(always)]
fn word(difference: Difference) -> u32 {
    u32::from(u16::from_ne_bytes(difference.folded()))
}

/// Two tags, IPv6, ICMPv6, IPv6 again and TCP; or IPv4 with all options, ICMP, IPv4 again and TCP.
const USUAL_HEADERS_OCTETS: usize = 192;
/// Of a TCP header up to behind its checksum.
const SPARE_OCTETS: usize = tcp::CHECKSUM_AT + 2;
