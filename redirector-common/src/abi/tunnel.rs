//! Tunnels to relays that are on no link of ours.

use super::{Tunnel, TunnelKey};
use crate::addr::Addr;

impl Tunnel {
    /// Octets of a packet that every link carries (RFC 8200 section 5): a tunnel that carries less would have
    /// to cut IPv6 packets into pieces itself.
    pub const MTU_MIN: u16 = 1280;
    /// Of the longest packet whose outer length still fits its field.
    pub const MTU_MAX: u16 = u16::MAX - 40;

    /// A tunnel between two ends, which are of one family.
    #[must_use]
    pub const fn new(near: Addr, far: Addr, mtu: u16) -> Self {
        Self {
            near: near.mapped(),
            far: far.mapped(),
            mtu,
            family: far.family(),
            reserved8: 0,
            reserved32: 0,
        }
    }

    /// Whether there is one.
    #[inline(always)]
    #[must_use]
    pub const fn is_one(&self) -> bool {
        self.family != 0
    }

    /// Key of what comes in by it.
    #[inline(always)]
    #[must_use]
    pub const fn key(&self) -> TunnelKey {
        TunnelKey {
            far: self.far,
            near: self.near,
            family: self.family,
            reserved8: 0,
            reserved16: 0,
        }
    }
}
