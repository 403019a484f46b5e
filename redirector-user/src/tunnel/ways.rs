//! What the host's own addresses and routes mean for its tunnels.

use std::{collections::BTreeSet, io, net::IpAddr};

use futures_util::TryStreamExt as _;
use netlink_packet_route::address::AddressAttribute;
use redirector_common::abi::host::HostEdge;

use crate::edge::{
    EdgeError,
    interface::{self, Interface, netlink_error},
    nexthop::{self, NextHopError},
};

/// Every address of this network namespace.
pub(super) fn own_addresses() -> Result<BTreeSet<IpAddr>, EdgeError> {
    interface::blocking(async {
        let handle = interface::connect()?;
        let mut messages = handle.address().get().execute();
        let mut own = BTreeSet::new();
        while let Some(message) = messages.try_next().await.map_err(netlink_error)? {
            // Of a point-to-point interface the one is ours and the other one the peer's.
            let mut local = None;
            let mut address = None;
            for attribute in message.attributes {
                match attribute {
                    AddressAttribute::Local(found) => local = Some(found),
                    AddressAttribute::Address(found) => address = Some(found),
                    _ => {}
                }
            }
            own.extend(local.or(address));
        }
        Ok(own)
    })
    .map_err(|error| EdgeError::kernel("asking for this host's addresses", error))
}

/// What stands in the way of packets to the edges, and of answers to customers, as the routes are now.
pub(super) fn warnings(
    interface: &Interface,
    tunnels: &[(IpAddr, HostEdge)],
) -> Result<Vec<String>, EdgeError> {
    interface::blocking(async {
        let handle = interface::connect()?;
        let mut warnings = Vec::new();
        for (edge, _) in tunnels {
            match nexthop::route(&handle, *edge).await {
                Ok((ifindex, _)) if ifindex == interface.index => {}
                Ok(_) => warnings.push(format!(
                    "the route to edge {edge} leads by another interface than {0}, so nothing can be sent there; `ip route get {edge}` says by which: attach to that one, or add a route",
                    interface.name
                )),
                Err(NextHopError::Kernel(error)) => return Err(error),
                Err(error) => warnings.push(format!("edge {edge}: {error}")),
            }
        }
        if interface.mtu < LEAST_MTU {
            warnings.push(format!(
                "{}: the MTU is {} octets, and an IPv6 packet of 1280 does not fit with an outer header; raise it",
                interface.name, interface.mtu
            ));
        }
        Ok::<_, io::Error>(warnings)
    })
    .map_err(|error| EdgeError::kernel("asking for routes", error))
}

/// Every link carries IPv6 packets of 1280 octets (RFC 8200 section 5); with an outer IPv6 header they are longer.
const LEAST_MTU: u32 = 1280 + 40;
