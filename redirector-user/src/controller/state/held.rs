//! What the kernel still holds of relays, found again in the configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use redirector_common::abi::{self, L2Path};

use crate::{
    config::{self, Config},
    reconcile::EdgeState,
};

/// Numbers of the relays, in the order of the configuration. Flows in the kernel name their relay by number,
/// so a listener keeps the one it has there, however the configuration was reordered.
pub(super) fn relay_numbers(config: &Config, held: &EdgeState) -> Vec<u32> {
    let same_listener = |relay: &config::Relay, held: &abi::Relay| {
        held.addr4
            == relay
                .address4
                .map(|address| address.octets())
                .unwrap_or_default()
            && held.addr6
                == relay
                    .address6
                    .map(|address| address.octets())
                    .unwrap_or_default()
            && held.port_be == relay.port.get().to_be_bytes()
    };
    let kept: Vec<Option<u32>> = config
        .relays()
        .map(|(_, relay)| {
            held.relays
                .iter()
                .find(|(_, held)| same_listener(relay, held))
                .map(|(number, _)| *number)
        })
        .collect();
    let taken: BTreeSet<u32> = kept.iter().flatten().copied().collect();
    let mut free = (0..abi::RELAYS_MAX)
        .filter(|number| !taken.contains(number) && !held.relays.contains_key(number));
    // With every number in use by old listeners, one of theirs must do.
    let mut reused = held
        .relays
        .keys()
        .copied()
        .filter(|number| !taken.contains(number));
    let number = |kept: Option<u32>| {
        kept.or_else(|| free.next())
            .or_else(|| reused.next())
            .unwrap_or_default()
    };
    kept.into_iter().map(number).collect()
}

/// The ways that the last controller has found, if they lead where this one wants to go.
pub(super) fn known_paths(relay: &config::Relay, held: &abi::Relay) -> BTreeMap<IpAddr, L2Path> {
    let far = |tunnel: abi::Tunnel| tunnel.is_one().then_some(tunnel.far);
    if far(held.tunnel) != far(relay.tunnel.map(Into::into).unwrap_or_default()) {
        return BTreeMap::new();
    }
    let paths = relay.addresses().map(|address| match address {
        IpAddr::V4(_) => (address, held.path4),
        IpAddr::V6(_) => (address, held.path6),
    });
    paths.filter(|(_, path)| path.ifindex != 0).collect()
}
