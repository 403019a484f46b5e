//! What the edge and the relay say to each other, once.
//!
//! The relay asks `GET /v1/relays/{relay}/snapshot?have=G&wait_s=S` on the controller's socket. The
//! answer is a [`Snapshot`] newer than generation `G`, or `204` after `S` seconds without one.
//! **Asking with `have=G` acknowledges generation `G`**: the relay asks only after it has put the
//! snapshot into force and on disk, so the controller needs no second call to know that a redirect
//! may become active, and a lost answer is simply asked for again.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Number of a policy state; grows by one with each change.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// All that a relay must know about the customers it may meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which state this is.
    pub generation: Generation,
    /// The operator's customer prefixes: an unknown origin inside them is answered `421`, outside `554`.
    pub customer_prefixes: Vec<IpNetwork>,
    /// Addresses that the controller's health checks come from: they get a banner and nothing more.
    pub probe_sources: Vec<IpAddr>,
    /// Every customer whose policy is `redirect`; the most specific prefix wins.
    pub customers: Vec<CustomerPolicy>,
}

/// What the relay does for one redirected customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerPolicy {
    /// The flagged address or prefix.
    pub prefix: IpNetwork,
    /// The flag, as `outgate flag show` prints it.
    pub flag_id: u32,
    /// Pool that the edge sends it to.
    pub pool: String,
    /// What the relay does.
    pub treatment: Treatment,
    /// Address that the relay's own leg to the MX leaves from.
    pub egress: Egress,
    /// Why, as the abuse desk wrote it; part of what a refused sender reads.
    pub reason: String,
    /// When the flag ends by itself.
    pub expires_at: Timestamp,
}

/// What the relay does with a redirected connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Own certificate on STARTTLS, scan, then deliver by cut-through.
    #[default]
    Filter,
}

/// Where the relay's own leg to the MX leaves from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// An address of the relay.
    #[default]
    Pool,
}
