//! What relays tell the controller: what happened, to whom, in which order.
//!
//! A relay numbers its events by `seq` inside of an epoch, which is one run of its process and has a name that no other
//! run has. It sends them in order, a [`Batch`] at a time, to `POST /v1/relays/{relay}/events`, and is answered by
//! [`Taken`]: through which number the controller has made them durable. **Each is taken once**: a batch whose answer was
//! lost is sent again, and the controller passes over the numbers that it has. Two batches of one relay are never on the
//! way at the same time. A number that never comes was thrown away by the relay, which says how many by
//! [`Happening::Lost`]; what a run has left unsent comes from the next one, under its own epoch.
//!
//! No event holds a local-part, a subject or content. Texts are bounded ([`Happening::bound`]), because part of them comes
//! from messages. What a newer relay says, and an older controller does not understand, is kept as it was said
//! ([`Happening::Unknown`]).

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod happening;

pub use happening::{
    Concern, Decision, Happening, MessageVerdict, REASONS_MAX, Rates, SCANNERS_MAX, ScannerWord,
    TEXT_CHARS_MAX,
};

/// One thing that happened at a relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Event {
    /// Number inside of the epoch, from 1; it only grows.
    pub seq: u64,
    /// When, by the relay's clock.
    pub at: Timestamp,
    /// Whom it is about; `None` = the relay itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub customer: Option<IpAddr>,
    /// The flag by which the relay served the customer; `None` = by none (authorised ranges, submission).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag_id: Option<u32>,
    /// What.
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub happening: Happening,
}

/// Events of one run of a relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Batch {
    /// The run that the numbers belong to: up to [`EPOCH_CHARS_MAX`] letters and digits.
    pub epoch: String,
    /// In order, at most [`BATCH_EVENTS_MAX`].
    pub events: Vec<Event>,
}

/// The controller's answer: these need never be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Taken {
    /// Of the batch.
    pub epoch: String,
    /// The last number that is durable.
    pub through: u64,
}

impl Batch {
    /// Whether the epoch is one, and the events are in order and not too many.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let letters = self
            .epoch
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric());
        let in_order = self
            .events
            .is_sorted_by(|before, after| before.seq < after.seq);
        letters
            && (1..=EPOCH_CHARS_MAX).contains(&self.epoch.len())
            && self.events.len() <= BATCH_EVENTS_MAX
            && self.events.first().is_none_or(|first| first.seq > 0)
            && in_order
    }
}

/// Events in a batch.
pub const BATCH_EVENTS_MAX: usize = 500;
/// Octets of a batch on the wire: a relay sends fewer events where they are long.
pub const BATCH_OCTETS_MAX: usize = 2 << 20;
/// Characters of an epoch's name.
pub const EPOCH_CHARS_MAX: usize = 32;

#[cfg(test)]
mod tests;
