//! The maps of a relay's host in memory, and a frame in memory in a tunnel: for tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::host::{HostTables, Unfit, Unwrap, Wrap};
use crate::{
    abi::host::{HostCounter, HostCustomer, HostEdge},
    frame::{Buffer, Frame},
};

/// Every map, as plain collections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostMemory {
    /// `EDGES`.
    pub edges: BTreeMap<[u8; 16], HostEdge>,
    /// `NOTED`.
    pub noted: HashMap<HostCustomer, [u8; 16]>,
    /// `OWN`.
    pub own: BTreeSet<[u8; 16]>,
    /// What was counted.
    pub counters: BTreeMap<HostCounter, u64>,
}

impl HostTables for HostMemory {
    fn edge(&self, address: &[u8; 16]) -> Option<HostEdge> {
        self.edges.get(address).copied()
    }

    fn noted(&self, customer: &HostCustomer) -> Option<[u8; 16]> {
        self.noted.get(customer).copied()
    }

    fn note(&mut self, customer: &HostCustomer, edge: &[u8; 16]) {
        self.noted.insert(*customer, *edge);
    }

    fn is_own(&self, address: &[u8; 16]) -> bool {
        self.own.contains(address)
    }

    fn count(&mut self, counter: HostCounter) {
        *self.counters.entry(counter).or_default() += 1;
    }
}

impl Unwrap for Buffer {
    fn unwrap(&mut self, octets: u16, ethertype_be: [u8; 2]) -> bool {
        let Some(stations) = self.read::<12>(0) else {
            return false;
        };
        self.grow_head(-i32::from(octets))
            && self.write(0, &stations)
            && self.write(12, &ethertype_be)
    }
}

impl Wrap for Buffer {
    fn wrap<const N: usize>(
        &mut self,
        outer: &[u8; N],
        ethertype_be: [u8; 2],
    ) -> Result<(), Unfit> {
        if self.octets() + N > LARGEST_FRAME {
            return Err(Unfit::TooBig);
        }
        let (Some(stations), Ok(octets)) = (self.read::<12>(0), i32::try_from(N)) else {
            return Err(Unfit::Failed);
        };
        let is_whole = self.grow_head(octets)
            && self.write(0, &stations)
            && self.write(12, &ethertype_be)
            && self.write(14, outer);
        is_whole.then_some(()).ok_or(Unfit::Failed)
    }
}

/// What an interface with an MTU of 1500 takes.
const LARGEST_FRAME: usize = 14 + 1500;
