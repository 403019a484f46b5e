//! What is said about the quarantine through the admin door, as JSON; both sides share it.
//!
//! `POST /v1/quarantine/list` with a [`ListQuestion`] → [`Listing`]; `.../show` with a [`ShowQuestion`] → [`Shown`]; `.../body`
//! with a [`BodyQuestion`] → the sealed octets; `.../release` and `.../confirm` with an [`Opened`] in the first line and what
//! was under the seal behind it → [`Done`]; `.../orders` with an [`Order`] → [`Done`]. Errors are
//! [`Refused`](crate::queue::admin::shapes::Refused).

use std::net::IpAddr;

use contract::Tier;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::audit::{Act, Line, State};
pub use super::record::{NotARecord, Record, RecordId, Sealed};

/// Which records are meant: all conditions that are there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Address or prefix of the customer.
    pub customer: Option<IpNetwork>,
    /// The flag.
    pub flag_id: Option<u32>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// `spam`, `malware` or `unscannable`.
    pub verdict: Option<String>,
    /// The user, or who inside of the customer.
    pub identity: Option<String>,
    /// Of nearly the same text as this one, itself included.
    pub alike: Option<RecordId>,
    /// What has become of it.
    pub state: Option<State>,
    /// Its content is still there, and was not released.
    pub releasable: bool,
}

/// Asks for records.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListQuestion {
    /// Which.
    pub wanted: Wanted,
    /// So many at most; at most 10000.
    pub limit: usize,
    /// By chance, not the newest.
    pub sample: bool,
}

/// Records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    /// They.
    pub records: Vec<Found>,
    /// All of the store has been read since the relay's start; else there may be more.
    pub complete: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub id: RecordId,
    /// When it came.
    pub at: Timestamp,
    /// Whose it is.
    pub customer: IpAddr,
    /// The flag that diverted it.
    pub flag_id: Option<u32>,
    /// Who inside of the customer has sent it, or the user.
    pub identity: Option<String>,
    /// One word.
    pub verdict: String,
    /// Octets of its content.
    pub octets: u64,
    /// The most of it that is there.
    pub kept: Tier,
    /// What has become of it.
    pub state: State,
}

/// Asks for one record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowQuestion {
    /// Which.
    pub id: RecordId,
    /// With its header section, addresses redacted.
    pub headers: bool,
    /// Why; it is audited.
    pub reason: String,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// All that is known of it.
    pub record: Record,
    /// What has become of it.
    pub state: State,
    /// Its header section, if that was asked for and is there.
    pub headers: Option<String>,
    /// The sealed part is still there.
    pub has_body: bool,
}

/// Asks for the sealed part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyQuestion {
    /// Of which record.
    pub id: RecordId,
    /// Why; it is audited.
    pub reason: String,
}

/// Says whose opened content follows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// The record.
    pub id: RecordId,
    /// Why; it is audited.
    pub reason: String,
}

/// What shall be done to records.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What.
    pub verb: Verb,
    /// To which.
    pub ids: Vec<RecordId>,
    /// Why; it is audited.
    pub reason: String,
}

/// What can be done without the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Delete header section and content.
    Drop,
    /// It is spam.
    Confirm,
}

/// What came of it, for each record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// It was done.
    pub done: Vec<Did>,
    /// It was not.
    pub failed: Vec<Failed>,
}

/// What was done to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Did {
    /// The record.
    pub id: RecordId,
    /// Its name in the queue, if it was released.
    pub queue_id: Option<String>,
}

/// What was not done to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The record.
    pub id: RecordId,
    /// Why not.
    pub error: String,
    /// It is not there at all.
    pub is_missing: bool,
}
