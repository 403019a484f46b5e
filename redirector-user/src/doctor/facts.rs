//! What is so on this host. Only looks; what cannot be seen is `None` or the reason.

use std::{collections::BTreeSet, fs, io, net::IpAddr, path::Path};

use futures_util::TryStreamExt as _;
use rustix::{
    system::uname,
    thread::{CapabilitySet, capabilities},
};

use crate::{
    config::{Config, Relay, Through},
    edge::{
        health, interface,
        nexthop::{self, NextHopError},
        pins::is_bpffs,
    },
};

/// The kernel, and what its switches say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// As `uname -r` says it.
    pub(super) release: String,
    pub(super) pin_dir: String,
    pub(super) pin_dir_is_bpffs: bool,
    pub(super) jit: Option<bool>,
    pub(super) forwards4: Option<bool>,
    pub(super) forwards6: Option<bool>,
    /// Of those that `outgated` needs, the ones that this process lacks.
    pub(super) missing_capabilities: Vec<&'static str>,
    /// Whether customers or relays have IPv6.
    pub(super) uses_ipv6: bool,
}

/// One configured interface.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// `None` = there is no such interface; an error = the kernel was not willing to say.
    pub(super) link: Result<Option<interface::Interface>, String>,
    /// Offloads that are on, by the kernel's names; `None` = the driver does not say.
    pub(super) offloads: Option<BTreeSet<String>>,
}

/// The way to one address of a relay.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) address: IpAddr,
    /// Name of the interface that leads there.
    pub(super) interface: Result<String, String>,
    /// How the relay answered a probe.
    pub(super) probe: Result<(), String>,
}

pub(super) fn host(config: &Config) -> Host {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let of_relays = |(_, relay): (_, &Relay)| relay.address6.is_some();
    Host {
        release: uname().release().to_string_lossy().into_owned(),
        pin_dir: config.edge.pin_dir.display().to_string(),
        pin_dir_is_bpffs: is_bpffs(&config.edge.pin_dir).unwrap_or(false),
        jit: switch("net/core/bpf_jit_enable"),
        forwards4: switch("net/ipv4/ip_forward"),
        forwards6: switch("net/ipv6/conf/all/forwarding"),
        missing_capabilities: NEEDED
            .iter()
            .chain(matches!(config.health.through, Through::DataPath(_)).then_some(&PROBING))
            .filter(|(capability, _)| !effective.contains(*capability))
            .map(|(_, name)| *name)
            .collect(),
        uses_ipv6: config
            .customer_prefixes
            .iter()
            .any(|prefix| prefix.is_ipv6())
            || config.relays().any(of_relays),
    }
}

pub(super) async fn interface(name: &str) -> Seen {
    let link = async {
        let handle = interface::connect()?;
        interface::by_name(&handle, name).await
    };
    Seen {
        link: link.await.map_err(|error: io::Error| error.to_string()),
        offloads: offloads(name).await,
    }
}

pub(super) async fn ways(config: &Config, relay: &Relay) -> Vec<Way> {
    let mut ways = Vec::new();
    for address in relay.addresses() {
        let towards = nexthop::towards(relay, address).await;
        let interface = match towards {
            Ok(path) => name_of(path.ifindex).await,
            Err(error) => Err(error),
        };
        let listener = (address, relay.port.get()).into();
        let probe = health::probe(listener, config.health.timeout).await;
        ways.push(Way {
            address,
            interface: interface.map_err(|error| error.to_string()),
            probe: probe.map_err(|error| error.to_string()),
        });
    }
    ways
}

async fn name_of(ifindex: u32) -> Result<String, NextHopError> {
    let handle = interface::connect()?;
    let found = interface::by_index(&handle, ifindex).await?;
    Ok(found.map_or_else(|| format!("interface {ifindex}"), |found| found.name))
}

/// Active features; a driver without them, or a kernel without ethtool over netlink (before 5.6), gives none.
async fn offloads(name: &str) -> Option<BTreeSet<String>> {
    let (connection, mut handle, _messages) = ethtool::new_connection().ok()?;
    let driving = tokio::spawn(connection);
    let answers = handle.feature().get(Some(name)).execute().await.ok()?;
    let answers: Vec<_> = answers.try_collect().await.ok()?;
    driving.abort();
    let mut active = BTreeSet::new();
    for attribute in answers.into_iter().flat_map(|answer| answer.payload.nlas) {
        if let ethtool::EthtoolAttr::Feature(ethtool::EthtoolFeatureAttr::Active(bits)) = attribute
        {
            active.extend(bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name));
        }
    }
    Some(active)
}

fn switch(name: &str) -> Option<bool> {
    let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    Some(value.trim() != "0")
}

const NEEDED: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
];
/// Probes through the data path leave from a packet socket.
const PROBING: (CapabilitySet, &str) = (CapabilitySet::NET_RAW, "CAP_NET_RAW");
