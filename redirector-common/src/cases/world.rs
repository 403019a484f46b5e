//! The network of the cases: a customer, a relay and two MXs, once per family.

mod segments;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    string::String,
    vec,
    vec::Vec,
};

use super::{Case, EGRESS, INGRESS};
use crate::{
    abi::{
        self, ANY_PORT, Action, Flow, FlowKey, L2Path, ListenerKey, OnFailure, Policy, Pool, Relay,
        Role, Settings, Via,
    },
    addr::Addr,
    flow::{SEEN_ACK, SEEN_SYN},
    tables::{Verdict, memory::MemoryTables},
};

/// Entries of the flow table in every case.
pub const FLOWS_MAX: usize = 16;

/// Addresses of one family.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// Now, in seconds of `CLOCK_MONOTONIC`.
    pub now_s: u32,
    /// The customer.
    pub customer: IpAddr,
    /// The relay.
    pub relay: IpAddr,
    /// Two destinations.
    pub mx: [IpAddr; 2],
    /// A network around the customer.
    pub network: (IpAddr, u8),
    /// A candidate port of the customer's connection to the second MX from [`World::PORT`]. Literal,
    /// because a new program must find the entries of an old one.
    pub second_port: u16,
}

impl World {
    /// The IPv4 network.
    #[must_use]
    pub fn v4(now_s: u32) -> Self {
        Self {
            family: "IPv4",
            now_s,
            customer: Ipv4Addr::new(192, 0, 2, 10).into(),
            relay: Ipv4Addr::new(198, 51, 100, 2).into(),
            mx: [
                Ipv4Addr::new(203, 0, 113, 10).into(),
                Ipv4Addr::new(203, 0, 113, 20).into(),
            ],
            network: (Ipv4Addr::new(192, 0, 2, 0).into(), 24),
            second_port: 0x11d9,
        }
    }

    /// The IPv6 network.
    #[must_use]
    pub fn v6(now_s: u32) -> Self {
        let address = |a, b, last| Ipv6Addr::new(0x2001, 0xdb8, a, b, 0, 0, 0, last).into();
        Self {
            family: "IPv6",
            now_s,
            customer: address(0xa, 0xa, 0x10),
            relay: address(2, 0, 2),
            mx: [address(0xb, 1, 0x10), address(0xb, 2, 0x20)],
            network: (address(0xa, 0, 0), 48),
            second_port: 0xe513,
        }
    }

    /// Maps with one relay in rotation and no policy.
    #[must_use]
    pub fn tables(&self) -> MemoryTables {
        let mut tables = MemoryTables {
            now_ns: u64::from(self.now_s) * 1_000_000_000,
            settings: Settings {
                heartbeat_s: self.now_s - 1,
                heartbeat_limit_s: 300,
                syn_rate: 20,
                syn_burst: 100,
                generation: 1,
                radar_window: abi::RADAR_OFF,
                // An odd one, so that nothing is found in the place that new maps start with.
                policy_set: 3,
            },
            flows_max: FLOWS_MAX,
            ..MemoryTables::default()
        };
        let (network, length) = self.network;
        tables.customers.insert((network.into(), length));
        tables.pools.insert(0, pool(OnFailure::Closed));
        tables.slots.insert(0, Self::RELAY.into());
        tables
            .relays
            .insert(Self::RELAY.into(), self.relay_record(relay_path()));
        tables.listeners.insert(ListenerKey::new(
            self.relay.into(),
            Self::RELAY_PORT.to_be_bytes(),
        ));
        tables.devices.extend([INGRESS, EGRESS]);
        tables
    }

    /// The relay, reached by this path in both families.
    #[must_use]
    pub fn relay_record(&self, path: L2Path) -> Relay {
        let mut relay = Relay {
            port_be: Self::RELAY_PORT.to_be_bytes(),
            path4: path,
            path6: path,
            ..Relay::default()
        };
        match Addr::from(self.relay) {
            Addr::V4(octets) => relay.addr4 = octets,
            Addr::V6(octets) => relay.addr6 = octets,
        }
        relay
    }

    /// The key that says that the relay's address is its own, whatever the port.
    #[must_use]
    pub fn relay_address(&self) -> ListenerKey {
        ListenerKey::new(self.relay.into(), ANY_PORT)
    }

    /// The same maps with a policy of the customer's address.
    #[must_use]
    pub fn flagged(&self, action: Action) -> MemoryTables {
        let mut tables = self.tables();
        tables.hosts.insert(self.customer.into(), policy(action));
        tables
    }

    /// The same maps with the customer redirected, and its connection to the first MX established.
    #[must_use]
    pub fn diverted(&self) -> MemoryTables {
        let mut tables = self.flagged(Action::Redirect);
        tables.put_flow(self.key(Self::PORT), self.flow());
        tables
    }

    /// The same maps with the customer redirected to a pool that is steered to.
    #[must_use]
    pub fn steered(&self) -> MemoryTables {
        let mut tables = self.flagged(Action::Redirect);
        tables.pools.insert(0, steering(OnFailure::Closed));
        tables
    }

    /// The same maps with the customer's address lent to its relays.
    #[must_use]
    pub fn lent(&self) -> MemoryTables {
        let mut tables = self.steered();
        let lent = Policy {
            flags: Policy::LENDS_ADDRESS,
            ..policy(Action::Redirect)
        };
        tables.hosts.insert(self.customer.into(), lent);
        tables
    }

    /// The same maps with the relay beyond the uplink, on this port.
    #[must_use]
    pub fn with_relay_beyond(&self, mut tables: MemoryTables, port: u16) -> MemoryTables {
        let relay = Relay {
            port_be: port.to_be_bytes(),
            flags: Relay::BEYOND_UPLINK,
            ..self.relay_record(relay_path())
        };
        tables.relays.insert(Self::RELAY.into(), relay);
        tables.listeners.clear();
        for port_be in [relay.port_be, ANY_PORT] {
            let key = ListenerKey::new(self.relay.into(), port_be);
            tables.listeners.insert(key);
        }
        tables.uplink_ports.insert(port);
        tables
    }

    /// Key of the customer's entry for a steered connection to an MX.
    #[must_use]
    pub fn steered_key(&self, mx: IpAddr) -> FlowKey {
        FlowKey::new(
            self.customer.into(),
            Self::PORT.to_be_bytes(),
            mx.into(),
            [0, 25],
        )
    }

    /// Key of the customer's entry under a port shown to the relay.
    #[must_use]
    pub fn key(&self, shown: u16) -> FlowKey {
        FlowKey::new(
            self.customer.into(),
            shown.to_be_bytes(),
            self.relay.into(),
            Self::RELAY_PORT.to_be_bytes(),
        )
    }

    /// Entry of the customer's established connection to the first MX, ten seconds idle.
    #[must_use]
    pub fn flow(&self) -> Flow {
        Flow {
            original_dst: Addr::from(self.mx[0]).mapped(),
            customer_path: customer_path(),
            created_s: self.now_s - 20,
            last_seen_s: self.now_s - 10,
            flag_id: FLAG_ID,
            customer_port_be: Self::PORT.to_be_bytes(),
            relay: Self::RELAY,
            from_customer: SEEN_SYN | SEEN_ACK,
            from_relay: SEEN_SYN | SEEN_ACK,
            reserved16: 0,
            reserved32: 0,
        }
    }

    /// The entry that a SYN to the first MX makes now.
    #[must_use]
    pub fn new_flow(&self) -> Flow {
        Flow {
            created_s: self.now_s,
            last_seen_s: self.now_s,
            from_customer: SEEN_SYN,
            from_relay: 0,
            ..self.flow()
        }
    }

    /// A case with a customer's frame that passes untouched and uncounted; the methods of [`Case`]
    /// say otherwise.
    #[must_use]
    pub fn case(&self, name: &str, tables: MemoryTables, frame: Vec<u8>) -> Case {
        let mut full_name = String::from(name);
        full_name.push_str(", ");
        full_name.push_str(self.family);
        Case {
            name: full_name,
            role: Some(Role::Customer),
            tables,
            out: Some(frame.clone()),
            frame,
            verdict: Verdict::Pass,
            counters: vec![],
            entry: None,
            sightings: None,
            host_only: false,
        }
    }

    /// Port that the customer's connections come from.
    pub const PORT: u16 = 40_000;
    /// Port that the relay listens on.
    pub const RELAY_PORT: u16 = 2525;
    /// Number of the relay.
    pub const RELAY: u16 = 3;
}

/// A policy without grace.
pub(super) fn policy(action: Action) -> Policy {
    Policy {
        flag_id: FLAG_ID,
        grace_until_s: 0,
        pool: 0,
        flags: 0,
        action: action as u8,
        prefix_len: 0,
        limit_per_hour: 0,
        limit_burst: 0,
    }
}

/// A pool that exists.
pub(super) fn pool(on_failure: OnFailure) -> Pool {
    Pool {
        on_failure: on_failure as u8,
        present: 1,
        via: Via::Rewrite as u8,
        reserved: [0; 5],
    }
}

/// The same, steered to.
pub(super) fn steering(on_failure: OnFailure) -> Pool {
    Pool {
        via: Via::Steer as u8,
        ..pool(on_failure)
    }
}

/// The way to the relay.
pub(crate) fn relay_path() -> L2Path {
    L2Path {
        ifindex: EGRESS,
        peer_mac: RELAY_MAC,
        own_mac: EDGE_RELAY_MAC,
        tags: [[0; 4]; 2],
    }
}

/// The way to the customer, as its frames teach it.
pub(super) fn customer_path() -> L2Path {
    L2Path {
        ifindex: INGRESS,
        peer_mac: CUSTOMER_MAC,
        own_mac: EDGE_MAC,
        tags: [[0; 4]; 2],
    }
}

pub(super) const FLAG_ID: u32 = 41;
pub(super) const CUSTOMER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
pub(super) const EDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(super) const EDGE_RELAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(super) const RELAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
