//! The shape of every map that the kernel program shares with user space.
//!
//! A record is `repr(C)` with explicit padding, so that its octets are the same on both sides. User
//! space never transmutes: it goes through `to_octets` and `from_octets`, which need no `unsafe`
//! and let a map be opened as `HashMap<_, [u8; FlowKey::SIZE], [u8; Flow::SIZE]>`.
//!
//! Integers are in host order unless their name ends in `_be`; times are whole seconds of
//! `CLOCK_MONOTONIC`, which is what `bpf_ktime_get_ns` counts.
//!
//! Whoever changes a record changes [`ABI_VERSION`]: the pin directory carries it, so that a new
//! program never reads an old map.

#[macro_use]
mod declare;
pub mod capture;
mod direct;
mod flow;
pub mod host;
mod kinds;
pub mod map;
mod radar;
mod refusal;
pub mod trial;
mod tunnel;

use self::declare::Octets;
pub use self::{
    flow::{Bucket, Flow, FlowKey},
    kinds::{Action, EventKind, OnFailure, RefusalText, Role, Via},
    radar::{RADAR_OFF, Sighting},
    refusal::{
        ADDRESS_OCTETS, COOKIE_EPOCH_S, CookieKey, NO_ADDRESS, REFUSAL_OCTETS, REFUSALS_MAX,
        Refusal,
    },
    tunnel::{Tunnel, TunnelKey},
};
use crate::addr::Addr;

/// Version of all that this module describes; names the pin directory (`v5`).
pub const ABI_VERSION: u32 = 5;

/// Pools at most.
pub const POOLS_MAX: u32 = 16;
/// Relays at most, over all pools.
pub const RELAYS_MAX: u32 = 256;
/// Slots of a pool's Maglev table; a prime well above the number of relays.
pub const SLOTS_PER_POOL: u32 = 4093;
/// A slot without a relay.
pub const NO_RELAY: u32 = u32::MAX;
/// The same where relay numbers have 16 bits.
pub const NO_RELAY_SHORT: u16 = u16::MAX;
/// The port that all of this is about.
pub const SMTP_PORT: u16 = 25;
/// Port of a [`ListenerKey`] that stands for the address, whatever the port.
pub const ANY_PORT: [u8; 2] = [0; 2];
/// Words of the bitmap of ports, [`port_bit`].
pub const PORT_WORDS: u32 = 1024;
/// Ports of the relays' own legs from a customer's address. What comes back is told from the customer's
/// own traffic by nothing else, so they lie above the ports that a Linux client chooses by itself.
pub const EGRESS_PORTS: core::ops::RangeInclusive<u16> = 61_000..=65_535;

records! {
    /// What is done with a source's mail connections.
    pub struct Policy [16] {
        /// The flag behind it, for events and `why`; 0 for a default of a prefix.
        flag_id: u32,
        /// Segments of connections older than the policy pass until then; 0 cuts them at once.
        grace_until_s: u32,
        /// Pool of a redirect.
        pool: u8,
        /// [`Policy::LENDS_ADDRESS`], [`Policy::DIRECT`].
        flags: u8,
        /// [`Action`] as a number.
        action: u8,
        /// Length of the prefix that the policy stands for, as flagged.
        prefix_len: u8,
        /// New connections an hour that a limit lets through; of a [`Policy::DIRECT`] redirect the number
        /// of the relay.
        limit_per_hour: u16,
        /// How many it lets through at once after a pause.
        limit_burst: u16,
    }

    /// Where a frame leaves and what its Ethernet header becomes.
    #[repr(align(8))]
    pub struct L2Path [24] {
        /// Interface index; 0 = unknown.
        ifindex: u32,
        /// Destination MAC address.
        peer_mac: [u8; 6],
        /// Source MAC address.
        own_mac: [u8; 6],
        /// Outer and inner tag, TPID then TCI in network order; TPID 0 = no such tag.
        tags: [[u8; 4]; 2],
    }

    /// One relay.
    #[repr(align(8))]
    pub struct Relay [112] {
        /// Listener, IPv4; zero = none.
        addr4: [u8; 4],
        /// Listener, IPv6; zero = none.
        addr6: [u8; 16],
        /// Port of both.
        port_be: [u8; 2],
        /// [`Relay::BEYOND_UPLINK`] or nothing.
        flags: u8,
        /// Unused, zero.
        reserved: u8,
        /// The way to `addr4`; through a tunnel, the way to its far end.
        path4: L2Path,
        /// The way to `addr6`; likewise.
        path6: L2Path,
        /// How it is reached where it is not on the link that the paths lead over. Here and not in a map of its own,
        /// so that no frame goes an old way in a new tunnel.
        tunnel: Tunnel,
    }

    /// A pool's policy.
    pub struct Pool [8] {
        /// [`OnFailure`] as a number.
        on_failure: u8,
        /// 1 if the pool exists.
        present: u8,
        /// [`Via`] as a number.
        via: u8,
        /// Unused, zero.
        reserved: [u8; 5],
    }

    /// A relay's listener, as seen in what it sends.
    pub struct ListenerKey [20] {
        /// Address, [`Addr::mapped`].
        addr: [u8; 16],
        /// Port.
        port_be: [u8; 2],
        /// 4 or 6.
        family: u8,
        /// Unused, zero.
        reserved: u8,
    }

    /// Key of the role of a (interface, outer VLAN, inner VLAN).
    pub struct RoleKey [8] {
        /// Interface index.
        ifindex: u32,
        /// Outer VLAN identifier, 0 = untagged.
        outer: u16,
        /// Inner VLAN identifier, 0 = none.
        inner: u16,
    }

    /// What the controller tells every program instance.
    pub struct Settings [32] {
        /// When the controller last showed that it lives.
        heartbeat_s: u32,
        /// Heartbeats older than this put new connections under the pools' failure policy.
        heartbeat_limit_s: u32,
        /// New diverted connections a second that one customer may open.
        syn_rate: u32,
        /// Burst of the same.
        syn_burst: u32,
        /// Generation of the policy that is in the maps.
        generation: u64,
        /// Number of the radar's running window, or [`RADAR_OFF`]. Its parity chooses the map.
        radar_window: u32,
        /// Number of the set of policies that is in force. Its parity chooses the place in the maps of
        /// [`map::SETS`]; each judgement reads it once.
        policy_set: u32,
    }

    /// What the kernel program tells the controller, over the ring buffer.
    pub struct Event [64] {
        /// When, nanoseconds of `CLOCK_MONOTONIC`.
        at_ns: u64,
        /// Customer's address, [`Addr::mapped`].
        customer: [u8; 16],
        /// Original destination, [`Addr::mapped`].
        original_dst: [u8; 16],
        /// The flag behind it.
        flag_id: u32,
        /// Relay number, or [`NO_RELAY`].
        relay: u32,
        /// Interface that the frame came in by.
        ifindex: u32,
        /// Source port that the customer chose.
        customer_port_be: [u8; 2],
        /// Source port that the relay is shown.
        shown_port_be: [u8; 2],
        /// [`EventKind`] as a number.
        kind: u8,
        /// 4 or 6.
        family: u8,
        /// Unused, zero.
        reserved: [u8; 6],
    }
}

impl Policy {
    /// No policy: what a record is before it was written.
    pub const NONE: Self = Self {
        flag_id: 0,
        grace_until_s: 0,
        pool: 0,
        flags: 0,
        action: 0,
        prefix_len: 0,
        limit_per_hour: 0,
        limit_burst: 0,
    };
    /// Bit of `flags`: the relays may use the customer's address on their own legs to the MXs. The
    /// controller lets it outlive the flag while connections linger.
    pub const LENDS_ADDRESS: u8 = 1;

    /// Whether [`Policy::LENDS_ADDRESS`] is set.
    #[inline(always)]
    #[must_use]
    pub const fn lends_address(&self) -> bool {
        self.flags & Self::LENDS_ADDRESS != 0
    }
}

impl Pool {
    /// Whether it exists and [`Via::Steer`] leads to its relays.
    #[inline(always)]
    #[must_use]
    pub const fn steers(&self) -> bool {
        self.present != 0 && self.via == Via::Steer as u8
    }
}

impl Relay {
    /// Bit of `flags`: it stands beyond the uplink, a third party's filter for one, so its answers come in
    /// where the internet does.
    pub const BEYOND_UPLINK: u8 = 1;

    /// Whether [`Relay::BEYOND_UPLINK`] is set.
    #[inline(always)]
    #[must_use]
    pub const fn is_beyond_uplink(&self) -> bool {
        self.flags & Self::BEYOND_UPLINK != 0
    }
}

/// Where a port stands in [`map::UPLINK_PORTS`]: number of its word, and its bit in that.
#[inline(always)]
#[must_use]
pub const fn port_bit(port_be: [u8; 2]) -> (u32, u64) {
    let [high, low] = port_be;
    let word = (high as u32) << 2 | (low as u32) >> 6;
    (word, 1 << (low & 63))
}

impl ListenerKey {
    /// The key of a listener; with [`ANY_PORT`] that of a relay's address.
    #[inline(always)]
    #[must_use]
    pub const fn new(addr: Addr, port_be: [u8; 2]) -> Self {
        Self {
            addr: addr.mapped(),
            port_be,
            family: addr.family(),
            reserved: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_a_bit_of_its_own() {
        let mut words = vec![0_u64; PORT_WORDS as usize];
        for port in 0..=u16::MAX {
            let (word, bit) = port_bit(port.to_be_bytes());
            let word = &mut words[word as usize];
            assert_eq!((*word & bit, bit.count_ones()), (0, 1), "port {port}");
            *word |= bit;
        }
    }

    #[test]
    fn map_names_are_distinct_and_fit_the_kernel() {
        for (index, name) in map::ALL.iter().enumerate() {
            assert!(name.len() < 16, "{name} is longer than BPF_OBJ_NAME_LEN");
            assert!(!map::ALL[..index].contains(name), "{name} twice");
        }
    }
}
