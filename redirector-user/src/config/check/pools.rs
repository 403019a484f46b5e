//! Pools and their relays.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    num::{NonZeroU8, NonZeroU16},
};

use redirector_common::{
    abi::{OnFailure, POOLS_MAX, RELAYS_MAX, SMTP_PORT, Via},
    maglev::WEIGHT_MAX,
};

use super::{tunnel, within};
use crate::config::{
    Pool, Relay, Wrong,
    raw::{RawPool, RawRelay},
};

pub(super) fn pools(raw: &[RawPool]) -> Result<Vec<Pool>, Wrong> {
    if raw.len() > POOLS_MAX as usize {
        return Err(Wrong::new(
            "pool",
            format!("{} pools", raw.len()),
            format!("too many; at most {POOLS_MAX}"),
        ));
    }
    let relays: usize = raw.iter().map(|pool| pool.relay.len()).sum();
    if relays > RELAYS_MAX as usize {
        let problem = format!("too many; at most {RELAYS_MAX} over all pools");
        return Err(Wrong::new(
            "pool.relay",
            format!("{relays} relays"),
            problem,
        ));
    }
    let mut seen = Seen::default();
    raw.iter()
        .enumerate()
        .map(|(index, raw)| pool(&format!("pool[{index}]"), raw, &mut seen))
        .collect()
}

/// What must not occur twice over all pools.
#[derive(Default)]
struct Seen {
    pools: BTreeSet<String>,
    relays: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
    far_ends: BTreeSet<IpAddr>,
}

fn pool(key: &str, raw: &RawPool, seen: &mut Seen) -> Result<Pool, Wrong> {
    let name = name(format!("{key}.name"), &raw.name, &mut seen.pools)?;
    let via = Via::ALL.iter().copied().find(|via| via.name() == raw.via);
    let via = via.ok_or_else(|| {
        Wrong::new(
            format!("{key}.via"),
            &raw.via,
            "unknown; allowed are rewrite and steer",
        )
    })?;
    let on_failure = OnFailure::ALL
        .iter()
        .copied()
        .find(|on_failure| on_failure.name() == raw.on_failure);
    let on_failure = on_failure.ok_or_else(|| {
        Wrong::new(
            format!("{key}.on_failure"),
            &raw.on_failure,
            "unknown; allowed are open, closed and refuse",
        )
    })?;
    // What is steered keeps its destination, and no stock relay takes mail for any address there is.
    if raw.third_party && via == Via::Steer {
        let problem = "a pool that is via = \"steer\" has relays of our own; a third party's are reached via = \"rewrite\"";
        return Err(Wrong::new(format!("{key}.third_party"), true, problem));
    }
    if raw.relay.is_empty() {
        let problem =
            "a pool without a relay cannot take a customer; give at least one [[pool.relay]]";
        return Err(Wrong::new(format!("{key}.relay"), "[]", problem));
    }
    let relays = raw.relay.iter().enumerate();
    let relays = relays.map(|(index, raw)| relay(&format!("{key}.relay[{index}]"), raw, via, seen));
    Ok(Pool {
        name,
        via,
        on_failure,
        third_party: raw.third_party,
        relays: relays.collect::<Result<_, _>>()?,
    })
}

fn relay(key: &str, raw: &RawRelay, via: Via, seen: &mut Seen) -> Result<Relay, Wrong> {
    let relay_key = key;
    let name = name(format!("{key}.name"), &raw.name, &mut seen.relays)?;
    let port = within::<u16>(&format!("{key}.port"), raw.port, 1..=65535)?;
    let port = NonZeroU16::new(port)
        .ok_or_else(|| Wrong::new(format!("{key}.port"), port, "not a port"))?;
    // A steered connection keeps its port, and a probe must ask the listener that would get it.
    if via == Via::Steer && port.get() != SMTP_PORT {
        let problem =
            "a pool that is via = \"steer\" has relays that listen on port 25; allowed is 25";
        return Err(Wrong::new(format!("{key}.port"), port, problem));
    }
    let (mut address4, mut address6) = (None, None);
    for (index, address) in raw.address.iter().enumerate() {
        let key = format!("{key}.address[{index}]");
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            return Err(Wrong::new(
                key,
                address,
                "no frame can be sent there; give the address of the relay's listener",
            ));
        }
        // Two listeners on one address would need the port to tell their flows apart from the outside.
        if !seen.addresses.insert(*address) {
            return Err(Wrong::new(
                key,
                address,
                "a relay has this address already; one relay per address",
            ));
        }
        let second = match address {
            IpAddr::V4(v4) => address4.replace(*v4).is_some(),
            IpAddr::V6(v6) => address6.replace(*v6).is_some(),
        };
        if second {
            return Err(Wrong::new(
                key,
                address,
                "second address of this family; one per family",
            ));
        }
    }
    if address4.is_none() && address6.is_none() {
        let problem = "no address; give one IPv4 address, one IPv6 address, or both";
        return Err(Wrong::new(format!("{key}.address"), "[]", problem));
    }
    if raw.vlan.len() > 2 {
        let problem = "too many tags; at most two, outer first";
        return Err(Wrong::new(
            format!("{key}.vlan"),
            format!("{:?}", raw.vlan),
            problem,
        ));
    }
    let vlan = raw.vlan.iter().enumerate();
    let vlan = vlan.map(|(index, id)| within(&format!("{key}.vlan[{index}]"), *id, 1..=4094));
    let vlan = vlan.collect::<Result<_, _>>()?;
    let key = format!("{key}.weight");
    let weight = within::<u8>(&key, raw.weight, 1..=WEIGHT_MAX.into())?;
    let weight = NonZeroU8::new(weight).ok_or_else(|| Wrong::new(key, weight, "not a weight"))?;
    let tunnel = raw.tunnel.as_ref();
    let tunnel = tunnel.map(|raw| tunnel::tunnel(relay_key, raw, via, &mut seen.far_ends));
    Ok(Relay {
        name,
        address4,
        address6,
        port,
        vlan,
        weight,
        tunnel: tunnel.transpose()?,
    })
}

pub(super) fn name(key: String, name: &str, seen: &mut BTreeSet<String>) -> Result<String, Wrong> {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    if name.is_empty() || name.len() > 63 || !name.bytes().all(allowed) {
        let problem = "not a name; allowed are 1 to 63 of letters, digits, '-', '_' and '.'";
        return Err(Wrong::new(key, format!("{name:?}"), problem));
    }
    if !seen.insert(name.to_owned()) {
        return Err(Wrong::new(key, name, "named twice; names are unique"));
    }
    Ok(name.to_owned())
}
