//! What was counted of customers between two moments.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::abi::Sighting;

use crate::radar::sketch::Sketch;

/// What was counted of one customer; the first seven by the edge, the others by relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// SYNs that it sent.
    pub syns: u64,
    /// Frames that it sent.
    pub packets: u64,
    /// Octets of these.
    pub octets: u64,
    /// Connections that the far side ended.
    pub ended: u64,
    /// Those that it reset or refused.
    pub reset: u64,
    /// Those that it ended after a greeting.
    pub short: u64,
    /// Networks that it tried to reach.
    pub destinations: Sketch,
    /// Connections that relays took.
    pub connections: u64,
    /// Messages that they heard.
    pub messages: u64,
    /// Recipients of these.
    pub recipients: u64,
    /// Distinct ones in one report.
    pub distinct_recipients: u64,
    /// Distinct reverse-paths in one report.
    pub distinct_senders: u64,
    /// Recipients that their servers did not know.
    pub unknown: u64,
    /// Recipients that were refused.
    pub refused: u64,
    /// Messages that scanners took for spam or malware.
    pub spam: u64,
    /// Limits of the relay that it met.
    pub limit_hits: u64,
    /// Destinations at which it was learnt to verify certificates.
    pub learnt: u64,
}

/// What was counted of all customers between two moments, as rules see it and the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// From when.
    pub from: Timestamp,
    /// Until when; the same as `from` if it is news of relays between two turns of the radar.
    pub until: Timestamp,
    /// Of whom. IPv4 addresses, and IPv6 /64s.
    pub seen: BTreeMap<IpNetwork, Observation>,
}

impl Observation {
    /// Nothing at all.
    pub const NOTHING: Self = Self {
        syns: 0,
        packets: 0,
        octets: 0,
        ended: 0,
        reset: 0,
        short: 0,
        destinations: Sketch::EMPTY,
        connections: 0,
        messages: 0,
        recipients: 0,
        distinct_recipients: 0,
        distinct_senders: 0,
        unknown: 0,
        refused: 0,
        spam: 0,
        limit_hits: 0,
        learnt: 0,
    };

    /// What the edge has counted in one window.
    #[must_use]
    pub fn of(sighting: &Sighting) -> Self {
        Self {
            syns: sighting.syns,
            packets: sighting.packets_out,
            octets: sighting.octets_out,
            ended: sighting.ended,
            reset: sighting.reset,
            short: sighting.short,
            destinations: Sketch::of(sighting),
            ..Self::NOTHING
        }
    }

    /// Adds what was counted later, or elsewhere. Distinct recipients and senders of two reports may be the same
    /// ones, so of these the larger number stays: what is said is never too much.
    pub fn unite(&mut self, other: &Self) {
        let sums = [
            (&mut self.syns, other.syns),
            (&mut self.packets, other.packets),
            (&mut self.octets, other.octets),
            (&mut self.ended, other.ended),
            (&mut self.reset, other.reset),
            (&mut self.short, other.short),
            (&mut self.connections, other.connections),
            (&mut self.messages, other.messages),
            (&mut self.recipients, other.recipients),
            (&mut self.unknown, other.unknown),
            (&mut self.refused, other.refused),
            (&mut self.spam, other.spam),
            (&mut self.limit_hits, other.limit_hits),
            (&mut self.learnt, other.learnt),
        ];
        for (sum, by) in sums {
            *sum = sum.saturating_add(by);
        }
        self.distinct_recipients = self.distinct_recipients.max(other.distinct_recipients);
        self.distinct_senders = self.distinct_senders.max(other.distinct_senders);
        self.destinations.unite(&other.destinations);
    }

    /// Whether a relay had anything to say.
    #[must_use]
    pub fn is_from_relay(&self) -> bool {
        let counts = [
            self.connections,
            self.messages,
            self.recipients,
            self.spam,
            self.limit_hits,
            self.learnt,
        ];
        counts.into_iter().any(|count| count > 0)
    }
}

impl Rotation {
    /// Of nobody.
    #[must_use]
    pub const fn between(from: Timestamp, until: Timestamp) -> Self {
        Self {
            from,
            until,
            seen: BTreeMap::new(),
        }
    }

    /// Leaves out whom the edge alone has seen, with fewer SYNs than `floor`.
    #[must_use]
    pub fn above(mut self, floor: u64) -> Self {
        self.seen
            .retain(|_, seen| seen.syns >= floor || seen.is_from_relay());
        self
    }
}
