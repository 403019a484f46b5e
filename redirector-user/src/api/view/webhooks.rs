//! Webhooks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Name, as outgated.toml says it.
    pub name: String,
    /// Where it leads, without path and query, which may be secret.
    pub endpoint: String,
    /// Kinds of events that it wants, with blanks between.
    pub events: String,
    /// Whether it takes them.
    pub state: WebhookState,
    /// Every event up to this number was taken, not wanted, or given up.
    pub through: u64,
    /// Events after that one, wanted or not.
    pub lag: u64,
    /// When it last took one.
    pub taken_at: Option<Timestamp>,
    /// Attempts that have failed since then.
    pub failures: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// When it is asked again.
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Whether an endpoint takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookState {
    /// It took the last one, or was not told any yet.
    Good,
    /// It did not, and is asked again.
    Failing,
    /// It says that it is gone (410), and is not asked until its configuration changes, or somebody says so.
    Stopped,
}

/// `POST /v1/webhooks/{name}/retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRetryRequest {
    /// Why, for the trail.
    #[serde(default)]
    pub reason: String,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// What an endpoint said to a ping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookAnswerView {
    /// Whether it would have taken an event.
    pub took: bool,
    /// Status of HTTP; `None` = there was no answer.
    pub status: Option<u16>,
    /// Milliseconds until then.
    pub elapsed_ms: Option<u64>,
    /// Why it would not.
    pub error: Option<String>,
    /// The first 4096 octets of what it said.
    pub answer: Option<String>,
}
