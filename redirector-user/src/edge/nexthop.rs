//! The way to a relay: interface, addresses of both ends of the link, VLAN tags.
//!
//! The kernel program redirects frames without asking the kernel's routing, so the controller asks
//! on its behalf: route, interface and neighbour over rtnetlink. A neighbour that is not known is
//! provoked with a datagram to its discard port (RFC 863).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteType, RouteVia},
};
use redirector_common::abi::L2Path;
use rtnetlink::{Handle, RouteMessageBuilder};
use rustix::io::Errno;
use tokio::{net::UdpSocket, time::Instant};

use super::interface::{self, Interface, netlink_error};
use crate::config::Relay;

/// Why there is no way to an address (yet).
#[derive(Debug, thiserror::Error)]
pub enum NextHopError {
    /// The routing table has no way.
    #[error("no route to {0}; `ip route get {0}` shows what the kernel would do")]
    NoRoute(IpAddr),
    /// The address is one of this host's own.
    #[error(
        "{0} is an address of this host; put the relay into a network namespace of its own, behind a veth"
    )]
    Local(IpAddr),
    /// The interface has no Ethernet address.
    #[error("{interface} has no Ethernet address; the relay must be reached over Ethernet")]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// Nobody answers for the next hop.
    #[error("no answer from next hop {next_hop} on {interface}; is it up, and on that link?")]
    Silent {
        /// The next hop.
        next_hop: IpAddr,
        /// Where it should be.
        interface: String,
    },
    /// Tags that cannot be.
    #[error("{0}")]
    Tags(String),
    /// The kernel answered with an error.
    #[error("asking the kernel for the way: {0}")]
    Kernel(#[from] io::Error),
}

/// Finds the way to an address of a relay, or to the far end of its tunnel.
///
/// # Errors
///
/// As [`resolve`].
pub async fn towards(relay: &Relay, address: IpAddr) -> Result<L2Path, NextHopError> {
    resolve(relay.towards(address), &relay.vlan).await
}

/// Finds the way to an address. `vlan` are tags, outer first, for a relay behind tags that the kernel
/// has no interface for; empty = as the kernel's own VLAN devices say.
///
/// Takes up to a second, when the next hop must be provoked first.
///
/// # Errors
///
/// [`NextHopError`] says what is missing.
pub async fn resolve(address: IpAddr, vlan: &[u16]) -> Result<L2Path, NextHopError> {
    let handle = interface::connect()?;
    let (ifindex, next_hop) = route(&handle, address).await?;
    let towards = by_index(&handle, ifindex).await?;
    let own_mac = towards.mac.ok_or_else(|| NextHopError::NotEthernet {
        interface: towards.name.clone(),
    })?;
    let peer_mac = neighbour(&handle, &towards, next_hop).await?;
    let (ifindex, tags) = tags(&handle, towards, vlan).await?;
    Ok(L2Path {
        ifindex,
        peer_mac,
        own_mac,
        tags,
    })
}

/// Interface and next hop towards an address: `ip route get`.
pub(crate) async fn route(handle: &Handle, address: IpAddr) -> Result<(u32, IpAddr), NextHopError> {
    let length = if address.is_ipv4() { 32 } else { 128 };
    let request = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(address, length)
        .map_err(|error| io::Error::other(error.to_string()))?
        .build();
    let answer = handle
        .route()
        .get(request)
        .execute()
        .try_next()
        .await
        .map_err(netlink_error);
    let message = match answer {
        Ok(Some(message)) => message,
        Ok(None) => return Err(NextHopError::NoRoute(address)),
        Err(error) => {
            return Err(match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ACCESS | Errno::INVAL) => {
                    NextHopError::NoRoute(address)
                }
                _ => error.into(),
            });
        }
    };
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Err(NextHopError::Local(address)),
        _ => return Err(NextHopError::NoRoute(address)),
    }
    let mut ifindex = None;
    let mut next_hop = address;
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(index),
            RouteAttribute::Gateway(RouteAddress::Inet(gateway))
            | RouteAttribute::Via(RouteVia::Inet(gateway)) => next_hop = gateway.into(),
            RouteAttribute::Gateway(RouteAddress::Inet6(gateway))
            | RouteAttribute::Via(RouteVia::Inet6(gateway)) => next_hop = gateway.into(),
            _ => {}
        }
    }
    Ok((ifindex.ok_or(NextHopError::NoRoute(address))?, next_hop))
}

async fn by_index(handle: &Handle, ifindex: u32) -> Result<Interface, NextHopError> {
    let missing = || io::Error::from(Errno::NODEV);
    Ok(interface::by_index(handle, ifindex)
        .await?
        .ok_or_else(missing)?)
}

/// Ethernet address of a next hop; provokes the kernel to find it where it must.
async fn neighbour(
    handle: &Handle,
    towards: &Interface,
    next_hop: IpAddr,
) -> Result<[u8; 6], NextHopError> {
    let deadline = Instant::now() + RESOLVE_DEADLINE;
    let mut provoked = false;
    loop {
        let known = known_neighbour(handle, towards.index, next_hop).await?;
        if !provoked && known.is_none_or(|(_, fresh)| !fresh) {
            // An address that is only stale is used, and confirmed behind our back.
            provoke(next_hop, towards.index).await?;
            provoked = true;
        }
        if let Some((mac, _)) = known {
            return Ok(mac);
        }
        if Instant::now() >= deadline {
            let interface = towards.name.clone();
            return Err(NextHopError::Silent {
                next_hop,
                interface,
            });
        }
        tokio::time::sleep(RESOLVE_POLL).await;
    }
}

/// A neighbour's Ethernet address, and whether it needs no confirmation.
async fn known_neighbour(
    handle: &Handle,
    ifindex: u32,
    address: IpAddr,
) -> io::Result<Option<([u8; 6], bool)>> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let mut neighbours = handle
        .neighbours()
        .get()
        .set_address_family(family)
        .execute();
    while let Some(message) = neighbours.try_next().await.map_err(netlink_error)? {
        if message.header.ifindex == ifindex && destination(&message) == Some(address) {
            return Ok(usable(&message));
        }
    }
    Ok(None)
}

fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                Some((*address).into())
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                Some((*address).into())
            }
            _ => None,
        })
}

fn usable(message: &NeighbourMessage) -> Option<([u8; 6], bool)> {
    let fresh = match message.header.state {
        NeighbourState::Reachable
        | NeighbourState::Permanent
        | NeighbourState::Noarp
        | NeighbourState::Delay
        | NeighbourState::Probe => true,
        NeighbourState::Stale => false,
        _ => return None,
    };
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(octets) => {
                Some((<[u8; 6]>::try_from(octets.as_slice()).ok()?, fresh))
            }
            _ => None,
        })
}

/// Sends a datagram, so that the kernel looks for the next hop's Ethernet address.
async fn provoke(next_hop: IpAddr, ifindex: u32) -> io::Result<()> {
    let (from, to): (IpAddr, SocketAddr) = match next_hop {
        IpAddr::V4(v4) => (Ipv4Addr::UNSPECIFIED.into(), (v4, DISCARD_PORT).into()),
        IpAddr::V6(v6) => {
            // Only a link-local address has a scope; on any other the kernel ignores it.
            let scoped = SocketAddrV6::new(v6, DISCARD_PORT, 0, ifindex);
            (Ipv6Addr::UNSPECIFIED.into(), scoped.into())
        }
    };
    let socket = UdpSocket::bind((from, 0)).await?;
    match socket.send_to(&[], to).await {
        Ok(_) => Ok(()),
        // An error of an earlier attempt, reported late; the attempt itself was made.
        Err(error) if error.kind() == io::ErrorKind::HostUnreachable => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where frames really leave, and with which tags: a VLAN device is its parent plus a tag.
async fn tags(
    handle: &Handle,
    towards: Interface,
    configured: &[u16],
) -> Result<(u32, [[u8; 4]; 2]), NextHopError> {
    if configured.is_empty() {
        let mut tags = Vec::new();
        let mut device = towards;
        while let Some(vlan) = device.vlan {
            // The device nearest to the wire adds the outer tag.
            tags.insert(0, (vlan.tpid, vlan.id));
            device = by_index(handle, vlan.parent).await?;
        }
        return Ok((device.index, encode_tags(&tags)?));
    }
    if towards.vlan.is_some() {
        return Err(NextHopError::Tags(format!(
            "the route leads over the VLAN device {}, and tags are configured as well; remove one of them",
            towards.name
        )));
    }
    let tags: Vec<(u16, u16)> = match configured {
        [only] => vec![(TPID_8021Q, *only)],
        [outer, inner @ ..] => std::iter::once((TPID_8021AD, *outer))
            .chain(inner.iter().map(|id| (TPID_8021Q, *id)))
            .collect(),
        [] => Vec::new(),
    };
    Ok((towards.index, encode_tags(&tags)?))
}

/// Tags, outer first, as they stand in a frame.
fn encode_tags(tags: &[(u16, u16)]) -> Result<[[u8; 4]; 2], NextHopError> {
    if tags.len() > 2 {
        return Err(NextHopError::Tags(format!(
            "{} VLAN tags; two at most",
            tags.len()
        )));
    }
    let mut encoded = [[0; 4]; 2];
    for (slot, (tpid, id)) in encoded.iter_mut().zip(tags) {
        if !(1..=4094).contains(id) {
            return Err(NextHopError::Tags(format!(
                "VLAN {id}; 1 to 4094 are allowed"
            )));
        }
        let [a, b] = tpid.to_be_bytes();
        let [c, d] = id.to_be_bytes();
        *slot = [a, b, c, d];
    }
    Ok(encoded)
}

const DISCARD_PORT: u16 = 9;
const RESOLVE_DEADLINE: Duration = Duration::from_secs(1);
const RESOLVE_POLL: Duration = Duration::from_millis(20);
const TPID_8021Q: u16 = 0x8100;
const TPID_8021AD: u16 = 0x88a8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_in_network_order_outer_first() {
        let encoded = encode_tags(&[(TPID_8021AD, 100), (TPID_8021Q, 4094)]).unwrap();
        assert_eq!(encoded, [[0x88, 0xa8, 0, 100], [0x81, 0, 0x0f, 0xfe]]);
        assert_eq!(encode_tags(&[]).unwrap(), [[0; 4]; 2]);
    }

    #[test]
    fn impossible_tags_are_refused() {
        for tags in [
            &[(TPID_8021Q, 0)][..],
            &[(TPID_8021Q, 4095)],
            &[(TPID_8021Q, 1); 3],
        ] {
            encode_tags(tags).unwrap_err();
        }
    }
}
