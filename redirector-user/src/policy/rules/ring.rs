//! The rotations of the last hours, and what they add up to.
//!
//! They are kept as the store keeps them, so that two hours of a large network are some megabytes. Memory is bounded
//! twice: by the longest window that a rule asks for, and by octets; what is beyond is forgotten, the oldest first.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};

use super::{Figures, Observation, Rotation, codec};

/// The rotations that are kept; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    rotations: VecDeque<Kept>,
    octets: usize,
    longest: Duration,
}

#[derive(Clone, Debug)]
struct Kept {
    from: Timestamp,
    until: Timestamp,
    octets: Arc<[u8]>,
}

/// Figures of every customer over each of some windows that end at the same moment.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// That moment.
    pub at: Timestamp,
    /// By the windows' length.
    pub windows: BTreeMap<Duration, Watched>,
}

/// Figures over one window.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Of whom.
    pub figures: HashMap<IpNetwork, Figures>,
    /// How much of the window the radar has watched.
    pub covered: Duration,
}

impl Ring {
    /// Keeps what windows of that length need.
    pub fn reach(&mut self, longest: Duration) {
        self.longest = longest;
    }

    /// Adds the newest rotation; answers with it as the store keeps it.
    pub fn push(&mut self, rotation: &Rotation) -> Arc<[u8]> {
        let octets: Arc<[u8]> = codec::encode(&rotation.seen).into();
        self.octets += octets.len() + OVERHEAD;
        self.rotations.push_back(Kept {
            from: rotation.from,
            until: rotation.until,
            octets: Arc::clone(&octets),
        });
        let since = before(rotation.until, self.longest);
        while let Some(oldest) = self.rotations.front() {
            let needed = oldest.until > since && self.octets <= OCTETS_MAX;
            if needed || self.rotations.len() == 1 {
                break;
            }
            self.octets -= oldest.octets.len() + OVERHEAD;
            self.rotations.pop_front();
        }
        octets
    }

    /// Adds up what was counted in each of these windows, which end with the newest rotation. A rotation belongs to
    /// a window if it ended in it.
    #[must_use]
    pub fn survey(&self, windows: impl IntoIterator<Item = Duration>) -> Survey {
        let Some(newest) = self.rotations.back() else {
            return Survey::default();
        };
        let at = newest.until;
        let mut survey = Survey {
            at,
            windows: BTreeMap::new(),
        };
        let mut windows: Vec<Duration> = windows.into_iter().collect();
        windows.sort_unstable();
        windows.dedup();
        // From the newest to the oldest, so that each window is the next shorter one and some more.
        let mut sum: HashMap<IpNetwork, Observation> = HashMap::new();
        let mut covered = Duration::ZERO;
        let mut older = self.rotations.iter().rev().peekable();
        for window in windows {
            let since = before(at, window);
            while let Some(kept) = older.next_if(|kept| kept.until > since) {
                covered += kept.length();
                // What was written by the same function cannot be damaged; what was read from the store was tried.
                let Ok(rotation) = codec::decode(kept.from, kept.until, &kept.octets) else {
                    continue;
                };
                for (source, seen) in &rotation.seen {
                    let all = sum.entry(*source).or_insert(Observation::NOTHING);
                    all.unite(seen);
                }
            }
            let figures = sum.iter().map(|(who, seen)| (*who, Figures::of(seen)));
            let figures = figures.collect();
            survey.windows.insert(window, Watched { figures, covered });
        }
        survey
    }

    /// Octets that it takes.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.octets
    }
}

impl Kept {
    fn length(&self) -> Duration {
        Duration::try_from(self.until.duration_since(self.from)).unwrap_or_default()
    }
}

impl Survey {
    /// Figures of one customer over one window: of who was silent, none of anything.
    #[must_use]
    pub fn figures(&self, window: Duration, customer: IpNetwork) -> Figures {
        let seen = self.windows.get(&window);
        let seen = seen.and_then(|watched| watched.figures.get(&customer));
        seen.copied()
            .unwrap_or_else(|| Figures::of(&Observation::NOTHING))
    }

    /// Whether nearly all of a window was watched.
    #[must_use]
    pub fn is_watched(&self, window: Duration) -> bool {
        let watched = self.windows.get(&window);
        watched.is_some_and(|watched| watched.covered.as_secs_f64() >= 0.9 * window.as_secs_f64())
    }
}

/// A moment that long before another.
pub(super) fn before(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// Two hours of forty thousand sources that never rest.
const OCTETS_MAX: usize = 96 * 1024 * 1024;
/// Of one rotation, about.
const OVERHEAD: usize = 64;
