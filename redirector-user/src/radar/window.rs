//! Finished windows, the newest last, and what they add up to.
//!
//! The memory that they take is bounded twice: by their number, and by the records in all of them
//! together, so that a network full of senders keeps less of the past instead of more memory.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::abi::Sighting;

use super::sketch::Sketch;

/// One finished window.
#[derive(Clone, Debug)]
pub struct Window {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub until: Timestamp,
    /// What was seen of whom.
    pub sources: HashMap<IpNetwork, Sighting>,
}

/// The windows that are kept.
#[derive(Debug, Default)]
pub struct History {
    windows: VecDeque<Window>,
    records: usize,
}

/// What was seen of one source over some windows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// SYNs that it sent.
    pub syns: u64,
    /// Frames that it sent.
    pub packets_out: u64,
    /// Octets of these.
    pub octets_out: u64,
    /// Frames that came back.
    pub packets_in: u64,
    /// Octets of these.
    pub octets_in: u64,
    /// Connections that the far side ended.
    pub ended: u64,
    /// Those that it reset or refused.
    pub reset: u64,
    /// Those that it ended after a greeting.
    pub short: u64,
    /// Distinct networks (/24 or /48) that it tried to reach, estimated.
    pub destinations: u64,
    /// SYNs in a window, on the average.
    pub syns_a_window: f64,
    /// The median of that in the windows before; `None` = too few to say.
    pub usual_syns: Option<f64>,
}

/// Some windows, added up.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// When the first of them began.
    pub from: Option<Timestamp>,
    /// When the last one ended.
    pub until: Option<Timestamp>,
    /// How many there are.
    pub windows: usize,
    /// What was seen of whom.
    pub sources: HashMap<IpNetwork, Figures>,
}

impl History {
    /// Adds the newest window, and forgets the oldest where it must.
    pub fn push(&mut self, window: Window) {
        self.records += window.sources.len();
        self.windows.push_back(window);
        while self.windows.len() > WINDOWS_MAX
            || (self.records > RECORDS_MAX && self.windows.len() > 1)
        {
            if let Some(oldest) = self.windows.pop_front() {
                self.records -= oldest.sources.len();
            }
        }
    }

    /// Adds up the windows that ended after `since`.
    #[must_use]
    pub fn sum(&self, since: Timestamp) -> Sum {
        let (before, asked) = self.split(since);
        let mut sum = Sum {
            from: asked.first().map(|window| window.from),
            until: asked.last().map(|window| window.until),
            windows: asked.len(),
            sources: HashMap::new(),
        };
        let mut sketches: HashMap<IpNetwork, Sketch> = HashMap::new();
        for (source, sighting) in asked.iter().flat_map(|window| &window.sources) {
            add(sum.sources.entry(*source).or_default(), sighting);
            let sketch = sketches.entry(*source).or_insert(Sketch::EMPTY);
            sketch.unite(&Sketch::of(sighting));
        }
        for (source, figures) in &mut sum.sources {
            figures.destinations = sketches.get(source).map_or(0, Sketch::estimate);
            figures.syns_a_window = figures.syns as f64 / asked.len() as f64;
            figures.usual_syns = usual_syns(&before, source);
        }
        sum
    }

    /// One source, window by window, the oldest first; windows in which it was silent are left out.
    #[must_use]
    pub fn course(&self, source: IpNetwork, since: Timestamp) -> Vec<(Timestamp, Figures)> {
        let (_, asked) = self.split(since);
        let seen = asked.iter().filter_map(|window| {
            let sighting = window.sources.get(&source)?;
            let mut figures = Figures::default();
            add(&mut figures, sighting);
            figures.destinations = Sketch::of(sighting).estimate();
            Some((window.from, figures))
        });
        seen.collect()
    }

    /// Who was seen in a window that ended after `since`.
    #[must_use]
    pub fn sources_since(&self, since: Timestamp) -> BTreeSet<IpNetwork> {
        let (_, asked) = self.split(since);
        let sources = asked.iter().flat_map(|window| window.sources.keys());
        sources.copied().collect()
    }

    fn split(&self, since: Timestamp) -> (Vec<&Window>, Vec<&Window>) {
        self.windows
            .iter()
            .partition(|window| window.until <= since)
    }
}

impl Sum {
    /// From the beginning of the first window to the end of the last.
    #[must_use]
    pub fn span(&self) -> Duration {
        let span = self
            .from
            .zip(self.until)
            .and_then(|(from, until)| Duration::try_from(until.duration_since(from)).ok());
        span.unwrap_or_default()
    }
}

fn add(figures: &mut Figures, sighting: &Sighting) {
    let add = |sum: &mut u64, by: u64| *sum = sum.saturating_add(by);
    add(&mut figures.syns, sighting.syns);
    add(&mut figures.packets_out, sighting.packets_out);
    add(&mut figures.octets_out, sighting.octets_out);
    add(&mut figures.packets_in, sighting.packets_in);
    add(&mut figures.octets_in, sighting.octets_in);
    add(&mut figures.ended, sighting.ended);
    add(&mut figures.reset, sighting.reset);
    add(&mut figures.short, sighting.short);
}

/// The median of a source's SYNs over these windows, silence counted.
fn usual_syns(windows: &[&Window], source: &IpNetwork) -> Option<f64> {
    if windows.len() < USUAL_WINDOWS {
        return None;
    }
    let mut syns: Vec<u64> = windows
        .iter()
        .map(|window| window.sources.get(source).map_or(0, |seen| seen.syns))
        .collect();
    let middle = syns.len() / 2;
    let (_, median, _) = syns.select_nth_unstable(middle);
    Some(*median as f64)
}

/// Two hours of windows of one minute.
const WINDOWS_MAX: usize = 120;
/// About 60 MiB.
const RECORDS_MAX: usize = 262_144;
/// With fewer there is no usual.
const USUAL_WINDOWS: usize = 5;

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn source(last: u8) -> IpNetwork {
        IpNetwork::new(std::net::Ipv4Addr::new(192, 0, 2, last).into(), 32).expect("a prefix")
    }

    fn minute(number: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(number)
    }

    /// A window in which these sources sent so many SYNs, to networks in these registers.
    fn window(number: i64, seen: &[(u8, u64, &[usize])]) -> Window {
        let sighting = |syns: u64, registers: &[usize]| {
            let mut sighting = Sighting {
                syns,
                packets_out: 2 * syns,
                ended: 1,
                ..Sighting::NOTHING
            };
            for register in registers {
                sighting.destinations.as_flattened_mut()[*register] = 1;
            }
            sighting
        };
        Window {
            from: minute(number),
            until: minute(number + 1),
            sources: seen
                .iter()
                .map(|(last, syns, registers)| (source(*last), sighting(*syns, registers)))
                .collect(),
        }
    }

    #[test]
    fn windows_add_up_and_networks_count_once() {
        let mut history = History::default();
        history.push(window(0, &[(1, 5, &[1, 2])]));
        history.push(window(1, &[(1, 7, &[2, 3]), (2, 1, &[9])]));
        let sum = history.sum(minute(0));
        assert_eq!((sum.windows, sum.span()), (2, Duration::from_secs(120)));
        let one = sum.sources[&source(1)];
        assert_eq!((one.syns, one.packets_out, one.ended), (12, 24, 2));
        assert_eq!(one.destinations, 3);
        assert!((one.syns_a_window - 6.0).abs() < f64::EPSILON);
        assert_eq!(one.usual_syns, None);
        assert_eq!(sum.sources[&source(2)].syns, 1);

        let newest = history.sum(minute(1));
        assert_eq!(newest.windows, 1);
        assert_eq!(newest.sources[&source(1)].destinations, 2);
        assert_eq!(history.course(source(1), minute(0)).len(), 2);
        assert_eq!(history.course(source(2), minute(0))[0].0, minute(1));
        assert_eq!(history.sum(minute(2)).sources.len(), 0);
    }

    #[test]
    fn a_burst_is_against_the_windows_before() {
        let mut history = History::default();
        for (number, syns) in [3, 1, 2, 2, 9].into_iter().enumerate() {
            let number = i64::try_from(number).expect("small");
            history.push(window(number, &[(1, syns, &[])]));
        }
        history.push(window(5, &[(1, 60, &[]), (2, 4, &[])]));
        let sum = history.sum(minute(5));
        assert_eq!(sum.sources[&source(1)].usual_syns, Some(2.0));
        assert_eq!(sum.sources[&source(2)].usual_syns, Some(0.0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::default();
        for number in 0..500 {
            history.push(window(number, &[(1, 1, &[])]));
        }
        assert_eq!((history.windows.len(), history.records), (120, 120));
        let crowd: HashMap<IpNetwork, Sighting> = (0..100_000_u32)
            .map(|number| {
                let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
                (
                    IpNetwork::from(std::net::IpAddr::from(address)),
                    Sighting::NOTHING,
                )
            })
            .collect();
        for number in 500..503 {
            let (from, until) = (minute(number), minute(number + 1));
            let sources = crowd.clone();
            history.push(Window {
                from,
                until,
                sources,
            });
        }
        assert_eq!((history.windows.len(), history.records), (2, 200_000));
    }
}
