//! The octets of a frame in XDP.

use core::ptr;

use aya_ebpf::{EbpfContext, bindings::xdp_md, helpers::bpf_xdp_adjust_head, programs::XdpContext};
use redirector_common::{
    frame::{self, Frame as _},
    tunnel::host::Unwrap,
};

use crate::{machine, window::window};

/// One frame, as the driver handed it over.
pub(crate) struct Frame {
    context: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            context: context.as_ptr().cast(),
        }
    }

    /// First octet and the octet after the last, read anew for every window.
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
}

impl frame::Frame for Frame {
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
        // SAFETY: the context is valid; no window outlives the call.
        unsafe { bpf_xdp_adjust_head(self.context, -by) == 0 }
    }

    #[inline(always)]
    fn resize(&mut self, _octets: usize) -> bool {
        // Nothing here moves a tail.
        false
    }
}

impl Unwrap for Frame {
    #[inline(always)]
    fn unwrap(&mut self, octets: u16, ethertype_be: [u8; 2]) -> bool {
        let Some(stations) = self.read::<12>(0) else {
            return false;
        };
        self.grow_head(-i32::from(octets))
            && self.write(0, &stations)
            && self.write(12, &ethertype_be)
    }
}
