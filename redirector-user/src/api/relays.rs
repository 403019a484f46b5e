//! `/v1/relays`: the controller's half of the contract with the relays.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use contract::Generation;
use serde::Deserialize;

use super::{
    Shared,
    error::{ApiError, Path, Query},
    to_its_end,
};

/// Query of a relay.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotQuery {
    /// What the relay has in force; acknowledges it.
    have: Option<Generation>,
    /// How long to wait for something newer.
    #[serde(default)]
    wait_s: u64,
}

/// The snapshot, or `204` if nothing newer came within the wait.
pub(super) async fn snapshot(
    State(controller): Shared,
    Path(relay): Path<String>,
    Query(query): Query<SnapshotQuery>,
) -> Result<Response, ApiError> {
    let wait = Duration::from_secs(query.wait_s.min(LONGEST_WAIT_S));
    let snapshot =
        to_its_end(async move { controller.snapshot(&relay, query.have, wait).await }).await?;
    Ok(match snapshot {
        Some(snapshot) => Json(snapshot).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

const LONGEST_WAIT_S: u64 = 60;
