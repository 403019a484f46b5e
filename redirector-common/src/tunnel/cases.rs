//! The golden packet table of a relay's host: run by the host core, and by the real programs in the kernel.
//!
//! Outer headers are written by smoltcp, as what is inside of them.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a case that cannot be written down is a bug of the case"
)]

mod arrive;
mod leave;
pub mod network;

use std::{
    collections::{BTreeMap, HashMap},
    string::String,
    vec::Vec,
};

use self::network::Network;
use super::{
    host::{Arrival, Departure, arrive, leave},
    memory::HostMemory,
};
use crate::{
    abi::host::{HostCounter, HostCustomer},
    cases::hex,
    frame::Buffer,
};

/// Which of the two programs a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one at the ingress.
    Ingress,
    /// The one at the egress.
    Egress,
}

/// What becomes of a frame, at either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// At the ingress.
    Arrival(Arrival),
    /// At the egress.
    Departure(Departure),
}

/// One frame, the maps that it meets, and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the case shows.
    pub name: String,
    /// The maps before.
    pub tables: HostMemory,
    /// The frame.
    pub frame: Vec<u8>,
    /// What becomes of it.
    pub fate: Fate,
    /// The frame afterwards, where it is not dropped.
    pub out: Vec<u8>,
    /// Every counter that is raised, each by one.
    pub counters: Vec<HostCounter>,
    /// What is noted afterwards.
    pub noted: HashMap<HostCustomer, [u8; 16]>,
}

/// What came of a frame on the host.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What becomes of it.
    pub fate: Fate,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// The maps afterwards.
    pub tables: HostMemory,
}

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for network in Network::all() {
        arrive::cases(&network, &mut cases);
        leave::cases(&network, &mut cases);
    }
    cases
}

impl Fate {
    /// The side that it is of.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Arrival(_) => Side::Ingress,
            Self::Departure(_) => Side::Egress,
        }
    }

    /// Whether there is a frame afterwards.
    #[must_use]
    pub const fn leaves_a_frame(self) -> bool {
        !matches!(
            self,
            Self::Arrival(Arrival::Dropped) | Self::Departure(Departure::Dropped)
        )
    }
}

impl Case {
    /// Runs the host core on the case.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let mut frame = Buffer::new(&self.frame).expect("a case fits a buffer");
        let mut tables = self.tables.clone();
        let fate = match self.fate.side() {
            Side::Ingress => Fate::Arrival(arrive(&mut frame, &mut tables)),
            Side::Egress => Fate::Departure(leave(&mut frame, &mut tables)),
        };
        Outcome {
            fate,
            frame: frame.as_slice().to_vec(),
            tables,
        }
    }

    /// Compares an outcome with what the case expects.
    ///
    /// # Panics
    /// If they differ; the message shows both.
    #[track_caller]
    pub fn check(&self, outcome: &Outcome) {
        let name = &self.name;
        assert_eq!(outcome.fate, self.fate, "{name}: fate");
        if self.fate.leaves_a_frame() {
            assert_eq!(hex(&outcome.frame), hex(&self.out), "{name}: frame");
        }
        let expected: BTreeMap<HostCounter, u64> =
            self.counters.iter().map(|counter| (*counter, 1)).collect();
        assert_eq!(outcome.tables.counters, expected, "{name}: counters");
        assert_eq!(outcome.tables.noted, self.noted, "{name}: noted");
    }

    /// A frame of that network that is left as it is, and not counted.
    fn untouched(network: &Network, side: Side, name: &str, frame: Vec<u8>) -> Self {
        let tables = network.tables();
        Self {
            name: std::format!("{name}, {}", network.name()),
            fate: match side {
                Side::Ingress => Fate::Arrival(Arrival::Untouched),
                Side::Egress => Fate::Departure(Departure::Untouched),
            },
            out: frame.clone(),
            frame,
            counters: Vec::new(),
            noted: tables.noted.clone(),
            tables,
        }
    }

    fn counts(mut self, counters: &[HostCounter]) -> Self {
        self.counters = counters.to_vec();
        self
    }

    /// The case with other maps; `noted` stays as it is there.
    fn with(mut self, change: impl FnOnce(&mut HostMemory)) -> Self {
        change(&mut self.tables);
        self.noted.clone_from(&self.tables.noted);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_holds_on_the_host() {
        for case in all() {
            case.check(&case.run());
        }
    }

    #[test]
    fn no_two_cases_have_one_name() {
        let mut names: Vec<String> = all().into_iter().map(|case| case.name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_counter_that_a_frame_can_raise_is_raised_by_a_case() {
        // A helper that fails cannot be had from here, and what is too big needs segments merged, or an MTU.
        let elsewhere = [HostCounter::Failed, HostCounter::TooBig];
        let raised: Vec<HostCounter> = all().into_iter().flat_map(|case| case.counters).collect();
        for counter in HostCounter::ALL {
            assert!(
                raised.contains(counter) || elsewhere.contains(counter),
                "{}",
                counter.name()
            );
        }
    }
}
