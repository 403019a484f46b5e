//! The tunnel to a relay that is on no link of the edge's.

use std::{collections::BTreeSet, net::IpAddr};

use redirector_common::abi::{self, Via};

use super::within;
use crate::config::{Tunnel, Wrong, raw::RawTunnel};

/// `key` is the relay's; `far_ends` are those of other relays' tunnels.
pub(super) fn tunnel(
    key: &str,
    raw: &RawTunnel,
    via: Via,
    far_ends: &mut BTreeSet<IpAddr>,
) -> Result<Tunnel, Wrong> {
    let key = format!("{key}.tunnel");
    let RawTunnel { local, remote, mtu } = *raw;
    if via != Via::Steer {
        let problem = "only a relay that is steered to needs one: what is rewritten is routed to its `address`; remove it, \
                       or say via = \"steer\" in the pool";
        return Err(Wrong::new(key, format!("{local} to {remote}"), problem));
    }
    for (name, end) in [("local", local), ("remote", remote)] {
        if !is_end(end) {
            let problem = "no end of a tunnel; give an address that the routers on the way know";
            return Err(Wrong::new(format!("{key}.{name}"), end, problem));
        }
    }
    if local.is_ipv4() != remote.is_ipv4() {
        let problem = format!(
            "not of the family of local = \"{local}\"; both ends are of one, and customers of both families go through"
        );
        return Err(Wrong::new(format!("{key}.remote"), remote, problem));
    }
    if local == remote {
        let problem =
            "both ends are one address; local is the edge's, remote is the relay's host's";
        return Err(Wrong::new(format!("{key}.remote"), remote, problem));
    }
    // What comes from there must be one relay's: its mtu, its connections.
    if !far_ends.insert(remote) {
        let problem = "another relay's tunnel ends there; give each relay's host an address of its own for it";
        return Err(Wrong::new(format!("{key}.remote"), remote, problem));
    }
    let mtu = match mtu {
        None => Tunnel::usual_mtu(remote),
        Some(mtu) => {
            let allowed = abi::Tunnel::MTU_MIN.into()..=abi::Tunnel::MTU_MAX.into();
            within(&format!("{key}.mtu"), mtu, allowed)?
        }
    };
    Ok(Tunnel { local, remote, mtu })
}

/// Whether routers lead there.
fn is_end(address: IpAddr) -> bool {
    let nowhere = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    !nowhere && !link_local
}
