//! What would become of a connection, or of frames.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AssignmentView, FlagView, ListingView};
use crate::edge::Judgement;

/// `GET /v1/why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyView {
    /// Who would connect.
    #[schema(value_type = String)]
    pub source: IpAddr,
    /// Whereto.
    #[schema(value_type = String)]
    pub destination: IpAddr,
    /// The port there.
    pub port: u16,
    /// What the program would do.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// The flag behind it.
    pub flag: Option<FlagView>,
    /// Whose the source is, if that is known.
    #[serde(default)]
    pub assignment: Option<AssignmentView>,
    /// Flags over the source that have ended, the newest first, at most [`WhyView::PAST`].
    #[serde(default)]
    pub past: Vec<FlagView>,
    /// Open listings of the source; of an IPv6 address those of its /64.
    #[serde(default)]
    pub listings: Vec<ListingView>,
    /// The relay that it would meet.
    pub relay_name: Option<String>,
    /// Interfaces of that kind whose program is of another build than the one that judged.
    pub other_build: Vec<String>,
    /// All of it in one sentence.
    pub explanation: String,
}

impl WhyView {
    /// How many flags of the past are told.
    pub const PAST: u32 = 5;
}

/// `GET /v1/why/then`: what was in force over a source, as the store of record knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ThenView {
    /// Who.
    #[schema(value_type = String)]
    pub source: IpAddr,
    /// The moment.
    pub at: Timestamp,
    /// Whose it was, if that is known.
    #[serde(default)]
    pub assignment: Option<AssignmentView>,
    /// The flag that its connections met: the most specific one that was in force.
    pub flag: Option<FlagView>,
    /// Wider ones that were in force behind it, the most specific first.
    pub behind: Vec<FlagView>,
    /// All of it in one sentence.
    pub explanation: String,
}

/// `POST /v1/why/frames`: frames to be judged, each for itself, against the maps as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameView {
    /// What the program would do; `None` = it could not be judged.
    pub judgement: Option<Judgement>,
    /// Why not.
    pub not_judged: Option<String>,
}
