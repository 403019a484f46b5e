//! What the program has counted, interface by interface.
//!
//! Each attached instance counts into an array of its own, pinned under the name of its interface: a packet pays nothing
//! for the distinction. The common array has what was counted on interfaces that the program was taken off, and by
//! instances of builds that knew no other. So no sum ever goes back, over restarts neither.

use std::{collections::BTreeMap, io};

use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use redirector_common::{abi::map, counters::Counter};

use super::{
    Edge, EdgeError,
    maps::{open_counters, reading, writing},
    pins::Pins,
};

/// One array, by [`Counter::index`].
pub(super) type Counts = PerCpuArray<MapData, u64>;

/// By the name of the interface; `None` = wherever the program is no more.
pub type PerInterface = BTreeMap<Option<String>, BTreeMap<&'static str, u64>>;

/// The arrays of the interfaces.
#[derive(Default)]
pub(super) struct Arrays(BTreeMap<String, Counts>);

impl Arrays {
    /// Opens every one that is pinned.
    pub(super) fn open(pins: &Pins) -> Result<Self, EdgeError> {
        let mut arrays = Self::default();
        for interface in pins.counted()? {
            arrays.adopt(pins, &interface)?;
        }
        Ok(arrays)
    }

    fn adopt(&mut self, pins: &Pins, interface: &str) -> Result<(), EdgeError> {
        let counts = open_counters(&pins.counters_of(interface))?;
        self.0.insert(interface.to_owned(), counts);
        Ok(())
    }
}

/// Entries that maps take, where there is a limit.
#[derive(Clone, Copy, Debug)]
pub struct Capacities {
    /// Diverted connections.
    pub flows: u32,
    /// Policies, hosts and prefixes of both families together, as the guards count them.
    pub policies: u32,
    /// Customer prefixes of each family.
    pub customers: u32,
    /// Pools.
    pub pools: u32,
    /// Relays.
    pub relays: u32,
    /// Relays' listeners, each under its port and under none.
    pub listeners: u32,
    /// Sources in one window of the radar.
    pub radar: u32,
}

impl Edge {
    /// Entries that maps take.
    #[must_use]
    pub fn capacities(&self) -> Capacities {
        let of = |name| self.pins.capacity(name);
        Capacities {
            flows: of(map::FLOWS),
            policies: self.config.policies_max,
            customers: of(map::CUSTOMERS4),
            pools: of(map::POOLS),
            relays: of(map::RELAYS),
            listeners: of(map::LISTENERS),
            radar: of(map::RADAR_EVEN),
        }
    }

    /// Every counter, summed over interfaces and CPUs.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn counters(&self) -> Result<BTreeMap<&'static str, u64>, EdgeError> {
        Counter::ALL
            .iter()
            .map(|counter| Ok((counter.name(), self.counted(*counter)?)))
            .collect()
    }

    /// Every counter of every interface, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn counters_by_interface(&self) -> Result<PerInterface, EdgeError> {
        let own = self.counts.0.iter();
        let own = own.map(|(interface, counts)| (Some(interface.clone()), counts));
        own.chain([(None, &self.maps.counters)])
            .map(|(interface, counts)| {
                let all = Counter::ALL.iter();
                let all = all.map(|counter| Ok((counter.name(), sum(counts, *counter)?)));
                Ok((interface, all.collect::<Result<_, EdgeError>>()?))
            })
            .collect()
    }

    /// One counter, summed over interfaces and CPUs.
    pub(super) fn counted(&self, counter: Counter) -> Result<u64, EdgeError> {
        let mut all = sum(&self.maps.counters, counter)?;
        for counts in self.counts.0.values() {
            all = all.wrapping_add(sum(counts, counter)?);
        }
        Ok(all)
    }

    /// Reads along what the instance on this interface counts.
    pub(super) fn adopt_counters(&mut self, interface: &str) -> Result<(), EdgeError> {
        self.counts.adopt(&self.pins, interface)
    }

    /// Puts what was counted on an interface without the program to the rest. What an instance counts at this very
    /// moment may be lost; it is no more than the frames that are just being judged.
    pub(super) fn retire_counters(&mut self, interface: &str) -> Result<(), EdgeError> {
        let path = self.pins.counters_of(interface);
        let counts = match self.counts.0.remove(interface) {
            Some(counts) => counts,
            None if path.exists() => open_counters(&path)?,
            None => return Ok(()),
        };
        for counter in Counter::ALL {
            let counted = sum(&counts, *counter)?;
            if counted == 0 {
                continue;
            }
            let common = self.maps.counters.get(&counter.index(), 0);
            let common = common.map_err(|error| reading(map::COUNTERS, error))?;
            let mut per_cpu: Vec<u64> = common.iter().copied().collect();
            if let Some(first) = per_cpu.first_mut() {
                *first = first.wrapping_add(counted);
            }
            let per_cpu = PerCpuValues::try_from(per_cpu).map_err(|error: io::Error| {
                EdgeError::kernel(format!("writing map {}", map::COUNTERS), error)
            })?;
            let written = self.maps.counters.set(counter.index(), per_cpu, 0);
            written.map_err(|error| writing(map::COUNTERS, error))?;
        }
        self.pins.forget_counters_of(interface)
    }
}

fn sum(counts: &Counts, counter: Counter) -> Result<u64, EdgeError> {
    let per_cpu = counts.get(&counter.index(), 0);
    let per_cpu = per_cpu.map_err(|error| reading(map::COUNTERS, error))?;
    Ok(per_cpu.iter().sum())
}
