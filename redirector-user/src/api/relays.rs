//! `/v1/relays`: the relays for people, and the controller's half of the contract with them.

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
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{DrainRequest, PoolView},
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

/// Query of a resumption.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeQuery {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    actor: String,
}

pub(super) async fn list(State(controller): Shared) -> Json<Vec<PoolView>> {
    Json(controller.pools().await)
}

/// Answers with the relay's pool, as the next one does.
pub(super) async fn drain(
    State(controller): Shared,
    Path(relay): Path<String>,
    Body(DrainRequest { reason, actor }): Body<DrainRequest>,
) -> Result<Json<PoolView>, ApiError> {
    let drained =
        to_its_end(async move { controller.drain_relay(&relay, &actor, &reason).await }).await?;
    Ok(Json(drained))
}

pub(super) async fn resume(
    State(controller): Shared,
    Path(relay): Path<String>,
    Query(ResumeQuery { reason, actor }): Query<ResumeQuery>,
) -> Result<Json<PoolView>, ApiError> {
    let resumed =
        to_its_end(async move { controller.resume_relay(&relay, &actor, &reason).await }).await?;
    Ok(Json(resumed))
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
