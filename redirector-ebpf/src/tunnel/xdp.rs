//! Taking a header off in XDP.

use redirector_common::{frame::Frame as _, tunnel::host::Unwrap};

use crate::octets::Xdp;

impl Unwrap for Xdp {
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
