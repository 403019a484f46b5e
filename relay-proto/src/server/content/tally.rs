//! What a message has cost so far, and whether that is too much.
//!
//! The first fault in the order of the octets is the one that is named, however they are cut.

use crate::header::Hops;
use crate::reply::Reply;
use crate::server::{Abort, ContentLimits, Offer, replies};

/// Why content is refused although its framing is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Fault {
    TooLarge { limit: u64 },
    LineTooLong { limit: u64 },
    Loop { limit: u32 },
}

/// Counts content as it comes, without the dots of its transparency.
#[derive(Debug)]
pub(super) struct Tally {
    max_octets: u64,
    limits: ContentLimits,
    octets: u64,
    line_octets: u64,
    hops: Hops,
}

impl Tally {
    pub(super) fn new(offer: &Offer, limits: ContentLimits) -> Self {
        Self {
            max_octets: offer.max_message_octets,
            limits,
            octets: 0,
            line_octets: 0,
            hops: Hops::default(),
        }
    }

    /// Octets in all.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether so many octets more would be too many.
    pub(super) fn foresee(&self, octets: u64) -> Option<Fault> {
        let limit = self.max_octets;
        let exceeds = limit > 0 && self.octets.saturating_add(octets) > limit;
        exceeds.then_some(Fault::TooLarge { limit })
    }

    /// The next octets.
    pub(super) fn add(&mut self, octets: &[u8]) -> Option<Fault> {
        let allowed = match self.max_octets {
            0 => octets.len(),
            limit => usize::try_from(limit.saturating_sub(self.octets)).unwrap_or(usize::MAX),
        };
        let counted = octets.get(..allowed).unwrap_or(octets);
        let mut rest = counted;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
            let (line, after) = rest
                .split_at_checked(end.unwrap_or(rest.len()))
                .unwrap_or((rest, &[]));
            if let Some(fault) = self.add_to_line(line) {
                return Some(fault);
            }
            if end.is_some() {
                self.line_octets = 0;
            }
            rest = after;
        }
        let exceeds = counted.len() < octets.len();
        self.octets = self.octets.saturating_add(count(counted));
        exceeds.then_some(Fault::TooLarge {
            limit: self.max_octets,
        })
    }

    fn add_to_line(&mut self, octets: &[u8]) -> Option<Fault> {
        if !self.hops.is_in_body() {
            self.hops.read(octets);
            let limit = self.limits.max_received;
            if limit > 0 && self.hops.count() > limit {
                return Some(Fault::Loop { limit });
            }
        }
        self.line_octets = self.line_octets.saturating_add(count(octets));
        let limit = self.limits.max_line_octets;
        let exceeds = limit > 0 && self.line_octets > limit;
        exceeds.then_some(Fault::LineTooLong { limit })
    }
}

impl Fault {
    pub(in crate::server) fn abort(self) -> Abort {
        match self {
            Self::TooLarge { .. } => Abort::TooLarge,
            Self::LineTooLong { .. } => Abort::LineTooLong,
            Self::Loop { .. } => Abort::Loop,
        }
    }

    pub(in crate::server) fn reply(self) -> Reply {
        match self {
            Self::TooLarge { limit } => replies::too_large(limit),
            Self::LineTooLong { limit } => replies::content_line_too_long(limit),
            Self::Loop { limit } => replies::mail_loop(limit),
        }
    }
}

fn count(octets: &[u8]) -> u64 {
    u64::try_from(octets.len()).unwrap_or(u64::MAX)
}
