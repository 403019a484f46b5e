//! The maps of a relay's host that ends tunnels. They are apart from the edge's: another program's, on another machine,
//! with a version of their own.

use super::Octets;

/// Version of all that this module describes; names the pin directory (`tunnel-v1`).
pub const HOST_ABI_VERSION: u32 = 1;
/// Edges at most.
pub const HOST_EDGES_MAX: u32 = 256;

/// `HASH [u8; 16] -> HostEdge`: edges by their tunnel address, [`crate::addr::Addr::mapped`].
pub const EDGES: &str = "EDGES";
/// `LRU_HASH HostCustomer -> [u8; 16]`: tunnel address of the edge by which a customer came last.
pub const NOTED: &str = "NOTED";
/// `HASH [u8; 16] -> u32`: the host's own addresses (value unused).
pub const OWN: &str = "OWN";
/// `PERCPU_ARRAY -> u64`, by [`HostCounter`].
pub const HOST_COUNTERS: &str = "HOST_COUNTERS";

/// Every map that is pinned.
pub const HOST_MAPS: [&str; 4] = [EDGES, NOTED, OWN, HOST_COUNTERS];

records! {
    /// An edge at the other end of a tunnel.
    #[repr(align(8))]
    pub struct HostEdge [24] {
        /// Our end of the tunnel, [`crate::addr::Addr::mapped`].
        local: [u8; 16],
        /// Family of both ends: 4 or 6.
        family: u8,
        /// Unused, zero.
        reserved8: u8,
        /// Unused, zero.
        reserved16: u16,
        /// Unused, zero.
        reserved32: u32,
    }
}

records! {
    /// A customer, as what it speaks with tells it from others.
    #[repr(align(8))]
    pub struct HostCustomer [24] {
        /// [`crate::addr::Addr::customer_key`]: an IPv4 address, or an IPv6 /64, so that nobody who rotates in his own pushes
        /// others out.
        address: [u8; 16],
        /// 4 or 6.
        family: u8,
        /// 1 if it speaks with the host itself, by an address of that one's own; else it means a mail server. Who did
        /// the one by a tunnel may do the other without.
        own: u8,
        /// Unused, zero.
        reserved16: u16,
        /// Unused, zero.
        reserved32: u32,
    }
}

numbered! {
    /// Index into the per-CPU counters of a relay's host. In tc, segments that the kernel has merged, or has not split
    /// yet, count as the one packet that they are there.
    pub enum HostCounter {
        /// From an edge, and handed to the stack without its outer header.
        Unwrapped = 0 "unwrapped",
        /// Sent to an edge, with an outer header.
        Wrapped = 1 "wrapped",
        /// A customer that came by an edge for the first time, or by another one than before.
        Noted = 2 "noted",
        /// By its ports for a customer, or in the name of one, who came by no edge; left as it was.
        Unnoted = 3 "unnoted",
        /// A tunnel's packet that no configured edge has sent to our end; left as it was.
        Stranger = 4 "stranger",
        /// From an edge, and not as an edge writes it (fragment, options, lengths, a tunnel inside); left as it was.
        Odd = 5 "odd",
        /// Marked with congestion of which its ends cannot be told; dropped (RFC 6040).
        Congested = 6 "congested",
        /// Too big for the interface with an outer header; dropped.
        TooBig = 7 "too_big",
        /// A helper of the kernel failed where it should not; dropped.
        Failed = 8 "failed",
    }
}

impl HostCounter {
    /// How many there are.
    #[expect(clippy::cast_possible_truncation, reason = "a list that people keep")]
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// Index into the array.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }
}
