//! The octets of a frame in XDP.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    EbpfContext,
    bindings::xdp_md,
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::XdpContext,
};
use redirector_common::frame::Frame;

use crate::{
    capture::{self, Shown},
    machine,
    window::window,
};

/// One frame, as the driver handed it over.
pub(crate) struct XdpFrame {
    context: *mut xdp_md,
}

impl XdpFrame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            context: context.as_ptr().cast(),
        }
    }

    /// Interface that the frame came in by.
    #[inline(always)]
    pub(crate) fn ingress_ifindex(&self) -> u32 {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        unsafe { (*self.context).ingress_ifindex }
    }

    /// First octet and the octet after the last, as the verifier knows them: read anew for every
    /// window, because what moves the head or the tail ends all older pointers.
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        let context = unsafe { &*self.context };
        // SAFETY: a reference to a field is valid and aligned.
        let data = unsafe { ptr::read_volatile(&raw const context.data) };
        // SAFETY: as above.
        let end = unsafe { ptr::read_volatile(&raw const context.data_end) };
        (data as usize, end as usize)
    }

    #[inline(always)]
    fn window<const N: usize>(&self, at: usize) -> Option<*mut [u8; N]> {
        window(at, || self.bounds())
    }
}

impl Shown for XdpFrame {
    #[inline(always)]
    fn wire_octets(&self) -> u64 {
        // SAFETY: the context is valid.
        unsafe { bpf_xdp_get_buff_len(self.context) }
    }

    #[inline(always)]
    fn load(&self, into: *mut c_void, octets: u32) -> bool {
        // SAFETY: the context is valid, and whoever asks has room for so many octets.
        unsafe { bpf_xdp_load_bytes(self.context, 0, into, octets) == 0 }
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.ingress_ifindex()
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let window = self.window::<N>(at)?;
        // SAFETY: `at..at + N` was just proved to lie inside the frame, and `[u8; N]` has alignment 1.
        Some(unsafe { machine::read(window) })
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, at: usize, octets: &[u8; N]) -> bool {
        let Some(window) = self.window::<N>(at) else {
            return false;
        };
        // SAFETY: `at..at + N` was just proved to lie inside the frame, `[u8; N]` has alignment 1,
        // and `&mut self` makes this the only live window.
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
        unsafe { bpf_xdp_adjust_head(self.context, -by) == 0 }
    }

    #[inline(always)]
    fn about_to_change(&mut self) {
        capture::keep(self);
    }

    #[inline(always)]
    fn resize(&mut self, octets: usize) -> bool {
        let (Ok(now), Ok(wanted)) = (i32::try_from(self.octets()), i32::try_from(octets)) else {
            return false;
        };
        // SAFETY: as in `grow_head`.
        unsafe { bpf_xdp_adjust_tail(self.context, wanted - now) == 0 }
    }
}
