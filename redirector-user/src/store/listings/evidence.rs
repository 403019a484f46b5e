//! What was sent from an address until it was listed, as the store keeps it with the listing.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::tenant::CustomerId;

/// What was sent from an address, as far as anybody has seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// Whose it is, if that is known.
    #[schema(value_type = Option<String>)]
    pub customer: Option<CustomerId>,
    /// What relays saw of it in the last 24 h; of an IPv6 address, of its /64.
    pub day: Mail,
    /// The same of the last seven days.
    pub week: Mail,
    /// What the edge saw of it in the last seven days, as far as figures are kept.
    pub radar: Sent,
    /// Flags that were in force over it, the most specific first.
    pub flags: Vec<OfFlag>,
}

/// Messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mail {
    /// Whose content reached a relay.
    pub messages: u64,
    /// Of these, those that it refused.
    pub refused: u64,
    /// Of these, those that were spam or malware.
    pub spam: u64,
}

/// Connections to port 25.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sent {
    /// SYNs.
    pub syns: u64,
    /// Octets.
    pub octets: u64,
    /// Distinct networks (/24 or /48) that it tried to reach, estimated.
    pub destinations: u64,
    /// Connections that the far side reset or refused.
    pub reset: u64,
    /// Those that it ended after a greeting.
    pub short: u64,
    /// When it was seen last.
    pub last_at: Option<Timestamp>,
}

/// A flag that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfFlag {
    /// Its number.
    pub id: u32,
    /// Its prefix.
    #[schema(value_type = String)]
    pub prefix: IpNetwork,
    /// What it does.
    pub action: String,
    /// Why.
    pub reason: String,
    /// Since when it is in force.
    pub since: Option<Timestamp>,
}
