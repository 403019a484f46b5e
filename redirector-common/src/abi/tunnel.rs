//! Tunnels to relays that are on no link of ours.

use super::Octets;
use crate::addr::Addr;

records! {
    /// A tunnel to a relay: packets travel whole behind another IP header.
    pub struct Tunnel [40] {
        /// Our end, [`Addr::mapped`].
        near: [u8; 16],
        /// The relay's end.
        far: [u8; 16],
        /// Octets of the longest packet that fits in.
        mtu: u16,
        /// 4 or 6, of the header outside; 0 = there is no tunnel.
        family: u8,
        /// Unused, zero.
        reserved8: u8,
        /// Unused, zero.
        reserved32: u32,
    }

    /// Who sends to us through a tunnel.
    pub struct TunnelKey [36] {
        /// The relay's end, [`Addr::mapped`].
        far: [u8; 16],
        /// Our end.
        near: [u8; 16],
        /// 4 or 6, of the header outside.
        family: u8,
        /// Unused, zero.
        reserved8: u8,
        /// Unused, zero.
        reserved16: u16,
    }
}

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
