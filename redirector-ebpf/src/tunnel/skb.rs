//! Taking a header off, or putting one on, in tc.
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
};
use redirector_common::{
    frame::Frame as _,
    parse::ether::{self, IPV4_BE, TAGS_AT},
    tunnel::host::{Unfit, Unwrap, Wrap},
};

use crate::octets::{Skb, USUAL_HEADERS_OCTETS};

impl Unwrap for Skb {
    #[inline(always)]
    fn unwrap(&mut self, octets: u16, ethertype_be: [u8; 2]) -> bool {
        let done = adjust_room(*self, -i32::from(octets), 0) && self.write(TAGS_AT, &ethertype_be);
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
        if !adjust_room(*self, octets, family)
            || !self.write(TAGS_AT, &ethertype_be)
            || !self.write(ether::HEADER_OCTETS, outer)
        {
            return Err(Unfit::Failed);
        }
        // Of merged segments each is compared with the interface's MTU, which only works when the header is there.
        let mut mtu = 0;
        let flags = u64::from(BPF_MTU_CHK_SEGS);
        // SAFETY: the context is valid, and the number lives until the helper has written it.
        match unsafe { bpf_check_mtu(self.0.cast(), 0, &raw mut mtu, 0, flags) } {
            0 => Ok(()),
            too_big if too_big > 0 => Err(Unfit::TooBig),
            _ => Err(Unfit::Failed),
        }
    }
}

/// Makes room behind the Ethernet header, or takes it.
#[inline(always)]
fn adjust_room(skb: Skb, by: i32, flags: u32) -> bool {
    let flags = u64::from(flags | BPF_F_ADJ_ROOM_FIXED_GSO);
    // SAFETY: the context is valid, and no window outlives the call.
    unsafe { bpf_skb_adjust_room(skb.0, by, BPF_ADJ_ROOM_MAC, flags) == 0 }
}
