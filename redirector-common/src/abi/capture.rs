//! What the program shows of the frames that it takes, as long as somebody asks for it.

use super::Octets;

/// Octets of one frame that are shown at most.
pub const CAPTURE_OCTETS: u32 = 2048;

records! {
    /// What is asked for.
    pub struct CaptureOrder [48] {
        /// Frames are shown until then, so that a controller that has died asks for nothing; 0 = not at all.
        until_s: u32,
        /// Octets of each frame, at most [`CAPTURE_OCTETS`].
        octets: u32,
        /// Frames from or to this network alone, [`crate::addr::Addr::mapped`].
        network: [u8; 16],
        /// Bits of an address that the network is told by.
        mask: [u8; 16],
        /// Tells this order from the ones before.
        number: u32,
        /// Unused, zero.
        reserved: u32,
    }

    /// What is said of a frame, in the ring in front of its octets.
    pub struct Captured [40] {
        /// When, nanoseconds of `CLOCK_MONOTONIC`.
        at_ns: u64,
        /// [`CaptureOrder::number`] that it answers.
        number: u32,
        /// Interface that it came in by.
        ifindex: u32,
        /// [`crate::counters::Counter`], or [`super::trial::NO_COUNTER`].
        counter: u32,
        /// Relay number, or [`super::NO_RELAY`].
        relay: u32,
        /// The flag behind it, or 0.
        flag_id: u32,
        /// How long it was.
        wire_octets: u32,
        /// How many octets follow.
        kept_octets: u32,
        /// `enum xdp_action`.
        verdict: u8,
        /// 1 = the octets are those that it left with, not those that it came with.
        as_it_left: u8,
        /// Unused, zero.
        reserved: [u8; 2],
    }
}

impl CaptureOrder {
    /// Whether an address is in the network, [`crate::addr::Addr::mapped`].
    #[inline(always)]
    #[must_use]
    pub const fn covers(&self, addr: &[u8; 16]) -> bool {
        let bits = u128::from_ne_bytes(*addr) & u128::from_ne_bytes(self.mask);
        bits == u128::from_ne_bytes(self.network)
    }
}
