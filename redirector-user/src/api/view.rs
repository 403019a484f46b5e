//! What the API says, as the server writes it and the command line reads it.
//!
//! Additions are compatible, so nothing here denies unknown fields.

mod audit;
mod batch;
mod bypasses;
mod capture;
mod events;
mod flags;
mod listings;
mod notices;
mod precheck;
mod privacy;
mod ranges;
mod relays;
mod rules;
mod status;
mod store;
mod tenants;
mod terms;
mod tokens;
mod users;
mod webhooks;
mod why;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{
    audit::{AuditExportRequest, AuditView},
    batch::{BatchItemView, BatchOutcome, BatchRequest, BatchView},
    bypasses::{BypassState, BypassView},
    capture::{CaptureLine, CaptureRequest, CapturedView},
    events::{CountsView, EventView, SeenView},
    flags::{
        FlagSetView, FlagState, FlagView, HistoryView, ImportProgress, ImportStage, ImportView,
        SetOutcome,
    },
    listings::{ListState, ListView, ListedRequest, ListedView, ListingView, ListsView},
    notices::{NoticePreview, NoticeState, NoticeView},
    precheck::PrecheckView,
    privacy::{ErasedView, HeldView, PrivacyRequest},
    ranges::{GapView, GapsRequest},
    relays::{DrainRequest, DrainView, PoolView, RelayHealth, RelayView, TunnelView},
    rules::{
        FreezeRequest, ProbationView, ReallyView, ReloadRequest, ReplayView, RuleView, RulesView,
        StatisticsView, WouldView,
    },
    status::{AttachRequest, FlagCounts, MissingInterface, SharedStoreView, StatusView},
    store::{BackupRequest, BackupView},
    tenants::{
        AssignRequest, AssignedView, AssignmentView, ChangeView, CustomerHistoryView,
        CustomerRequest, CustomerView, Sign, WhoView,
    },
    terms::{
        DecisionRequest, ExemptionState, ExemptionView, ExtensionRequest, FlagChangeView,
        SparedView,
    },
    tokens::{TokenToldView, TokenView},
    users::{UserToldView, UserView},
    webhooks::{WebhookAnswerView, WebhookRetryRequest, WebhookState, WebhookView},
    why::{FrameView, FramesRequest, FramesView, ThenView, WhyView},
};

/// Body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorView,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: what happened, and what to do next.
    pub message: String,
}

/// Whose rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Who asks is not known.
    Unidentified,
    /// Who asks may not do that.
    Forbidden,
    /// It is not any more what the caller took it for.
    Changed,
}
