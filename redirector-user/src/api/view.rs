//! What the API says, as the server writes it and the command line reads it.
//!
//! Additions are compatible, so nothing here denies unknown fields.

mod capture;
mod events;
mod flags;
mod relays;
mod rules;
mod status;
mod users;
mod why;

use serde::{Deserialize, Serialize};

pub use self::{
    capture::{CaptureLine, CaptureRequest, CapturedView},
    events::{CountsView, EventView, SeenView},
    flags::{FlagState, FlagView, HistoryView, ImportProgress, ImportStage, ImportView},
    relays::{DrainRequest, DrainView, PoolView, RelayHealth, RelayView},
    rules::{
        FreezeRequest, ProbationView, ReallyView, ReloadRequest, ReplayView, RuleView, RulesView,
        StatisticsView, WouldView,
    },
    status::{AttachRequest, FlagCounts, MissingInterface, StatusView},
    users::{UserToldView, UserView},
    why::{FrameView, FramesRequest, FramesView, WhyView},
};

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
