//! Who is in the lab, and under which documentation addresses (RFC 5737, RFC 3849).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A namespace of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// The customer that gets flagged.
    CustomerA,
    /// The bystander.
    CustomerB,
    /// The router with the program under test.
    Edge,
    /// Where `outgate-relay` runs.
    Relay,
    /// A mail exchanger on the internet.
    Mx1,
    /// Another one.
    Mx2,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// `IPv4` or `IPv6`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// One veth: a host's `eth0`, and the interface at the edge that it is joined to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) host: Host,
    pub(crate) edge_interface: &'static str,
    pub(crate) host_v4: Ipv4Addr,
    pub(crate) edge_v4: Ipv4Addr,
    pub(crate) host_v6: Ipv6Addr,
    pub(crate) edge_v6: Ipv6Addr,
}

impl Host {
    /// Every host.
    pub const ALL: [Self; 6] = [
        Self::CustomerA,
        Self::CustomerB,
        Self::Edge,
        Self::Relay,
        Self::Mx1,
        Self::Mx2,
    ];

    /// The name that its namespace ends in.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CustomerA => "customer-a",
            Self::CustomerB => "customer-b",
            Self::Edge => "edge",
            Self::Relay => "relay",
            Self::Mx1 => "mx1",
            Self::Mx2 => "mx2",
        }
    }

    /// The host's own address. The edge answers with its address on the relay's wire.
    #[must_use]
    pub fn address(self, family: Family) -> IpAddr {
        let wire = self.wire();
        match (self, family) {
            (Self::Edge, Family::V4) => wire.edge_v4.into(),
            (Self::Edge, Family::V6) => wire.edge_v6.into(),
            (_, Family::V4) => wire.host_v4.into(),
            (_, Family::V6) => wire.host_v6.into(),
        }
    }

    /// The interface of the edge that leads to this host.
    #[must_use]
    pub fn edge_interface(self) -> &'static str {
        self.wire().edge_interface
    }

    pub(crate) fn wire(self) -> &'static Wire {
        match self {
            Self::CustomerA => &WIRES[0],
            Self::CustomerB => &WIRES[1],
            Self::Relay | Self::Edge => &WIRES[2],
            Self::Mx1 => &WIRES[3],
            Self::Mx2 => &WIRES[4],
        }
    }
}

/// A host's interface, whichever host it is.
pub const HOST_INTERFACE: &str = "eth0";
/// Bits of prefix of every IPv4 wire.
pub(crate) const V4_PREFIX_LEN: u8 = 29;
/// Bits of prefix of every IPv6 wire.
pub(crate) const V6_PREFIX_LEN: u8 = 64;

pub(crate) const WIRES: [Wire; 5] = [
    Wire {
        host: Host::CustomerA,
        edge_interface: "cust-a",
        host_v4: Ipv4Addr::new(192, 0, 2, 10),
        edge_v4: Ipv4Addr::new(192, 0, 2, 9),
        host_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0xa, 0, 0, 0, 0x10),
        edge_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0xa, 0, 0, 0, 1),
    },
    Wire {
        host: Host::CustomerB,
        edge_interface: "cust-b",
        host_v4: Ipv4Addr::new(192, 0, 2, 20),
        edge_v4: Ipv4Addr::new(192, 0, 2, 17),
        host_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0xb, 0, 0, 0, 0x20),
        edge_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0xb, 0, 0, 0, 1),
    },
    Wire {
        host: Host::Relay,
        edge_interface: "relay0",
        host_v4: Ipv4Addr::new(198, 51, 100, 2),
        edge_v4: Ipv4Addr::new(198, 51, 100, 1),
        host_v6: Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2),
        edge_v6: Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1),
    },
    Wire {
        host: Host::Mx1,
        edge_interface: "up1",
        host_v4: Ipv4Addr::new(203, 0, 113, 10),
        edge_v4: Ipv4Addr::new(203, 0, 113, 9),
        host_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xb, 1, 0, 0, 0, 0x10),
        edge_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xb, 1, 0, 0, 0, 1),
    },
    Wire {
        host: Host::Mx2,
        edge_interface: "up2",
        host_v4: Ipv4Addr::new(203, 0, 113, 20),
        edge_v4: Ipv4Addr::new(203, 0, 113, 17),
        host_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xb, 2, 0, 0, 0, 0x20),
        edge_v6: Ipv6Addr::new(0x2001, 0xdb8, 0xb, 2, 0, 0, 0, 1),
    },
];
