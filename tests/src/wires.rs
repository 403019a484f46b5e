//! Veths between the hosts and the edge, with addresses, routes and switches.

pub(crate) mod router;

use std::{fs, io::Write as _, net::IpAddr, path::Path, process::Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use smoltcp::wire::EthernetAddress;

use crate::{
    ethtool::{self, Offload},
    host::{Family, HOST_INTERFACE, Host, V4_PREFIX_LEN, V6_PREFIX_LEN, WIRES, Wire},
    netns::Namespace,
    process::checked,
    xdp_pass,
};

/// Joins every host to the edge; `xdp_pass` is the object file for those that frames are sent to
/// by XDP.
pub(crate) fn join(namespace: impl Fn(Host) -> Namespace, xdp_pass: &Path) -> Result<()> {
    let edge = namespace(Host::Edge);
    quiet_kernel(&edge)?;
    set_sysctls(
        &edge,
        &[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
        ],
    )?;
    let mut at_edge = vec!["link set lo up".to_owned()];
    for wire in &WIRES {
        let host = namespace(wire.host);
        quiet_kernel(&host)?;
        checked(edge.command("ip").args([
            "link",
            "add",
            wire.edge_interface,
            "type",
            "veth",
            "peer",
            "name",
            HOST_INTERFACE,
            "netns",
            host.name(),
        ]))?;
        at_edge.extend(edge_side(wire));
        batch(&host, &host_side(wire))?;
    }
    batch(&edge, &at_edge)?;
    for wire in &WIRES {
        // A frame whose checksum is still to be computed by hardware that does not exist: its
        // receiver believes it unseen, so a wrong rewrite would never show.
        let host = namespace(wire.host);
        ethtool::set(&host, HOST_INTERFACE, Offload::TxChecksum, false)?;
        ethtool::set(&edge, wire.edge_interface, Offload::TxChecksum, false)?;
        ethtool::set(&host, HOST_INTERFACE, Offload::Gso, false)?;
        ethtool::set(&host, HOST_INTERFACE, Offload::Gro, false)?;
    }
    // Whoever frames are redirected to; a third party's relay stands on mx2's host.
    for host in [Host::CustomerA, Host::CustomerB, Host::Relay, Host::Mx2] {
        xdp_pass::attach(&namespace(host), HOST_INTERFACE, xdp_pass)?;
    }
    Ok(())
}

pub(crate) fn add_address(namespace: &Namespace, address: IpAddr, family: Family) -> Result<()> {
    let line = match family {
        Family::V4 => format!("address add {address}/{V4_PREFIX_LEN} dev {HOST_INTERFACE}"),
        // Deprecated: nobody who does not ask for it sends from it, as with a second IPv4 address.
        Family::V6 => format!(
            "address add {address}/{V6_PREFIX_LEN} dev {HOST_INTERFACE} nodad preferred_lft 0"
        ),
    };
    batch(namespace, &[line])
}

pub(crate) fn mac(namespace: &Namespace, interface: &str) -> Result<[u8; 6]> {
    let shown = checked(
        namespace
            .command("ip")
            .args(["-j", "link", "show", "dev", interface]),
    )?;
    let links: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    let address = links[0]["address"]
        .as_str()
        .context("a link without an address")?;
    Ok(address
        .parse::<EthernetAddress>()
        .map_err(|()| anyhow!("no MAC address: {address}"))?
        .0)
}

fn edge_side(wire: &Wire) -> [String; 3] {
    let interface = wire.edge_interface;
    [
        format!(
            "address add {}/{V4_PREFIX_LEN} dev {interface}",
            wire.edge_v4
        ),
        format!(
            "address add {}/{V6_PREFIX_LEN} dev {interface} nodad",
            wire.edge_v6
        ),
        format!("link set {interface} up"),
    ]
}

fn host_side(wire: &Wire) -> [String; 6] {
    [
        "link set lo up".to_owned(),
        format!(
            "address add {}/{V4_PREFIX_LEN} dev {HOST_INTERFACE}",
            wire.host_v4
        ),
        format!(
            "address add {}/{V6_PREFIX_LEN} dev {HOST_INTERFACE} nodad",
            wire.host_v6
        ),
        format!("link set {HOST_INTERFACE} up"),
        format!("route add default via {}", wire.edge_v4),
        format!("route add default via {}", wire.edge_v6),
    ]
}

/// Switches off what would delay or drop: duplicate address detection (two seconds at start),
/// router solicitations, and reverse path filters.
fn quiet_kernel(namespace: &Namespace) -> Result<()> {
    set_sysctls(
        namespace,
        &[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv6/conf/all/disable_ipv6", "0"),
            ("net/ipv6/conf/default/disable_ipv6", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/dad_transmits", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
        ],
    )
}

/// `/proc/sys/net` shows the namespace of the thread that opens it.
fn set_sysctls(namespace: &Namespace, settings: &[(&str, &str)]) -> Result<()> {
    namespace.inside(|| {
        for (key, value) in settings {
            let path = format!("/proc/sys/{key}");
            fs::write(&path, value).with_context(|| format!("{path} = {value}"))?;
        }
        Ok(())
    })
}

/// Lines for `ip`, in one process.
fn batch(namespace: &Namespace, lines: &[String]) -> Result<()> {
    let mut ip = namespace.command("ip");
    let mut child = ip
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting nsenter and ip")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all((lines.join("\n") + "\n").as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "ip -batch in {}: {}\n{}",
            namespace.name(),
            String::from_utf8_lossy(&output.stderr),
            lines.join("\n")
        );
    }
    Ok(())
}
