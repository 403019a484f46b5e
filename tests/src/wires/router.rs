//! A router in front of a host: what is between the edge and somebody else's machine, with a smaller link.
//!
//! The host keeps its addresses. The route through the router has the small MTU, the links have not: as on
//! the internet, neither end knows of it until a packet too big is told so.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::{batch, checked, quiet_kernel, set_sysctls};
use crate::{
    ethtool::{self, Offload},
    host::{HOST_INTERFACE, Host, V4_PREFIX_LEN, V6_PREFIX_LEN, Wire},
    netns::Namespace,
};

/// Puts `router`, an empty namespace, between the edge and a host; to the host it takes `mtu` octets.
pub(crate) fn interpose(
    namespace: impl Fn(Host) -> Namespace,
    host: Host,
    router: &Namespace,
    mtu: u16,
) -> Result<()> {
    let (wire, edge, behind) = (host.wire(), namespace(Host::Edge), namespace(host));
    let (v4, v6) = addresses(wire);
    quiet_kernel(router)?;
    set_sysctls(
        router,
        &[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
        ],
    )?;
    // Its offloads and its XDP program, if it has one, go with it.
    let moved = format!("link set {HOST_INTERFACE} netns {}", router.name());
    batch(&behind, &[moved])?;
    checked(router.command("ip").args([
        "link",
        "add",
        INNER,
        "type",
        "veth",
        "peer",
        "name",
        HOST_INTERFACE,
        "netns",
        behind.name(),
    ]))?;
    batch(router, &router_side(wire, v4, v6, mtu))?;
    batch(&behind, &host_side(wire, v4))?;
    let interface = wire.edge_interface;
    batch(
        &edge,
        &[
            format!("route add {}/32 via {v4} dev {interface}", wire.host_v4),
            format!("route add {}/128 via {v6} dev {interface}", wire.host_v6),
        ],
    )?;
    // As on the other wires: see there.
    ethtool::set(router, INNER, Offload::TxChecksum, false)?;
    for offload in [Offload::TxChecksum, Offload::Gso, Offload::Gro] {
        ethtool::set(&behind, HOST_INTERFACE, offload, false)?;
    }
    Ok(())
}

/// The router's addresses towards the edge: the last ones of the wire's prefixes that a host may have.
fn addresses(wire: &Wire) -> (Ipv4Addr, Ipv6Addr) {
    let v4 = u32::from(wire.host_v4) | (u32::MAX >> V4_PREFIX_LEN);
    let v6 = u128::from(wire.host_v6) | (u128::MAX >> V6_PREFIX_LEN);
    (Ipv4Addr::from(v4 - 1), Ipv6Addr::from(v6 - 1))
}

fn router_side(wire: &Wire, v4: Ipv4Addr, v6: Ipv6Addr, mtu: u16) -> [String; 10] {
    [
        "link set lo up".to_owned(),
        format!("address add {v4}/{V4_PREFIX_LEN} dev {HOST_INTERFACE}"),
        format!("address add {v6}/{V6_PREFIX_LEN} dev {HOST_INTERFACE} nodad"),
        format!("address add {GATEWAY_V6}/64 dev {INNER} nodad"),
        format!("link set {HOST_INTERFACE} up"),
        format!("link set {INNER} up"),
        format!("route add default via {}", wire.edge_v4),
        format!("route add default via {}", wire.edge_v6),
        format!("route add {}/32 dev {INNER} mtu lock {mtu}", wire.host_v4),
        format!("route add {}/128 dev {INNER} mtu lock {mtu}", wire.host_v6),
    ]
}

fn host_side(wire: &Wire, v4: Ipv4Addr) -> [String; 6] {
    [
        format!("address add {}/32 dev {HOST_INTERFACE}", wire.host_v4),
        format!(
            "address add {}/128 dev {HOST_INTERFACE} nodad",
            wire.host_v6
        ),
        format!("link set {HOST_INTERFACE} up"),
        format!("route add {v4}/32 dev {HOST_INTERFACE}"),
        format!("route add default via {v4}"),
        format!("route add default via {GATEWAY_V6} dev {HOST_INTERFACE}"),
    ]
}

/// The router's interface to the host.
pub(crate) const INNER: &str = "inner";
/// The router as the host sees it: a link-local address, as routers have it.
const GATEWAY_V6: &str = "fe80::1";
