//! The octets of a frame in tc, and the header around it.
//!
//! A frame may be many segments merged into one, whose checksums are still to be computed. The kernel is told of the
//! outer header by flags, and splits the frame as a tunnel's: each segment gets an outer header of its own, with its
//! own length, and the size of segments stays what TCP has chosen (`BPF_F_ADJ_ROOM_FIXED_GSO`): the ends of the
//! connection have agreed upon one with which the outer header fits.

use core::ptr;

use aya_ebpf::{
    EbpfContext,
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
        BPF_F_ADJ_ROOM_FIXED_GSO, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
        bpf_check_mtu_flags::BPF_MTU_CHK_SEGS,
    },
    helpers::generated::{
        bpf_check_mtu, bpf_csum_update, bpf_skb_adjust_room, bpf_skb_pull_data, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use redirector_common::{
    checksum::Difference,
    frame::Frame,
    parse::ether::{self, IPV4_BE, TAGS_AT},
    tunnel::host::{Unfit, Unwrap, Wrap},
};

use crate::{machine, window::window};

/// One frame, as the kernel's stack hands it over.
pub(crate) struct Skb {
    skb: *mut __sk_buff,
}

impl Skb {
    /// Takes the frame up, with all headers that are not unusually long in reach.
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        let frame = Self {
            skb: context.as_ptr().cast(),
        };
        frame.reach(USUAL_HEADERS_OCTETS);
        frame
    }

    /// The interface that it came in by, or is about to leave by.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        unsafe { (*self.skb).ifindex }
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

    /// Makes room behind the Ethernet header, or takes it.
    #[inline(always)]
    fn adjust_room(&mut self, by: i32, flags: u32) -> bool {
        let flags = u64::from(flags | BPF_F_ADJ_ROOM_FIXED_GSO);
        // SAFETY: the context is valid, and no window outlives the call.
        unsafe { bpf_skb_adjust_room(self.skb, by, BPF_ADJ_ROOM_MAC, flags) == 0 }
    }
}

impl Frame for Skb {
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
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let len = unsafe { &raw const (*self.skb).len };
        // SAFETY: the field is valid and aligned; what changes the length changes it behind LLVM's back.
        unsafe { ptr::read_volatile(len) as usize }
    }

    #[inline(always)]
    fn grow_head(&mut self, _by: i32) -> bool {
        // Headers come and go behind the Ethernet header.
        false
    }

    #[inline(always)]
    fn resize(&mut self, _octets: usize) -> bool {
        // Nothing here moves a tail.
        false
    }

    #[inline(always)]
    fn reach(&self, octets: usize) {
        let (data, end) = self.bounds();
        let wanted = octets.min(self.octets());
        if end - data >= wanted {
            return;
        }
        if let Ok(wanted) = u32::try_from(wanted) {
            // SAFETY: the context is valid, and no window outlives the call. Where there is no memory,
            // the octets stay out of reach, and a header that ends too soon is none of ours.
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
        // Whose tag it is says nothing here, only that there is one.
        let [p0, p1, ..] = context.vlan_proto.to_ne_bytes();
        [p0, p1, 0, 0]
    }

    #[inline(always)]
    fn packet_changed(&mut self, difference: Difference) {
        let word = u32::from(u16::from_ne_bytes(difference.folded()));
        // SAFETY: the context is valid. It answers that there is no such sum, mostly.
        let _no_sum = unsafe { bpf_csum_update(self.skb, word) };
    }
}

impl Unwrap for Skb {
    #[inline(always)]
    fn unwrap(&mut self, octets: u16, ethertype_be: [u8; 2]) -> bool {
        let done = self.adjust_room(-i32::from(octets), 0) && self.write(TAGS_AT, &ethertype_be);
        self.reach(USUAL_HEADERS_OCTETS);
        done
    }
}

impl Wrap for Skb {
    #[inline(always)]
    fn wrap<const N: usize>(
        &mut self,
        outer: &[u8; N],
        ethertype_be: [u8; 2],
    ) -> Result<(), Unfit> {
        let family = if ethertype_be == IPV4_BE {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
        } else {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
        };
        let Ok(octets) = i32::try_from(N) else {
            return Err(Unfit::Failed);
        };
        if !self.adjust_room(octets, family)
            || !self.write(TAGS_AT, &ethertype_be)
            || !self.write(ether::HEADER_OCTETS, outer)
        {
            return Err(Unfit::Failed);
        }
        // Of merged segments each is compared with the interface's MTU, which only works when the header is there.
        let mut mtu = 0;
        let flags = u64::from(BPF_MTU_CHK_SEGS);
        // SAFETY: the context is valid, and the number lives until the helper has written it.
        match unsafe { bpf_check_mtu(self.skb.cast(), 0, &raw mut mtu, 0, flags) } {
            0 => Ok(()),
            too_big if too_big > 0 => Err(Unfit::TooBig),
            _ => Err(Unfit::Failed),
        }
    }
}

/// IPv6, IPv6 inside, ICMPv6, IPv6 again and TCP; or IPv4 likewise with all options.
const USUAL_HEADERS_OCTETS: usize = 192;
