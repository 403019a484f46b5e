//! A frame in XDP, which somebody may capture.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::XdpContext,
};
use redirector_common::frame::Frame;

use crate::{
    capture::{self, Shown},
    octets::Xdp,
};

/// One frame, as the driver handed it over.
pub(crate) struct XdpFrame {
    octets: Xdp,
}

impl XdpFrame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            octets: Xdp::new(context),
        }
    }

    /// Interface that the frame came in by.
    #[inline(always)]
    pub(crate) fn ingress_ifindex(&self) -> u32 {
        // SAFETY: the kernel passes a valid context for as long as the program runs.
        unsafe { (*self.octets.0).ingress_ifindex }
    }
}

impl Shown for XdpFrame {
    #[inline(always)]
    fn wire_octets(&self) -> u64 {
        // SAFETY: the context is valid.
        unsafe { bpf_xdp_get_buff_len(self.octets.0) }
    }

    #[inline(always)]
    fn load(&self, into: *mut c_void, octets: u32) -> bool {
        // SAFETY: the context is valid, and whoever asks has room for so many octets.
        unsafe { bpf_xdp_load_bytes(self.octets.0, 0, into, octets) == 0 }
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.ingress_ifindex()
    }
}

impl Frame for XdpFrame {
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
}
