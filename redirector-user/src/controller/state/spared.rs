//! Whom nobody can flag: what carries the gate itself, and what the operator says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnetwork::IpNetwork;

use crate::{config::Config, policy::prefixes::Prefixes};

/// All of them, with why. Where the operator says why, that stands.
pub(super) fn protected(config: &Config, own: &BTreeSet<IpAddr>) -> Prefixes<String> {
    let listeners = config.relays().flat_map(|(_, relay)| {
        let addresses = relay.addresses();
        addresses.map(|address| (address, format!("the listener of {}", relay.name)))
    });
    let own = own
        .iter()
        .map(|address| (*address, String::from("this edge's own address")));
    let gate = own.chain(listeners);
    let gate = gate.map(|(address, what)| (IpNetwork::from(address), what));
    let said = config.protected.iter();
    let said = said.map(|(prefix, why)| (prefix, why.clone()));
    let all: BTreeMap<_, _> = gate.chain(said).collect();
    all.into_iter().collect()
}

/// Those that a flag could cover: a policy of their own keeps them free then.
pub(super) fn spared(config: &Config, protected: &Prefixes<String>) -> BTreeSet<IpNetwork> {
    let customers = config.customer_prefixes.iter();
    let inside = customers.flat_map(|customers| protected.within(*customers));
    inside.map(|(prefix, _)| prefix).collect()
}
