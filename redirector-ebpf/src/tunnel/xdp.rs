//! The octets of a frame in XDP.

use aya_ebpf::programs::XdpContext;
use redirector_common::{
    frame::{self, Frame as _},
    tunnel::host::Unwrap,
};

use crate::octets::Xdp;

/// One frame, as the driver handed it over.
pub(crate) struct Frame {
    octets: Xdp,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            octets: Xdp::new(context),
        }
    }
}

impl frame::Frame for Frame {
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
    fn grow_head(&mut self, by: i32) -> bool {
        self.octets.grow_head(by)
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
