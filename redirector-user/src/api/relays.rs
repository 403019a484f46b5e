//! `/v1/relays`: the relays for people, and the controller's half of the contract with them.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use contract::{Generation, Snapshot};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{DrainRequest, PoolView},
};

/// Query of a relay.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotQuery {
    /// What the relay has in force; acknowledges it.
    have: Option<Generation>,
    /// How long to wait for something newer.
    #[serde(default)]
    wait_s: u64,
}

/// Query of a resumption.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeQuery {
    /// Why, for the trail.
    #[serde(default)]
    reason: String,
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Pools and their relays.
#[utoipa::path(get, path = "/v1/relays", tag = "relays", responses((status = OK, body = Vec<PoolView>), ApiError))]
pub(super) async fn list(State(controller): Shared) -> Json<Vec<PoolView>> {
    Json(controller.pools().await)
}

/// Takes a relay out of rotation; its connections stay.
#[utoipa::path(
    put, path = "/v1/relays/{relay}/drain", tag = "relays",
    params(("relay" = String, Path, description = "Its name", example = "relay-1")), request_body = DrainRequest,
    responses((status = OK, body = PoolView, description = "The relay's pool"), ApiError)
)]
pub(super) async fn drain(
    State(controller): Shared,
    Path(relay): Path<String>,
    Body(DrainRequest { reason, actor }): Body<DrainRequest>,
) -> Result<Json<PoolView>, ApiError> {
    let drained =
        to_its_end(async move { controller.drain_relay(&relay, &actor, &reason).await }).await?;
    Ok(Json(drained))
}

/// Lets a drained relay back.
#[utoipa::path(
    delete, path = "/v1/relays/{relay}/drain", tag = "relays",
    params(("relay" = String, Path, description = "Its name", example = "relay-1"), ResumeQuery),
    responses((status = OK, body = PoolView, description = "The relay's pool"), ApiError)
)]
pub(super) async fn resume(
    State(controller): Shared,
    Path(relay): Path<String>,
    Query(ResumeQuery { reason, actor }): Query<ResumeQuery>,
) -> Result<Json<PoolView>, ApiError> {
    let resumed =
        to_its_end(async move { controller.resume_relay(&relay, &actor, &reason).await }).await?;
    Ok(Json(resumed))
}

/// What a relay must know of its customers. Asking with `have` acknowledges that generation.
#[utoipa::path(
    get, path = "/v1/relays/{relay}/snapshot", tag = "contract with relays",
    params(("relay" = String, Path, description = "Its name", example = "relay-1"), SnapshotQuery),
    responses(
        (status = OK, body = Snapshot),
        (status = NO_CONTENT, description = "Nothing newer came within the wait"),
        ApiError
    )
)]
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
