//! The feed of events.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    feed::Counts,
    policy::dial::FlagId,
    store::events::{Seen, Stored},
};

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its number; grows by one from event to event.
    pub seq: u64,
    /// When, by the clock of whoever saw it.
    pub at: Timestamp,
    /// Which relay; `None` = the controller.
    pub relay: Option<String>,
    /// What kind.
    pub kind: String,
    /// Whom it is about.
    #[schema(value_type = Option<String>)]
    pub customer: Option<IpNetwork>,
    /// By which flag.
    pub flag: Option<FlagId>,
    /// The rest, by kind.
    pub detail: Value,
}

/// What relays saw of a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeenView {
    /// In the last hour.
    pub hour: CountsView,
    /// In the last 24.
    pub day: CountsView,
}

/// Counts of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountsView {
    /// Those whose content reached a relay.
    pub messages: u64,
    /// Of these, those that it refused.
    pub refused: u64,
    /// Of these, those that were spam or malware.
    pub spam: u64,
}

impl From<Stored> for EventView {
    fn from(stored: Stored) -> Self {
        let Stored {
            seq,
            at,
            relay,
            kind,
            customer,
            flag,
            detail,
        } = stored;
        Self {
            seq,
            at,
            relay,
            kind,
            customer,
            flag,
            detail,
        }
    }
}

impl From<Seen> for SeenView {
    fn from(Seen { hour, day }: Seen) -> Self {
        let view = |counts: Counts| CountsView {
            messages: counts.messages,
            refused: counts.refused,
            spam: counts.spam,
        };
        Self {
            hour: view(hour),
            day: view(day),
        }
    }
}
