//! Addresses as they stand in packets and map keys.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of either family, in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addr {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

impl Addr {
    /// The address in 16 octets, IPv4 as `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2).
    #[inline(always)]
    #[must_use]
    pub const fn mapped(self) -> [u8; 16] {
        match self {
            // As one number: octet by octet it would be a call of `memset` in the kernel.
            Self::V4(octets) => (MAPPED | u32::from_be_bytes(octets) as u128).to_be_bytes(),
            Self::V6(octets) => octets,
        }
    }

    /// Reads back what [`Addr::mapped`] wrote; `family` is [`FAMILY_V4`] or [`FAMILY_V6`].
    #[inline(always)]
    #[must_use]
    pub const fn from_mapped(octets: [u8; 16], family: u8) -> Self {
        if family == FAMILY_V4 {
            let [.., a, b, c, d] = octets;
            Self::V4([a, b, c, d])
        } else {
            Self::V6(octets)
        }
    }

    /// Key of what is remembered of a customer: an IPv4 address, or an IPv6 /64, because hosts
    /// rotate inside it.
    #[inline(always)]
    #[must_use]
    pub const fn customer_key(self) -> [u8; 16] {
        AddrRef {
            mapped: &self.mapped(),
            family: self.family(),
        }
        .customer_key()
    }

    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    #[inline(always)]
    #[must_use]
    pub const fn family(self) -> u8 {
        match self {
            Self::V4(_) => FAMILY_V4,
            Self::V6(_) => FAMILY_V6,
        }
    }
}

/// An address that stands in a record.
///
/// Look-ups take it rather than an [`Addr`], so that the kernel program can hand the record's own octets to
/// the map instead of a copy on its small stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddrRef<'a> {
    /// [`Addr::mapped`].
    pub mapped: &'a [u8; 16],
    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    pub family: u8,
}

impl<'a> AddrRef<'a> {
    /// The four octets of an IPv4 address; `None` = it is IPv6.
    #[inline(always)]
    #[must_use]
    pub const fn v4(self) -> Option<&'a [u8; 4]> {
        if self.family == FAMILY_V4 {
            self.mapped.last_chunk()
        } else {
            None
        }
    }

    /// The address.
    #[inline(always)]
    #[must_use]
    pub const fn addr(self) -> Addr {
        Addr::from_mapped(*self.mapped, self.family)
    }

    /// [`Addr::customer_key`].
    #[inline(always)]
    #[must_use]
    pub const fn customer_key(self) -> [u8; 16] {
        if self.family == FAMILY_V4 {
            return *self.mapped;
        }
        let [a, b, c, d, e, f, g, h, ..] = *self.mapped;
        [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]
    }
}

impl From<IpAddr> for Addr {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6(v6.octets()),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(address: Addr) -> Self {
        match address {
            Addr::V4(octets) => Self::V4(Ipv4Addr::from(octets)),
            Addr::V6(octets) => Self::V6(Ipv6Addr::from(octets)),
        }
    }
}

/// `family` of an IPv4 entry in a map.
pub const FAMILY_V4: u8 = 4;
/// `family` of an IPv6 entry in a map.
pub const FAMILY_V6: u8 = 6;

/// `::ffff:0:0` as a number.
const MAPPED: u128 = 0xffff_0000_0000;
