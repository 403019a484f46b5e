//! `[health]`: how relays are probed, and from where.

use std::{collections::BTreeSet, net::IpAddr};

use ipnetwork::IpNetwork;

use super::{duration, overlap, prefix};
use crate::config::{Health, Pool, Through, Wrong, probe::sources, raw::RawHealth};

pub(super) fn health(
    raw: &RawHealth,
    customers: &BTreeSet<IpNetwork>,
    pools: &[Pool],
) -> Result<Health, Wrong> {
    let interval = duration("health.interval", &raw.interval, INTERVALS)?;
    let timeout = duration("health.timeout", &raw.timeout, TIMEOUTS)?;
    if timeout > interval {
        let problem = format!(
            "longer than health.interval ({}); probes of one relay must not overlap",
            raw.interval
        );
        return Err(Wrong::new("health.timeout", &raw.timeout, problem));
    }
    let reserved = reserved(&raw.probe_sources, customers, pools)?;
    Ok(Health {
        interval,
        timeout,
        through: through(raw.through.as_deref(), &reserved, pools)?,
        reserved,
    })
}

/// Who reserves addresses for probes wants them used, unless it is said otherwise.
fn through(word: Option<&str>, reserved: &[IpNetwork], pools: &[Pool]) -> Result<Through, Wrong> {
    match word {
        Some(Through::DIRECT) => return Ok(Through::Direct),
        None if reserved.is_empty() => return Ok(Through::Direct),
        Some(Through::DATA_PATH) if reserved.is_empty() => {
            let problem = "needs addresses to probe from; reserve some in health.probe_sources, or say \"direct\"";
            return Err(Wrong::new("health.through", Through::DATA_PATH, problem));
        }
        Some(Through::DATA_PATH) | None => {}
        Some(other) => {
            let problem = "unknown; allowed are data-path and direct";
            return Err(Wrong::new("health.through", other, problem));
        }
    }
    match sources(reserved, listeners(pools)) {
        Ok(sources) => Ok(Through::DataPath(sources)),
        Err(listener) => {
            let (family, length) = match listener {
                IpAddr::V4(_) => ("IPv4", 28),
                IpAddr::V6(_) => ("IPv6", 64),
            };
            let problem = format!(
                "too few {family} addresses: none is left for the relay that listens on {listener}; each address of a \
                 relay is probed from one of its own, reserve a /{length} more"
            );
            Err(Wrong::new(
                "health.probe_sources",
                listed(reserved),
                problem,
            ))
        }
    }
}

fn reserved(
    raw: &[String],
    customers: &BTreeSet<IpNetwork>,
    pools: &[Pool],
) -> Result<Vec<IpNetwork>, Wrong> {
    let mut reserved: Vec<IpNetwork> = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let key = format!("health.probe_sources[{index}]");
        let prefix = prefix(&key, text)?;
        let wrong = |problem: String| Err(Wrong::new(&key, text, problem));
        let inside = |customers: &&IpNetwork| {
            customers.contains(prefix.network()) && customers.prefix() <= prefix.prefix()
        };
        if !customers.iter().any(|customers| inside(&customers)) {
            // A relay's host sends back through the edge what is for customers, and nothing else for sure.
            return wrong(String::from(
                "outside customer_prefixes; reserve addresses inside them that no host has",
            ));
        }
        if prefix.is_ipv6() && prefix.prefix() > 64 {
            return wrong(String::from(
                "longer than /64, which counts as one customer; reserve a /64 that no host is in",
            ));
        }
        if let Some(other) = reserved.iter().find(|other| overlap(**other, prefix)) {
            return wrong(format!("overlaps {other}; keep the wider of the two"));
        }
        if let Some(listener) = listeners(pools).find(|listener| prefix.contains(*listener)) {
            return wrong(format!(
                "a relay listens on {listener} in it; reserve addresses that no host has"
            ));
        }
        reserved.push(prefix);
    }
    Ok(reserved)
}

fn listeners(pools: &[Pool]) -> impl Iterator<Item = IpAddr> {
    let relays = pools.iter().flat_map(|pool| &pool.relays);
    relays.flat_map(|relay| relay.addresses())
}

fn listed(prefixes: &[IpNetwork]) -> String {
    let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    prefixes.join(", ")
}

const INTERVALS: (&str, &str) = ("100ms", "5m");
const TIMEOUTS: (&str, &str) = ("50ms", "1m");
