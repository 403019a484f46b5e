//! Tunnels to relays: whether what the relay sends comes here, and whether what fits in fits through.

use std::net::IpAddr;

use redirector_common::abi::L2Path;

use super::{
    Finding,
    judge::{fault, good, warning},
};
use crate::{
    config::{Config, Tunnel},
    edge::{
        interface,
        nexthop::{self, NextHopError},
    },
};

/// What is so of one tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// Whether our end is an address of this host.
    is_local: bool,
    /// The interface that leads to the other end, and its MTU; `None` = there is no way, or nobody could say.
    link: Option<(String, u32)>,
}

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, relay) in config.relays() {
        if let Some(tunnel) = relay.tunnel {
            let path = nexthop::resolve(tunnel.remote, &relay.vlan).await;
            let seen = Seen {
                is_local: is_local(tunnel.local).await,
                link: link(path).await,
            };
            findings.extend(judge(&relay.name, tunnel, &seen));
        }
    }
    findings
}

async fn is_local(address: IpAddr) -> bool {
    let answer = nexthop::resolve(address, &[]).await;
    matches!(answer, Err(NextHopError::Local(_)))
}

async fn link(path: Result<L2Path, NextHopError>) -> Option<(String, u32)> {
    let handle = interface::connect().ok()?;
    let found = interface::by_index(&handle, path.ok()?.ifindex).await;
    found.ok()?.map(|found| (found.name, found.mtu))
}

fn judge(relay: &str, tunnel: Tunnel, seen: &Seen) -> Vec<Finding> {
    let about = format!("tunnel to {relay}");
    let Tunnel { local, remote, mtu } = tunnel;
    let mut findings = Vec::new();
    if !seen.is_local {
        findings.push(warning(
            &about,
            format!("{local} is no address of this host: what the relay sends there may never come here"),
            &format!(
                "`ip address add {local} dev lo`, and have the routers lead it here; or say another address of this host as \
                 tunnel.local"
            ),
        ));
    }
    let needed = u32::from(mtu) + u32::from(Tunnel::header_octets(remote));
    match &seen.link {
        Some((interface, link_mtu)) if needed > *link_mtu => findings.push(fault(
            &about,
            format!(
                "packets of {mtu} octets have {needed} in the tunnel, and {interface} takes {link_mtu}: the longest are \
                 dropped, and no sender is told"
            ),
            &format!(
                "tunnel.mtu = {}, or less if the way beyond is narrower",
                link_mtu.saturating_sub(u32::from(Tunnel::header_octets(remote)))
            ),
        )),
        Some((interface, _)) if seen.is_local => findings.push(good(
            &about,
            format!("{local} to {remote} by {interface}, packets of up to {mtu} octets"),
        )),
        // What is wrong with the way is said of the relay.
        Some(_) | None => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn judged(is_local: bool, link_mtu: Option<u32>, mtu: u16) -> Vec<(Level, String)> {
        let tunnel = Tunnel {
            local: "198.51.100.1".parse().unwrap(),
            remote: "198.51.100.130".parse().unwrap(),
            mtu,
        };
        let seen = Seen {
            is_local,
            link: link_mtu.map(|mtu| (String::from("relay0"), mtu)),
        };
        judge("relay-1", tunnel, &seen)
            .into_iter()
            .map(|finding| (finding.level, finding.remedy.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn a_tunnel_that_fits_and_ends_here_is_good() {
        assert_eq!(
            judged(true, Some(1500), 1480),
            [(Level::Good, String::new())]
        );
        assert_eq!(judged(true, None, 1480), []);
    }

    #[test]
    fn what_does_not_fit_through_is_named_with_what_would() {
        let found = judged(true, Some(1500), 1481);
        assert_eq!(found[0].0, Level::Fault);
        assert!(found[0].1.contains("tunnel.mtu = 1480"), "{found:?}");
    }

    #[test]
    fn an_end_elsewhere_is_named() {
        let found = judged(false, Some(1500), 1480);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Level::Warning);
    }
}
