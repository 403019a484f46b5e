//! The octets of a frame in tc, and the header around it.
//!
//! A frame may be many segments merged into one, whose checksums are still to be computed. The kernel is told of the
//! outer header by flags, and splits the frame as a tunnel's: each segment gets an outer header of its own, with its
//! own length, and the size of segments stays what TCP has chosen (`BPF_F_ADJ_ROOM_FIXED_GSO`): the ends of the
//! connection have agreed upon one with which the outer header fits.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, BPF_F_ADJ_ROOM_FIXED_GSO,
        bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_check_mtu_flags::BPF_MTU_CHK_SEGS,
    },
    helpers::generated::{bpf_check_mtu, bpf_skb_adjust_room},
    programs::TcContext,
};
use redirector_common::{
    checksum::Difference,
    frame::Frame,
    parse::ether::{self, IPV4_BE, TAGS_AT},
    tunnel::host::{Unfit, Unwrap, Wrap},
};

use crate::octets::{self, USUAL_HEADERS_OCTETS};

/// One frame, as the kernel's stack hands it over.
pub(crate) struct Skb {
    octets: octets::Skb,
}

impl Skb {
    /// Takes the frame up, with all headers that are not unusually long in reach.
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        let frame = Self {
            octets: octets::Skb::new(context),
        };
        frame.reach(USUAL_HEADERS_OCTETS);
        frame
    }

    /// The interface that it came in by, or is about to leave by.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        self.octets.ifindex()
    }

    /// Makes room behind the Ethernet header, or takes it.
    #[inline(always)]
    fn adjust_room(&mut self, by: i32, flags: u32) -> bool {
        let flags = u64::from(flags | BPF_F_ADJ_ROOM_FIXED_GSO);
        // SAFETY: the context is valid, and no window outlives the call.
        unsafe { bpf_skb_adjust_room(self.octets.0, by, BPF_ADJ_ROOM_MAC, flags) == 0 }
    }
}

impl Frame for Skb {
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
        self.octets.count()
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
        self.octets.reach(octets);
    }

    #[inline(always)]
    fn tag_beside(&self) -> [u8; 4] {
        self.octets.tag()
    }

    #[inline(always)]
    fn packet_changed(&mut self, difference: Difference) {
        self.octets.changed(difference);
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
        match unsafe { bpf_check_mtu(self.octets.0.cast(), 0, &raw mut mtu, 0, flags) } {
            0 => Ok(()),
            too_big if too_big > 0 => Err(Unfit::TooBig),
            _ => Err(Unfit::Failed),
        }
    }
}
