//! Customer prefixes and policies: maps that exist once per family, and policies once more by
//! whether they stand for one address (an exact look-up is cheap) or for a shorter prefix.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{HashMap, LpmTrie, MapData};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use redirector_common::abi::{Policy, map};

use super::{
    Edge, EdgeError,
    maps::{PolicyOctets, prefix_key, reading, removed, writing},
};

impl Edge {
    pub(crate) fn customers(&self) -> Result<BTreeSet<IpNetwork>, EdgeError> {
        let v4 = entries(map::CUSTOMERS4, &self.maps.customers4, network4)?;
        let v6 = entries(map::CUSTOMERS6, &self.maps.customers6, network6)?;
        Ok(v4.into_iter().chain(v6).map(|(prefix, _)| prefix).collect())
    }

    pub(crate) fn policies(&self) -> Result<BTreeMap<IpNetwork, Policy>, EdgeError> {
        let hosts4 = hosts(map::HOSTS4, &self.maps.hosts4, |octets| {
            network4(octets, 32)
        })?;
        let hosts6 = hosts(map::HOSTS6, &self.maps.hosts6, |octets| {
            network6(octets, 128)
        })?;
        let prefixes4 = entries(map::PREFIXES4, &self.maps.prefixes4, network4)?;
        let prefixes6 = entries(map::PREFIXES6, &self.maps.prefixes6, network6)?;
        let all = [hosts4, hosts6, prefixes4, prefixes6].into_iter().flatten();
        Ok(all
            .map(|(prefix, octets)| (prefix, Policy::from_octets(&octets)))
            .collect())
    }

    pub(crate) fn put_customer(&mut self, prefix: IpNetwork) -> Result<(), EdgeError> {
        match prefix {
            IpNetwork::V4(v4) => {
                let key = prefix_key(prefix, v4.network().octets());
                self.maps
                    .customers4
                    .insert(&key, 0, 0)
                    .map_err(|error| writing(map::CUSTOMERS4, error))
            }
            IpNetwork::V6(v6) => {
                let key = prefix_key(prefix, v6.network().octets());
                self.maps
                    .customers6
                    .insert(&key, 0, 0)
                    .map_err(|error| writing(map::CUSTOMERS6, error))
            }
        }
    }

    pub(crate) fn remove_customer(&mut self, prefix: IpNetwork) -> Result<(), EdgeError> {
        match prefix {
            IpNetwork::V4(v4) => {
                let key = prefix_key(prefix, v4.network().octets());
                removed(map::CUSTOMERS4, self.maps.customers4.remove(&key))
            }
            IpNetwork::V6(v6) => {
                let key = prefix_key(prefix, v6.network().octets());
                removed(map::CUSTOMERS6, self.maps.customers6.remove(&key))
            }
        }
    }

    pub(crate) fn put_policy(
        &mut self,
        prefix: IpNetwork,
        policy: &Policy,
    ) -> Result<(), EdgeError> {
        let value = policy.to_octets();
        match prefix {
            IpNetwork::V4(v4) if v4.prefix() == 32 => {
                let key = v4.ip().octets();
                self.maps
                    .hosts4
                    .insert(key, value, 0)
                    .map_err(|error| writing(map::HOSTS4, error))
            }
            IpNetwork::V4(v4) => {
                let key = prefix_key(prefix, v4.network().octets());
                self.maps
                    .prefixes4
                    .insert(&key, value, 0)
                    .map_err(|error| writing(map::PREFIXES4, error))
            }
            IpNetwork::V6(v6) if v6.prefix() == 128 => {
                let key = v6.ip().octets();
                self.maps
                    .hosts6
                    .insert(key, value, 0)
                    .map_err(|error| writing(map::HOSTS6, error))
            }
            IpNetwork::V6(v6) => {
                let key = prefix_key(prefix, v6.network().octets());
                self.maps
                    .prefixes6
                    .insert(&key, value, 0)
                    .map_err(|error| writing(map::PREFIXES6, error))
            }
        }
    }

    pub(crate) fn remove_policy(&mut self, prefix: IpNetwork) -> Result<(), EdgeError> {
        match prefix {
            IpNetwork::V4(v4) if v4.prefix() == 32 => {
                removed(map::HOSTS4, self.maps.hosts4.remove(&v4.ip().octets()))
            }
            IpNetwork::V4(v4) => {
                let key = prefix_key(prefix, v4.network().octets());
                removed(map::PREFIXES4, self.maps.prefixes4.remove(&key))
            }
            IpNetwork::V6(v6) if v6.prefix() == 128 => {
                removed(map::HOSTS6, self.maps.hosts6.remove(&v6.ip().octets()))
            }
            IpNetwork::V6(v6) => {
                let key = prefix_key(prefix, v6.network().octets());
                removed(map::PREFIXES6, self.maps.prefixes6.remove(&key))
            }
        }
    }
}

/// Makes a prefix of its octets and length; a length out of a map is never beyond the family's.
type Network<const N: usize> = fn([u8; N], u8) -> Option<IpNetwork>;

fn network4(octets: [u8; 4], length: u8) -> Option<IpNetwork> {
    Ipv4Network::new(octets.into(), length)
        .ok()
        .map(IpNetwork::V4)
}

fn network6(octets: [u8; 16], length: u8) -> Option<IpNetwork> {
    Ipv6Network::new(octets.into(), length)
        .ok()
        .map(IpNetwork::V6)
}

fn entries<const N: usize, V: aya::Pod>(
    name: &str,
    trie: &LpmTrie<MapData, [u8; N], V>,
    network: Network<N>,
) -> Result<Vec<(IpNetwork, V)>, EdgeError> {
    let mut entries = Vec::new();
    for entry in trie {
        let (key, value) = entry.map_err(|error| reading(name, error))?;
        let length = u8::try_from(key.prefix_len()).ok();
        let prefix = length.and_then(|length| network(key.data(), length));
        entries.extend(prefix.map(|prefix| (prefix, value)));
    }
    Ok(entries)
}

fn hosts<const N: usize>(
    name: &str,
    hosts: &HashMap<MapData, [u8; N], PolicyOctets>,
    network: impl Fn([u8; N]) -> Option<IpNetwork>,
) -> Result<Vec<(IpNetwork, PolicyOctets)>, EdgeError> {
    let mut found = Vec::new();
    for entry in hosts {
        let (octets, value) = entry.map_err(|error| reading(name, error))?;
        found.extend(network(octets).map(|prefix| (prefix, value)));
    }
    Ok(found)
}
