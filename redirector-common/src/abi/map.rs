//! Map names, as they are pinned.

/// `ARRAY_OF_MAPS`, two of `HASH [u8; 4] -> Policy`: policies of single IPv4 addresses.
pub const HOSTS4: &str = "HOSTS4";
/// `ARRAY_OF_MAPS`, two of `HASH [u8; 16] -> Policy`: policies of single IPv6 addresses.
pub const HOSTS6: &str = "HOSTS6";
/// `ARRAY_OF_MAPS`, two of `LPM_TRIE [u8; 4] -> Policy`: policies of IPv4 prefixes shorter than /32.
pub const PREFIXES4: &str = "PREFIXES4";
/// `ARRAY_OF_MAPS`, two of `LPM_TRIE [u8; 16] -> Policy`: policies of IPv6 prefixes shorter than /128.
pub const PREFIXES6: &str = "PREFIXES6";
/// `LPM_TRIE [u8; 4] -> u32`: the operator's IPv4 customer prefixes (value unused).
pub const CUSTOMERS4: &str = "CUSTOMERS4";
/// `LPM_TRIE [u8; 16] -> u32`: the operator's IPv6 customer prefixes (value unused).
pub const CUSTOMERS6: &str = "CUSTOMERS6";
/// `LPM_TRIE [u8; 4] -> u32`: IPv4 destinations that nobody is redirected away from (value unused).
pub const BYPASSES4: &str = "BYPASSES4";
/// `LPM_TRIE [u8; 16] -> u32`: IPv6 destinations that nobody is redirected away from (value unused).
pub const BYPASSES6: &str = "BYPASSES6";
/// `ARRAY -> Pool`, by pool number.
pub const POOLS: &str = "POOLS";
/// `ARRAY -> u32`: relay number by `pool * SLOTS_PER_POOL + slot`, or [`super::NO_RELAY`].
pub const SLOTS: &str = "SLOTS";
/// `ARRAY -> Relay`, by relay number.
pub const RELAYS: &str = "RELAYS";
/// `HASH ListenerKey -> u32`: relay number of a relay's listener, and, under port 0, of each of its
/// addresses.
pub const LISTENERS: &str = "LISTENERS";
/// `HASH FlowKey -> Flow`: one entry per diverted connection.
pub const FLOWS: &str = "FLOWS";
/// `LRU_HASH [u8; 16] -> Bucket`: new diverted or limited connections of a customer (IPv6: of its /64).
pub const SYN_BUCKETS: &str = "SYN_BUCKETS";
/// `HASH RoleKey -> u32`: role of a (interface, outer VLAN, inner VLAN) where an interface has several.
pub const ROLES: &str = "ROLES";
/// `ARRAY -> Settings`, one entry.
pub const SETTINGS: &str = "SETTINGS";
/// `PERCPU_ARRAY -> u64`, by [`crate::counters::Counter`].
pub const COUNTERS: &str = "COUNTERS";
/// `RINGBUF` of [`super::Event`].
pub const EVENTS: &str = "EVENTS";
/// `DEVMAP_HASH`: interfaces that a frame may be redirected to, by their index.
pub const DEVICES: &str = "DEVICES";
/// `LRU_HASH [u8; 16] -> Sighting`: what the radar has seen of a customer (IPv6: of its /64) in the
/// running window, if that has an even number; else in the one before.
pub const RADAR_EVEN: &str = "RADAR_EVEN";
/// The same for windows with odd numbers.
pub const RADAR_ODD: &str = "RADAR_ODD";
/// `LRU_HASH u64 -> u32`: sequence number of the far side's first octet, by connection.
pub const RADAR_OPENINGS: &str = "RADAR_OPENINGS";
/// `ARRAY -> CookieKey`, one entry.
pub const COOKIE_KEY: &str = "COOKIE_KEY";
/// `ARRAY -> Refusal`, by [`super::RefusalText::index`].
pub const REFUSALS: &str = "REFUSALS";
/// `ARRAY -> u64`: ports of relays beyond the uplink, one bit each, by [`super::port_bit`].
pub const UPLINK_PORTS: &str = "UPLINK_PORTS";
/// `HASH TunnelKey -> u32`: number of the relay at the far end of a tunnel.
pub const TUNNELS: &str = "TUNNELS";
/// `ARRAY -> CaptureOrder`, one entry: whether taken frames are shown.
pub const CAPTURE: &str = "CAPTURE";
/// `RINGBUF` of [`super::capture::Captured`], each with the octets of its frame behind it.
pub const CAPTURED: &str = "CAPTURED";
/// `PERCPU_ARRAY -> u64`, one entry: frames that found no room in [`CAPTURED`].
pub const CAPTURE_LOST: &str = "CAPTURE_LOST";

/// The maps that hold two sets of policies each; [`super::Settings::policy_set`] says which is in force. A
/// place without a map stands for no policy of that kind, and costs no look-up.
pub const SETS: [&str; 4] = [HOSTS4, HOSTS6, PREFIXES4, PREFIXES6];

/// Every map that is pinned under its own name. What stands in the places of [`SETS`] is pinned beside.
pub const ALL: [&str; 29] = [
    HOSTS4,
    HOSTS6,
    PREFIXES4,
    PREFIXES6,
    CUSTOMERS4,
    CUSTOMERS6,
    BYPASSES4,
    BYPASSES6,
    POOLS,
    SLOTS,
    RELAYS,
    LISTENERS,
    FLOWS,
    SYN_BUCKETS,
    ROLES,
    SETTINGS,
    COUNTERS,
    EVENTS,
    DEVICES,
    RADAR_EVEN,
    RADAR_ODD,
    RADAR_OPENINGS,
    COOKIE_KEY,
    REFUSALS,
    UPLINK_PORTS,
    TUNNELS,
    CAPTURE,
    CAPTURED,
    CAPTURE_LOST,
];
