//! What the API says, as the server writes it and the command line reads it.
//!
//! Additions are compatible, so nothing here denies unknown fields.

use std::{net::IpAddr, num::NonZeroU8};

use contract::{Egress, Generation, Treatment};
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    edge::{Attachment, Judgement, Ladder},
    policy::dial::{Flag, FlagId},
};

/// One flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagView {
    /// Number.
    pub id: FlagId,
    /// Whom it is about.
    pub prefix: IpNetwork,
    /// Name of the action.
    pub action: String,
    /// Of a redirect, else `None`.
    pub pool: Option<String>,
    /// Of a redirect, else `None`.
    pub treatment: Option<Treatment>,
    /// Of a redirect, else `None`.
    pub egress: Option<Egress>,
    /// Of a limit, as `30/min`, else `None`.
    pub rate: Option<String>,
    /// Of a limit, else `None`.
    pub burst: Option<u16>,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Reference into another system.
    pub ticket: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When the kernel first had it.
    pub activated_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who ended it; `outgated` for an expiry.
    pub ended_by: Option<String>,
    /// Why it ended.
    pub ended_reason: Option<String>,
    /// Whether it is in force.
    pub state: FlagState,
    /// Relays that it waits for while it is pending.
    pub awaiting: Vec<String>,
    /// Of a redirect: the relays of its pool that take new connections now.
    pub serving: Vec<String>,
    /// The flag of the same prefix that it ended.
    pub replaces: Option<FlagId>,
    /// State of the policy that brought it.
    pub generation: Generation,
    /// What happened to it, oldest first; empty in lists.
    pub history: Vec<HistoryView>,
}

/// Whether a flag is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlagState {
    /// The kernel has it.
    Active,
    /// It is stored, and waits for relays.
    Pending,
    /// It has ended.
    Ended,
}

/// One row of a flag's trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryView {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub event: String,
    /// The rest; `None` once erased.
    pub detail: Option<serde_json::Value>,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// State of the policy.
    pub generation: Generation,
    /// Where the program is.
    pub interfaces: Vec<Attachment>,
    /// Configured interfaces that it is not on.
    #[serde(default)]
    pub missing: Vec<MissingInterface>,
    /// Pools and their relays.
    pub pools: Vec<PoolView>,
    /// How many flags.
    pub flags: FlagCounts,
    /// Entries of the flow table at the last sweep.
    pub flows: usize,
    /// Entries that it can hold.
    pub flows_max: u32,
    /// Seconds since the kernel last heard of the controller.
    pub heartbeat_age_s: u64,
}

/// A configured interface without the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingInterface {
    /// Name.
    pub interface: String,
    /// Role, as configured.
    pub role: String,
    /// Why: the last attempt's error.
    pub reason: String,
}

/// How many flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagCounts {
    /// In force.
    pub active: usize,
    /// Waiting for relays.
    pub pending: usize,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// Name.
    pub name: String,
    /// `rewrite` or `steer`.
    pub via: String,
    /// `open`, `closed` or `refuse`.
    pub on_failure: String,
    /// Whether its relays are a third party's, which acknowledge nothing.
    #[serde(default)]
    pub third_party: bool,
    /// Its relays.
    pub relays: Vec<RelayView>,
}

/// One relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayView {
    /// Name.
    pub name: String,
    /// Listener's addresses.
    pub address: Vec<IpAddr>,
    /// Listener's port.
    pub port: u16,
    /// What probes say.
    pub state: RelayHealth,
    /// Whether it takes new connections.
    pub in_rotation: bool,
    /// Newest generation that it said to have in force.
    pub acknowledged: Option<Generation>,
    /// Since when `state` is what it is.
    pub since: Timestamp,
    /// Its share of the pool's customers, relative to the others' weights.
    pub weight: NonZeroU8,
    /// Connections that it had at the last sweep of the flow table.
    pub flows: usize,
    /// Why it takes no new connections, if a person has said so.
    pub drained: Option<DrainView>,
    /// By which way it is probed: `data-path` or `direct`.
    #[serde(default)]
    pub probed: String,
    /// What the last probe found wrong, in words; `None` = it greeted, or was not probed yet.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// A drained relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainView {
    /// Since when.
    pub since: Timestamp,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// `PUT /v1/relays/{relay}/drain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Why, for the trail.
    #[serde(default)]
    pub reason: String,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// What probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayHealth {
    /// It greets.
    Up,
    /// It does not.
    Down,
    /// Nothing is known yet.
    Unknown,
}

/// `GET /v1/why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyView {
    /// Who would connect.
    pub source: IpAddr,
    /// Whereto.
    pub destination: IpAddr,
    /// The port there.
    pub port: u16,
    /// What the program would do.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// The flag behind it.
    pub flag: Option<FlagView>,
    /// The relay that it would meet.
    pub relay_name: Option<String>,
    /// Interfaces of that kind whose program is of another build than the one that judged.
    pub other_build: Vec<String>,
    /// All of it in one sentence.
    pub explanation: String,
}

/// `POST /v1/why/frames`: frames to be judged, each for itself, against the maps as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FramesRequest {
    /// Interface that they come in by; it must have the program.
    #[serde(default)]
    pub interface: Option<String>,
    /// Role of the interface, where none is named: `customer` (the default), `uplink` or `relay`.
    #[serde(default)]
    pub role: Option<String>,
    /// The frames in hexadecimal, from the Ethernet header on, without the frame check sequence.
    pub frames: Vec<String>,
}

/// What is said of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramesView {
    /// Role of the interface.
    pub role: String,
    /// Interfaces with that role and the program. None = nothing of this happens yet.
    pub interfaces: Vec<String>,
    /// Those of them whose program is of another build than the one that judged.
    pub other_build: Vec<String>,
    /// In the order of the frames.
    pub frames: Vec<FrameView>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameView {
    /// What the program would do; `None` = it could not be judged.
    pub judgement: Option<Judgement>,
    /// Why not.
    pub not_judged: Option<String>,
}

/// `POST /v1/capture`: asks for the frames that the program takes. The answer is a line of JSON for each
/// [`CaptureLine`], until it ends or the connection is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// Frames from or to this prefix alone.
    #[serde(default)]
    pub source: Option<IpNetwork>,
    /// Octets of each frame, 1 to 2048; without it the headers, and no payload.
    #[serde(default)]
    pub octets: Option<u32>,
    /// It ends with so many frames.
    #[serde(default)]
    pub count: Option<u64>,
    /// It ends after so many seconds.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Who, for the log.
    #[serde(default)]
    pub actor: String,
}

/// One line of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureLine {
    /// A frame was taken.
    Frame(Box<CapturedView>),
    /// It goes on; told every second.
    Going {
        /// Frames that found no room so far.
        lost: u64,
    },
    /// It has ended, and nothing follows.
    Ended {
        /// Frames that found no room.
        lost: u64,
    },
}

/// A frame that the program took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedView {
    /// When.
    pub at: Timestamp,
    /// Interface that it came in by.
    pub interface: String,
    /// `drop`, `tx` or `redirect`.
    pub verdict: String,
    /// Counter that says most about it.
    pub counter: String,
    /// Number of the relay that it went to or came from.
    pub relay: Option<u32>,
    /// The flag behind it.
    pub flag_id: Option<u32>,
    /// How long it was.
    pub octets: u32,
    /// Whether `frame` is as it left, not as it came in.
    pub as_it_left: bool,
    /// What was kept of it, in hexadecimal.
    pub frame: String,
}

/// `POST /v1/interfaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// Interface.
    pub name: String,
    /// `customer`, `uplink` or `relay`.
    pub role: String,
    /// Where in the kernel: one mode, or several in the order in which they are tried.
    pub mode: Ladder,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// `POST /v1/flags/import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportView {
    /// Whether the file was only judged.
    pub dry_run: bool,
    /// Flags in it.
    pub flags: usize,
    /// Active flags of the same prefixes that they end.
    pub replaced: usize,
    /// How many are stored and not yet in force.
    pub pending: usize,
    /// The relays that those wait for.
    pub awaiting: Vec<String>,
    /// State of the policy that brought them; `None` if nothing was stored.
    pub generation: Option<Generation>,
    /// Number of the first; the others follow on it.
    pub first: Option<FlagId>,
    /// Number of the last.
    pub last: Option<FlagId>,
}

/// `GET /v1/flags/import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// What is being done.
    pub stage: ImportStage,
    /// Flags that it is done for.
    pub done: usize,
    /// Flags in the file; 0 while that is not known.
    pub of: usize,
}

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportStage {
    /// The file is judged.
    Reading,
    /// It is written into the store.
    Storing,
    /// It is put into the kernel.
    Enforcing,
}

/// Body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorView,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: what happened, and what to do next.
    pub message: String,
}

/// Whose rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A guard forbids it.
    Guard,
    /// There is no such thing.
    NotFound,
    /// The request is malformed.
    Usage,
    /// Our fault, or the machine's.
    Internal,
    /// Not now.
    Busy,
}

impl FlagView {
    /// A flag as it is told; `awaiting` are the relays that it waits for, `serving` those that would take its
    /// connections.
    #[must_use]
    pub fn new(
        flag: Flag,
        awaiting: Vec<String>,
        serving: Vec<String>,
        history: Vec<HistoryView>,
    ) -> Self {
        let state = match (&flag.ended, flag.activated_at) {
            (Some(_), _) => FlagState::Ended,
            (None, Some(_)) => FlagState::Active,
            (None, None) => FlagState::Pending,
        };
        let Flag {
            id,
            terms,
            generation,
            replaces,
            activated_at,
            ended,
        } = flag;
        let redirect = terms.action.redirect().cloned();
        let limit = terms.action.limit();
        Self {
            id,
            prefix: terms.prefix,
            action: terms.action.name().to_owned(),
            treatment: redirect.as_ref().map(|redirect| redirect.treatment),
            egress: redirect.as_ref().map(|redirect| redirect.egress),
            pool: redirect.map(|redirect| redirect.pool),
            rate: limit.map(|limit| limit.rate.to_string()),
            burst: limit.map(|limit| limit.burst.get()),
            reason: terms.reason,
            actor: terms.actor,
            ticket: terms.ticket,
            created_at: terms.created_at,
            expires_at: terms.expires_at,
            activated_at,
            ended_at: ended.as_ref().map(|ended| ended.at),
            ended_reason: ended.as_ref().map(|ended| ended.reason.clone()),
            ended_by: ended.map(|ended| ended.by),
            state,
            awaiting,
            serving,
            replaces,
            generation,
            history,
        }
    }
}
