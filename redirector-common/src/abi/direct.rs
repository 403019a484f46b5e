//! A policy that names its relay: that of the edge's own probes.

use super::Policy;

impl Policy {
    /// Bit of `flags`: the source is no customer but the edge's own probe of one relay. That relay takes its
    /// connections whether it is in rotation or not, no rate bounds them, and where there is no way to it
    /// they are dropped, whatever the pool's failure policy is.
    pub const DIRECT: u8 = 2;

    /// The relay of a [`Policy::DIRECT`] redirect.
    #[inline(always)]
    #[must_use]
    pub const fn direct_relay(&self) -> Option<u16> {
        if self.flags & Self::DIRECT != 0 {
            Some(self.limit_per_hour)
        } else {
            None
        }
    }
}
