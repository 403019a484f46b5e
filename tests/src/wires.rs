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
    batch(&edge, &["link set lo up".to_owned()])?;
    for wire in &WIRES {
        quiet_kernel(&namespace(wire.host))?;
        join_one(&edge, &namespace(wire.host), wire, xdp_pass)?;
    }
    Ok(())
}

/// Joins one host to the edge.
pub(crate) fn join_one(
    edge: &Namespace,
    host: &Namespace,
    wire: &Wire,
    xdp_pass: &Path,
) -> Result<()> {
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
    batch(host, &host_side(wire))?;
    batch(edge, &edge_side(wire))?;
    // A frame whose checksum is still to be computed by hardware that does not exist: its
    // receiver believes it unseen, so a wrong rewrite would never show.
    ethtool::set(host, HOST_INTERFACE, Offload::TxChecksum, false)?;
    ethtool::set(edge, wire.edge_interface, Offload::TxChecksum, false)?;
    ethtool::set(host, HOST_INTERFACE, Offload::Gso, false)?;
    ethtool::set(host, HOST_INTERFACE, Offload::Gro, false)?;
    if XDP_PASS.contains(&wire.host) {
        xdp_pass::attach(host, HOST_INTERFACE, xdp_pass)?;
    }
    Ok(())
}

/// Lets a host leave checksums and segmentation to a network card, as hosts do. The other end of its wire
/// still hides nothing: what leaves there is summed in software.
pub(crate) fn offload(host: &Namespace) -> Result<()> {
    checked(
        host.command("ip")
            .args(["link", "set", "dev", HOST_INTERFACE, "xdpdrv", "off"]),
    )?;
    ethtool::set(host, HOST_INTERFACE, Offload::TxChecksum, true)?;
    ethtool::set(host, HOST_INTERFACE, Offload::Gso, true)?;
    ethtool::set(host, HOST_INTERFACE, Offload::Tso, true)
}

/// Has a host merge the segments that come in.
pub(crate) fn merge(host: &Namespace) -> Result<()> {
    ethtool::set(host, HOST_INTERFACE, Offload::Gro, true)
}

/// Frames that have come to a host, each as it came in.
pub(crate) fn received(host: &Namespace) -> Result<u64> {
    let show = ["-j", "-s", "link", "show", "dev", HOST_INTERFACE];
    let shown = checked(host.command("ip").args(show))?;
    let links: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    let frames = links[0]["stats64"]["rx"]["packets"].as_u64();
    frames.context("a link without figures")
}

/// Takes an interface of a namespace away, and what it is joined to with it.
pub(crate) fn remove(namespace: &Namespace, interface: &str) -> Result<()> {
    checked(
        namespace
            .command("ip")
            .args(["link", "delete", "dev", interface]),
    )
    .map(drop)
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

/// Hosts that frames are sent to by XDP.
/// A third party's relay stands on mx2's host.
const XDP_PASS: [Host; 4] = [Host::CustomerA, Host::CustomerB, Host::Relay, Host::Mx2];

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
