//! What goes through the admin door about behaviour, as JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A customer, or a site of one, in the last hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HourShown {
    /// The customer: an address, or an IPv6 prefix.
    pub customer: String,
    /// Connections that were served.
    pub connections: u64,
    /// Messages whose content was asked for.
    pub messages: u64,
    /// Recipients that were taken.
    pub recipients: u64,
    /// Octets of contents.
    pub octets: u64,
    /// Servers' answers about recipients.
    pub answers: u64,
    /// The share of them that says that there is no such user.
    pub unknown_share: f64,
    /// The share that is a refusal by policy.
    pub refused_share: f64,
    /// Messages that were found to be spam.
    pub spam: u64,
    /// What was beyond a limit.
    pub limited: u64,
}

/// All of one customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CustomerShown {
    /// Its last hour.
    pub hour: HourShown,
    /// Different recipients of the last hour, estimated.
    pub distinct_recipients: u64,
    /// Different reverse-paths of the last hour, estimated.
    pub distinct_senders: u64,
    /// The name of its limits, if its flag names some that the configuration has.
    #[serde(default)]
    pub limits_name: Option<String>,
    /// Its limits.
    pub limits: Vec<LimitShown>,
    /// Its sites.
    pub identities: Vec<IdentityShown>,
}

/// One limit of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitShown {
    /// As in the configuration.
    pub name: String,
    /// How much of it is used up.
    pub used: u64,
    /// What it allows.
    pub limit: u64,
}

/// One site of a customer, in the last hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityShown {
    /// Its name.
    pub identity: String,
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Octets.
    pub octets: u64,
}

/// A site is to be locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockOrder {
    /// Its name.
    pub identity: String,
    /// Of this customer alone: an address, or a prefix as it is shown.
    #[serde(default)]
    pub customer: Option<String>,
    /// Why, for its sender to read.
    pub reason: String,
    /// Until when.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// A site is to be unlocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlockOrder {
    /// Its name.
    pub identity: String,
    /// As it was locked.
    #[serde(default)]
    pub customer: Option<String>,
}

/// Whether it was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlockDone {
    /// It was.
    pub changed: bool,
}
