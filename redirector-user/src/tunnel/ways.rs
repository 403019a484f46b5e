//! What the host's own addresses and routes mean for its tunnels.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt as _;
use netlink_packet_route::{address::AddressAttribute, link::LinkAttribute};
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

/// What routes and interface are like, as far as tunnels care.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// The interface's index, name and MTU.
    interface: (u32, String, u32),
    /// Octets that the kernel hands to it at once.
    gso_octets: u32,
    /// By which interface the way to an edge leads; or why there is none.
    edges: Vec<(IpAddr, Result<u32, String>)>,
    /// By which one the way to anybody leads, where there is one.
    elsewhere: Vec<(IpAddr, u32)>,
}

/// What stands in the way of packets to the edges, and of answers to customers, as the host is now.
pub(super) fn warnings(
    interface: &Interface,
    tunnels: &[(IpAddr, HostEdge)],
) -> Result<Vec<String>, EdgeError> {
    interface::blocking(gather(interface, tunnels))
        .map(|facts| judge(&facts))
        .map_err(|error| EdgeError::kernel("asking for routes", error))
}

async fn gather(interface: &Interface, tunnels: &[(IpAddr, HostEdge)]) -> io::Result<Facts> {
    let handle = interface::connect()?;
    let mut facts = Facts {
        interface: (interface.index, interface.name.clone(), interface.mtu),
        ..Facts::default()
    };
    for (edge, _) in tunnels {
        let way = match nexthop::route(&handle, *edge).await {
            Ok((ifindex, _)) => Ok(ifindex),
            Err(NextHopError::Kernel(error)) => return Err(error),
            Err(error) => Err(error.to_string()),
        };
        facts.edges.push((*edge, way));
    }
    for anybody in ANYBODY {
        // A host may well know one family alone.
        if let Ok((ifindex, _)) = nexthop::route(&handle, anybody).await {
            facts.elsewhere.push((anybody, ifindex));
        }
    }
    let mut links = handle.link().get().match_index(interface.index).execute();
    while let Some(link) = links.try_next().await.map_err(netlink_error)? {
        for attribute in link.attributes {
            if let LinkAttribute::GsoMaxSize(octets) = attribute {
                facts.gso_octets = octets;
            }
        }
    }
    Ok(facts)
}

fn judge(facts: &Facts) -> Vec<String> {
    let (index, name, mtu) = &facts.interface;
    let mut warnings = Vec::new();
    for (edge, way) in &facts.edges {
        match way {
            Ok(ifindex) if ifindex == index => {}
            Ok(_) => warnings.push(format!(
                "the way to edge {edge} leads by another interface than {name}, and nothing can be sent to it; `ip route get {edge}` says by which: attach to that one, or add a route"
            )),
            Err(reason) => warnings.push(format!("edge {edge}: {reason}")),
        }
    }
    for (anybody, ifindex) in &facts.elsewhere {
        if ifindex != index {
            let family = if anybody.is_ipv4() { "IPv4" } else { "IPv6" };
            warnings.push(format!(
                "the default route ({family}) leads by another interface than {name}, and answers to customers leave there, in no tunnel; `ip route get {anybody}` says by which: let it lead by {name}"
            ));
        }
    }
    if *mtu < LEAST_MTU {
        warnings.push(format!(
            "{name}: the MTU is {mtu} octets, and an IPv6 packet of 1280 does not fit with an outer header of 40; raise it to {LEAST_MTU} at least"
        ));
    }
    if facts.gso_octets > LONGEST_PACKET {
        warnings.push(format!(
            "{name}: the kernel merges up to {} octets, more than a tunnel's header can say, and such packets are dropped; run `ip link set dev {name} gso_max_size {LONGEST_PACKET}`",
            facts.gso_octets
        ));
    }
    warnings
}

/// Addresses of nobody's (RFC 5737, RFC 3849), which no route but the default one is about.
const ANYBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 25)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 25)),
];
/// Every link carries IPv6 packets of 1280 octets (RFC 8200 section 5); with an outer IPv6 header they are longer.
const LEAST_MTU: u32 = 1280 + 40;
/// What the kernel merges unless it was told otherwise (`GSO_LEGACY_MAX_SIZE`); TCP leaves room for headers in it.
const LONGEST_PACKET: u32 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Facts);

    fn sound() -> Facts {
        Facts {
            interface: (2, String::from("eth0"), 1500),
            gso_octets: 65_536,
            edges: vec![([192, 0, 2, 1].into(), Ok(2))],
            elsewhere: ANYBODY.map(|anybody| (anybody, 2)).to_vec(),
        }
    }

    #[test]
    fn a_host_whose_ways_lead_by_the_interface_is_sound() {
        assert_eq!(judge(&sound()), Vec::<String>::new());
        // One that knows one family alone is, too.
        let mut facts = sound();
        facts.elsewhere.pop();
        assert_eq!(judge(&facts), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_keeps_packets_out_of_tunnels_is_named() {
        let cases: [(Change, &str); 5] = [
            (|facts| facts.edges[0].1 = Ok(3), "to edge 192.0.2.1"),
            (
                |facts| facts.edges[0].1 = Err(String::from("no route")),
                "no route",
            ),
            (|facts| facts.elsewhere[1].1 = 3, "default route (IPv6)"),
            (|facts| facts.interface.2 = 1300, "1320 at least"),
            (|facts| facts.gso_octets = 524_280, "gso_max_size 65536"),
        ];
        for (change, says) in cases {
            let mut facts = sound();
            change(&mut facts);
            let warnings = judge(&facts);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(says), "{warnings:?}");
        }
    }
}
