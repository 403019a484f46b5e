//! Capabilities: all but CAP_NET_RAW where customers' addresses may be bound, and CAP_BPF where a flow table is read. What
//! was not given is not asked for.
//!
//! Before Linux 5.19 reading a pinned map needs CAP_BPF for every look-up, not only for opening it.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::Came;
use crate::config::Config;

pub(super) fn drop_all(config: &Config) -> Came {
    match drop_but(wanted(config)) {
        Ok(kept) if kept.is_empty() => Came::InForce("all dropped".into()),
        Ok(kept) => Came::InForce(format!("all dropped but {}", names(kept))),
        Err(error) => Came::NotInForce(error.to_string()),
    }
}

fn wanted(config: &Config) -> CapabilitySet {
    let mut wanted = CapabilitySet::empty();
    // What the edge sends here may have to leave from the customer's own address; the controller says for whom.
    let by_the_edge = !config.transparent.is_empty() || config.rewritten.is_some();
    wanted.set(CapabilitySet::NET_RAW, by_the_edge);
    wanted.set(CapabilitySet::BPF, config.rewritten.is_some());
    wanted
}

/// What is left of `wanted`.
fn drop_but(wanted: CapabilitySet) -> rustix::io::Result<CapabilitySet> {
    let held = capabilities(None)?;
    let kept = held.permitted & wanted;
    // Removing from the bounding set is itself privileged: without the privilege there is nothing to be had by it.
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all() {
            match remove_capability_from_bounding_set(capability) {
                // A kernel that is older than the capability does not know it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)?;
    set_no_new_privs(true)?;
    Ok(kept)
}

fn names(kept: CapabilitySet) -> String {
    let names: Vec<String> = kept
        .iter_names()
        .map(|(name, _)| format!("CAP_{name}"))
        .collect();
    names.join(", ")
}
