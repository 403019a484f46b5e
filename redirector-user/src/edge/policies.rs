//! Customer prefixes and bypasses, in a map for each family, and policies, in the set that is in force.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{LpmTrie, MapData, MapError};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use redirector_common::abi::{Policy, Settings, map};

use super::{
    Edge, EdgeError,
    maps::{prefix_key, reading, removed, writing},
};

impl Edge {
    pub(crate) fn customers(&self) -> Result<BTreeSet<IpNetwork>, EdgeError> {
        let v4 = entries(map::CUSTOMERS4, &self.maps.customers4, network4)?;
        let v6 = entries(map::CUSTOMERS6, &self.maps.customers6, network6)?;
        Ok(v4.into_iter().chain(v6).map(|(prefix, _)| prefix).collect())
    }

    /// Destinations that nobody is redirected away from.
    pub(crate) fn bypasses(&self) -> Result<BTreeSet<IpNetwork>, EdgeError> {
        let v4 = entries(map::BYPASSES4, &self.maps.bypasses4, network4)?;
        let v6 = entries(map::BYPASSES6, &self.maps.bypasses6, network6)?;
        Ok(v4.into_iter().chain(v6).map(|(prefix, _)| prefix).collect())
    }

    /// Every policy in force.
    pub(crate) fn policies(&self) -> Result<BTreeMap<IpNetwork, Policy>, EdgeError> {
        self.sets.policies()
    }

    /// Changes many policies at once: whoever is judged meets all of the changes or none. `None` takes a
    /// policy away.
    pub(crate) fn change_policies(
        &mut self,
        changes: &BTreeMap<IpNetwork, Option<Policy>>,
    ) -> Result<(), EdgeError> {
        let mut policies = self.sets.policies()?;
        for (prefix, policy) in changes {
            match policy {
                Some(policy) => drop(policies.insert(*prefix, *policy)),
                None => drop(policies.remove(prefix)),
            }
        }
        self.load_policies(&policies)
    }

    /// Puts all of these policies into force in place of those that are, at once.
    ///
    /// # Errors
    ///
    /// [`EdgeError::PoliciesFull`]; what was in force still is then.
    pub fn load_policies(
        &mut self,
        policies: &BTreeMap<IpNetwork, Policy>,
    ) -> Result<(), EdgeError> {
        let Self { sets, maps, .. } = self;
        sets.load(policies, |policy_set| {
            let settings = Settings {
                policy_set,
                ..maps.settings()?
            };
            maps.put_settings(&settings)
        })
    }

    /// Loads the policies anew if they stand in tables of another size than is configured.
    pub(crate) fn fit_policies(&mut self) -> Result<(), EdgeError> {
        if self.sets.is_resized() {
            self.load_policies(&self.sets.policies()?)?;
        }
        Ok(())
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

    pub(crate) fn put_bypass(&mut self, prefix: IpNetwork) -> Result<(), EdgeError> {
        let written =
            |name, outcome: Result<(), MapError>| outcome.map_err(|error| writing(name, error));
        match prefix {
            IpNetwork::V4(v4) => {
                let key = prefix_key(prefix, v4.network().octets());
                written(map::BYPASSES4, self.maps.bypasses4.insert(&key, 0, 0))
            }
            IpNetwork::V6(v6) => {
                let key = prefix_key(prefix, v6.network().octets());
                written(map::BYPASSES6, self.maps.bypasses6.insert(&key, 0, 0))
            }
        }
    }

    pub(crate) fn remove_bypass(&mut self, prefix: IpNetwork) -> Result<(), EdgeError> {
        match prefix {
            IpNetwork::V4(v4) => {
                let key = prefix_key(prefix, v4.network().octets());
                removed(map::BYPASSES4, self.maps.bypasses4.remove(&key))
            }
            IpNetwork::V6(v6) => {
                let key = prefix_key(prefix, v6.network().octets());
                removed(map::BYPASSES6, self.maps.bypasses6.remove(&key))
            }
        }
    }

    pub(crate) fn put_policy(
        &mut self,
        prefix: IpNetwork,
        policy: &Policy,
    ) -> Result<(), EdgeError> {
        self.sets.put(prefix, policy)
    }

    pub(crate) fn remove_policy(&mut self, prefix: IpNetwork) -> Result<(), EdgeError> {
        self.sets.remove(prefix)
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
