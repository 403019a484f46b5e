//! The four kinds of tables that make a set, and prefixes as their keys.

use std::net::{Ipv4Addr, Ipv6Addr};

use aya::maps::MapType;
use aya_obj::generated::bpf_map_type;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use redirector_common::abi::map;

/// What a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Single IPv4 addresses.
    Hosts4,
    /// Single IPv6 addresses.
    Hosts6,
    /// Shorter IPv4 prefixes.
    Prefixes4,
    /// Shorter IPv6 prefixes.
    Prefixes6,
}

/// A prefix as the key of its table.
pub(super) struct Key {
    pub(super) kind: Kind,
    octets: [u8; LONGEST_KEY],
}

/// One thing for each kind.
#[derive(Debug, Default)]
pub(super) struct PerKind<T> {
    hosts4: T,
    hosts6: T,
    prefixes4: T,
    prefixes6: T,
}

impl<T> PerKind<T> {
    /// Makes each of them.
    pub(super) fn try_of<E>(mut make: impl FnMut(Kind) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            hosts4: make(Kind::Hosts4)?,
            hosts6: make(Kind::Hosts6)?,
            prefixes4: make(Kind::Prefixes4)?,
            prefixes6: make(Kind::Prefixes6)?,
        })
    }

    pub(super) const fn of(&self, kind: Kind) -> &T {
        match kind {
            Kind::Hosts4 => &self.hosts4,
            Kind::Hosts6 => &self.hosts6,
            Kind::Prefixes4 => &self.prefixes4,
            Kind::Prefixes6 => &self.prefixes6,
        }
    }

    pub(super) const fn of_mut(&mut self, kind: Kind) -> &mut T {
        match kind {
            Kind::Hosts4 => &mut self.hosts4,
            Kind::Hosts6 => &mut self.hosts6,
            Kind::Prefixes4 => &mut self.prefixes4,
            Kind::Prefixes6 => &mut self.prefixes6,
        }
    }
}

impl Kind {
    pub(super) const ALL: [Self; 4] =
        [Self::Hosts4, Self::Hosts6, Self::Prefixes4, Self::Prefixes6];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hosts4 => map::HOSTS4,
            Self::Hosts6 => map::HOSTS6,
            Self::Prefixes4 => map::PREFIXES4,
            Self::Prefixes6 => map::PREFIXES6,
        }
    }

    pub(super) const fn is_trie(self) -> bool {
        matches!(self, Self::Prefixes4 | Self::Prefixes6)
    }

    pub(super) const fn map_type(self) -> MapType {
        match self.is_trie() {
            true => MapType::LpmTrie,
            false => MapType::Hash,
        }
    }

    pub(super) const fn bpf_type(self) -> bpf_map_type {
        match self.is_trie() {
            true => bpf_map_type::BPF_MAP_TYPE_LPM_TRIE,
            false => bpf_map_type::BPF_MAP_TYPE_HASH,
        }
    }

    pub(super) const fn key_octets(self) -> usize {
        match self {
            Self::Hosts4 => 4,
            Self::Hosts6 => 16,
            Self::Prefixes4 => LENGTH_OCTETS + 4,
            Self::Prefixes6 => LONGEST_KEY,
        }
    }

    /// The prefix of a key out of the table; a length out of a trie is never beyond the family's.
    pub(super) fn prefix(self, key: &[u8]) -> Option<IpNetwork> {
        let v4 = |octets: [u8; 4], length| Ipv4Network::new(Ipv4Addr::from(octets), length);
        let v6 = |octets: [u8; 16], length| Ipv6Network::new(Ipv6Addr::from(octets), length);
        let (length, octets) = key.split_first_chunk::<LENGTH_OCTETS>()?;
        let length = u8::try_from(u32::from_ne_bytes(*length)).ok();
        match self {
            Self::Hosts4 => v4(key.try_into().ok()?, 32).ok().map(IpNetwork::V4),
            Self::Hosts6 => v6(key.try_into().ok()?, 128).ok().map(IpNetwork::V6),
            Self::Prefixes4 => v4(octets.try_into().ok()?, length?).ok().map(IpNetwork::V4),
            Self::Prefixes6 => v6(octets.try_into().ok()?, length?).ok().map(IpNetwork::V6),
        }
    }
}

impl Key {
    pub(super) fn of(prefix: IpNetwork) -> Self {
        match prefix {
            IpNetwork::V4(v4) if v4.prefix() == 32 => {
                Self::joined(Kind::Hosts4, &[], &v4.ip().octets())
            }
            IpNetwork::V6(v6) if v6.prefix() == 128 => {
                Self::joined(Kind::Hosts6, &[], &v6.ip().octets())
            }
            IpNetwork::V4(v4) => Self::joined(
                Kind::Prefixes4,
                &u32::from(v4.prefix()).to_ne_bytes(),
                &v4.network().octets(),
            ),
            IpNetwork::V6(v6) => Self::joined(
                Kind::Prefixes6,
                &u32::from(v6.prefix()).to_ne_bytes(),
                &v6.network().octets(),
            ),
        }
    }

    fn joined(kind: Kind, length: &[u8], address: &[u8]) -> Self {
        let mut octets = [0; LONGEST_KEY];
        let given = length.iter().chain(address);
        for (octet, given) in octets.iter_mut().zip(given) {
            *octet = *given;
        }
        Self { kind, octets }
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.octets
            .get(..self.kind.key_octets())
            .unwrap_or(&self.octets)
    }
}

/// Octets of a prefix's length in the key of a trie.
const LENGTH_OCTETS: usize = 4;
const LONGEST_KEY: usize = LENGTH_OCTETS + 16;
