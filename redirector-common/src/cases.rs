//! The golden packet table: one list of cases, run by the host core and by the real program in the
//! kernel, with the same octets out.
//!
//! What a case expects is written by smoltcp and by literal numbers, never by the core. Only with the
//! feature `cases`: it needs std.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a case that cannot be written down is a bug of the case"
)]

mod beyond;
mod bypass;
mod customer;
mod hidden;
pub(crate) mod icmp;
mod lent;
mod limit;
mod older;
mod opening;
pub mod packet;
mod probe;
mod radar;
mod refuse;
mod relay;
mod steer;
pub(crate) mod tunnel;
mod world;

use std::{collections::BTreeMap, string::String, vec::Vec};

pub(crate) use self::world::relay_path;
pub use self::world::{FLOWS_MAX, World};
use crate::{
    abi::{Flow, FlowKey, Role, Sighting},
    counters::Counter,
    decide::{Ingress, Judged, judge},
    frame::Buffer,
    tables::{Verdict, memory::MemoryTables},
};

/// One frame, the maps that it meets, and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the case shows.
    pub name: String,
    /// Role of the interface; `None` = by tags.
    pub role: Option<Role>,
    /// The maps before.
    pub tables: MemoryTables,
    /// The frame.
    pub frame: Vec<u8>,
    /// The verdict.
    pub verdict: Verdict,
    /// The frame afterwards; `None` = it ends here, its octets do not matter.
    pub out: Option<Vec<u8>>,
    /// Every counter that is raised, each by one.
    pub counters: Vec<Counter>,
    /// An entry as it must stand in the flow table afterwards.
    pub entry: Option<(FlowKey, Flow)>,
    /// The radar's records of a window as they must be afterwards, none other.
    pub sightings: Option<(u32, BTreeMap<[u8; 16], Sighting>)>,
    /// The kernel cannot be brought into this situation by a test.
    pub host_only: bool,
}

/// Every case, at a time in seconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn all(now_s: u32) -> Vec<Case> {
    let worlds = [World::v4(now_s), World::v6(now_s)];
    let mut cases = Vec::new();
    for world in &worlds {
        customer::cases(world, &mut cases);
        opening::cases(world, &mut cases);
        older::cases(world, &mut cases);
        relay::cases(world, &mut cases);
        hidden::cases(world, &mut cases);
        steer::cases(world, &mut cases);
        lent::cases(world, &mut cases);
        radar::cases(world, &mut cases);
        limit::cases(world, &mut cases);
        refuse::cases(world, &mut cases);
        icmp::cases(world, &mut cases);
        beyond::cases(world, &mut cases);
        probe::cases(world, &mut cases);
        bypass::cases(world, &mut cases);
        tunnel::cases(world, &mut cases);
    }
    cases
}

/// What came of a frame on the host.
#[derive(Debug)]
pub struct Outcome {
    /// The verdict, and why.
    pub judged: Judged,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// The maps afterwards.
    pub tables: MemoryTables,
}

/// What a case expects, where it is not to pass untouched and uncounted.
impl Case {
    fn counts(mut self, counters: &[Counter]) -> Self {
        self.counters = counters.to_vec();
        self
    }

    fn dropped(mut self, counters: &[Counter]) -> Self {
        self.verdict = Verdict::Drop;
        self.out = None;
        self.counts(counters)
    }

    fn leaves(mut self, ifindex: u32, out: Vec<u8>, counters: &[Counter]) -> Self {
        self.verdict = Verdict::Redirect { ifindex };
        self.out = Some(out);
        self.counts(counters)
    }

    /// It came by a tunnel, and what was in there passes.
    fn opens(mut self, out: Vec<u8>, counters: &[Counter]) -> Self {
        self.out = Some(out);
        self.counts(counters)
    }

    fn answered(mut self, out: Vec<u8>, counters: &[Counter]) -> Self {
        self.verdict = Verdict::Tx;
        self.out = Some(out);
        self.counts(counters)
    }

    fn entry(mut self, key: FlowKey, flow: Flow) -> Self {
        self.entry = Some((key, flow));
        self
    }

    fn role(mut self, role: Option<Role>) -> Self {
        self.role = role;
        self
    }

    fn host_only(mut self) -> Self {
        self.host_only = true;
        self
    }
}

impl Case {
    /// Runs the host core on the case.
    #[must_use]
    pub fn run(&self) -> Outcome {
        self.run_on(Buffer::new(&self.frame).expect("a case fits a buffer"))
    }

    /// Runs the host core on another frame under the same maps.
    #[must_use]
    pub fn run_on(&self, mut frame: Buffer) -> Outcome {
        let mut tables = self.tables.clone();
        let ingress = Ingress {
            ifindex: INGRESS,
            role: self.role,
        };
        let judged = judge(&mut frame, &mut tables, ingress);
        Outcome {
            judged,
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
        assert_eq!(outcome.judged.verdict, self.verdict, "{name}: verdict");
        let expected: BTreeMap<Counter, u64> =
            self.counters.iter().map(|counter| (*counter, 1)).collect();
        assert_eq!(outcome.tables.counters, expected, "{name}: counters");
        if let Some(out) = &self.out {
            assert_eq!(hex(&outcome.frame), hex(out), "{name}: frame");
        }
        if let Some((key, flow)) = &self.entry {
            let found = outcome.tables.flow_records().get(key).copied();
            assert_eq!(found, Some(*flow), "{name}: entry");
        }
        if let Some((window, expected)) = &self.sightings {
            let [even, odd] = outcome.tables.sighting_records();
            let (found, other) = if window & 1 == 0 {
                (even, odd)
            } else {
                (odd, even)
            };
            assert_eq!(&found, expected, "{name}: sightings");
            assert_eq!(
                other,
                BTreeMap::new(),
                "{name}: sightings of the other window"
            );
        }
        let counted = outcome.judged.counter;
        assert!(
            counted.is_none_or(|counter| self.counters.contains(&counter)),
            "{name}: {counted:?}"
        );
    }
}

/// Octets as people compare them.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.chunks(2).fold(String::new(), |mut text, pair| {
        let _infallible = pair
            .iter()
            .try_for_each(|octet| write!(text, "{octet:02x}"));
        text.push(' ');
        text
    })
}

/// Interface that every case comes in by: the loopback, which is what `BPF_PROG_TEST_RUN` says.
pub const INGRESS: u32 = 1;
/// Key in `DEVICES` of the relay's interface.
pub const EGRESS: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_core_answers_every_case() {
        for case in all(NOW_S) {
            case.check(&case.run());
        }
    }

    #[test]
    fn every_counter_is_raised_by_a_case() {
        let cases = all(NOW_S);
        for counter in Counter::ALL {
            let raised = cases.iter().any(|case| case.counters.contains(counter));
            assert!(raised, "no case raises {}", counter.name());
        }
    }

    #[test]
    fn the_radar_only_looks() {
        for mut case in all(NOW_S) {
            case.sightings = None;
            for window in 0..3 {
                case.tables.settings.radar_window = window;
                case.check(&case.run());
            }
        }
    }

    #[test]
    fn names_are_distinct() {
        let cases = all(NOW_S);
        for (index, case) in cases.iter().enumerate() {
            assert!(
                cases[..index].iter().all(|other| other.name != case.name),
                "{}",
                case.name
            );
        }
    }

    const NOW_S: u32 = 100_000;
}
