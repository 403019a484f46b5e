//! The octets of a frame where the kernel has them: what the frames of both objects are made of.

use core::{intrinsics::is_val_statically_known, ptr};

use aya_ebpf::{
    EbpfContext,
    bindings::{__sk_buff, xdp_md},
    helpers::{
        bpf_xdp_adjust_head, bpf_xdp_adjust_tail,
        generated::{bpf_csum_update, bpf_skb_change_tail, bpf_skb_pull_data, bpf_skb_store_bytes},
    },
    programs::{TcContext, XdpContext},
};
use redirector_common::{checksum::Difference, frame::Frame, parse::ether::TAG_OCTETS};

use crate::machine::{self, hidden};

/// Of a frame as the driver has handed it over.
#[derive(Clone, Copy)]
pub(crate) struct Xdp(pub(crate) *mut xdp_md);

/// Of a frame as the kernel's stack has it, without the tag beside them.
#[derive(Clone, Copy)]
pub(crate) struct Skb(pub(crate) *mut __sk_buff);

impl Xdp {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self(context.as_ptr().cast())
    }

    /// First octet and the octet after the last, as the verifier knows them: read anew for every
    /// window, because what moves the head or the tail ends all older pointers.
    #[inline(always)]
    fn bounds(self) -> (usize, usize) {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let context = unsafe { &*self.0 };
        // SAFETY: a reference to a field is valid and aligned.
        let data = unsafe { ptr::read_volatile(&raw const context.data) };
        // SAFETY: as above.
        let end = unsafe { ptr::read_volatile(&raw const context.data_end) };
        (data as usize, end as usize)
    }
}

impl Frame for Xdp {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let window = window::<N>(at, || self.bounds())?;
        // SAFETY: `at..at + N` was just proved to lie inside the frame, and `[u8; N]` has alignment 1.
        Some(unsafe { machine::read(window) })
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, at: usize, octets: &[u8; N]) -> bool {
        let Some(window) = window::<N>(at, || self.bounds()) else {
            return false;
        };
        // SAFETY: `at..at + N` was just proved to lie inside the frame, `[u8; N]` has alignment 1,
        // and no other window is alive: each is read or written where it is made.
        unsafe { machine::write(window, octets) };
        true
    }

    #[inline(always)]
    fn octets(&self) -> usize {
        let (data, end) = self.bounds();
        end - data
    }

    #[inline(always)]
    fn grow_head(&mut self, by: i32) -> bool {
        // SAFETY: the context is valid; no window outlives the call, because each is read or written
        // where it is made.
        unsafe { bpf_xdp_adjust_head(self.0, -by) == 0 }
    }

    #[inline(always)]
    fn resize(&mut self, octets: usize) -> bool {
        let (Ok(now), Ok(wanted)) = (i32::try_from(self.octets()), i32::try_from(octets)) else {
            return false;
        };
        // SAFETY: as in `grow_head`.
        unsafe { bpf_xdp_adjust_tail(self.0, wanted - now) == 0 }
    }
}

impl Skb {
    /// Takes the frame up, with all headers that are not unusually long in reach.
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        let skb = Self(context.as_ptr().cast());
        skb.reach(USUAL_HEADERS_OCTETS);
        skb
    }

    /// Interface that the frame came in by, or is about to leave by.
    #[inline(always)]
    pub(crate) fn ifindex(self) -> u32 {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        unsafe { (*self.0).ifindex }
    }

    /// First octet and the octet after the last in reach, read anew for every window, because what
    /// writes ends all older pointers.
    #[inline(always)]
    fn bounds(self) -> (usize, usize) {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let context = unsafe { &*self.0 };
        // SAFETY: a reference to a field is valid and aligned.
        let data = unsafe { ptr::read_volatile(&raw const context.data) };
        // SAFETY: as above.
        let end = unsafe { ptr::read_volatile(&raw const context.data_end) };
        (data as usize, end as usize)
    }

    /// Octets without the tag.
    #[inline(always)]
    fn count(self) -> usize {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let len = unsafe { &raw const (*self.0).len };
        // SAFETY: the field is valid and aligned; what changes the length changes it behind LLVM's back.
        unsafe { ptr::read_volatile(len) as usize }
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
        unsafe { bpf_skb_store_bytes(self.0, at, octets.as_ptr().cast(), length, 0) == 0 }
    }

    #[inline(always)]
    fn octets(&self) -> usize {
        let beside = self.tag_beside();
        self.count() + if is_tag(beside) { TAG_OCTETS } else { 0 }
    }

    #[inline(always)]
    fn grow_head(&mut self, _by: i32) -> bool {
        // Tags and headers come and go behind the Ethernet header.
        false
    }

    #[inline(always)]
    fn resize(&mut self, octets: usize) -> bool {
        let Ok(octets) = u32::try_from(octets) else {
            return false;
        };
        // SAFETY: the context is valid, and no window outlives the call.
        unsafe { bpf_skb_change_tail(self.0, octets, 0) == 0 }
    }

    #[inline(always)]
    fn reach(&self, octets: usize) {
        let (data, end) = self.bounds();
        let wanted = octets.min(self.count());
        if end - data >= wanted {
            return;
        }
        if let Ok(wanted) = u32::try_from(wanted) {
            // SAFETY: the context is valid, and no window outlives the call. Where there is no memory,
            // the octets stay out of reach, and a header that ends too soon is judged as one.
            let _out_of_reach = unsafe { bpf_skb_pull_data(self.0, wanted) };
        }
    }

    #[inline(always)]
    fn tag_beside(&self) -> [u8; 4] {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let context = unsafe { &*self.0 };
        if context.vlan_present == 0 {
            return [0; 4];
        }
        // The one is in network order, the other in the host's.
        let [p0, p1, ..] = context.vlan_proto.to_ne_bytes();
        let [.., t0, t1] = context.vlan_tci.to_be_bytes();
        [p0, p1, t0, t1]
    }

    #[inline(always)]
    fn packet_changed(&mut self, difference: Difference) {
        // SAFETY: the context is valid. It answers that there is no such sum, mostly.
        let _no_sum = unsafe { bpf_csum_update(self.0, word(difference)) };
    }
}

/// Whether these octets are a tag, and not the zeros that stand for none.
#[inline(always)]
pub(crate) const fn is_tag([high, low, _, _]: [u8; 4]) -> bool {
    high != 0 || low != 0
}

/// As the kernel's helpers take it.
#[inline(always)]
pub(crate) fn word(difference: Difference) -> u32 {
    u32::from(u16::from_ne_bytes(difference.folded()))
}

/// The place of `N` octets at `at`, if the frame between `bounds` has them.
#[inline(always)]
fn window<const N: usize>(
    at: usize,
    bounds: impl FnOnce() -> (usize, usize),
) -> Option<*mut [u8; N]> {
    // Hidden from LLVM, or it would fold `at` into other sums and comparisons. The verifier must
    // see the bound on the very number that is added to the packet pointer, and the very sum that
    // is compared with the end in the access. A constant bounds itself.
    let at = if is_val_statically_known(at) {
        at
    } else {
        hidden(at)
    };
    if at > LAST_WINDOW {
        return None;
    }
    let (data, end) = bounds();
    let start = data + at;
    if start + N > end {
        None
    } else {
        Some(start as *mut [u8; N])
    }
}

/// Largest offset of a window: 22 octets of Ethernet, 40 of IPv6, its extension headers (the last of
/// which may start at 512 and be 2048 long), and a TCP header behind them.
const LAST_WINDOW: usize = 0xfff;
/// Two tags, IPv6, ICMPv6, IPv6 again and TCP; or IPv4 with all options, ICMP, IPv4 again and TCP.
pub(crate) const USUAL_HEADERS_OCTETS: usize = 192;
