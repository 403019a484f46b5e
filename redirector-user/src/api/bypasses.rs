//! `/v1/bypasses`: destinations that nobody is redirected away from.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::BypassView,
};
use crate::policy::bypass::{BypassId, BypassRequest};

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Ended ones too.
    #[serde(default)]
    all: bool,
    /// At most so many, the newest first.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// Query of a lift.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LiftQuery {
    /// Why, for the trail.
    #[serde(default)]
    reason: String,
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Bypasses, the newest first.
#[utoipa::path(
    get, path = "/v1/bypasses", tag = "bypasses", params(ListQuery),
    responses((status = OK, body = Vec<BypassView>), ApiError)
)]
pub(super) async fn list(
    State(controller): Shared,
    Query(ListQuery { all, limit }): Query<ListQuery>,
) -> Result<Json<Vec<BypassView>>, ApiError> {
    Ok(Json(controller.list_bypasses(all, limit).await?))
}

/// As many as there may be.
const fn default_limit() -> u32 {
    4096
}

/// Names a destination that nobody is redirected away from.
#[utoipa::path(
    post, path = "/v1/bypasses", tag = "bypasses", request_body = BypassRequest,
    responses((status = CREATED, body = BypassView), ApiError)
)]
pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<BypassRequest>,
) -> Result<(StatusCode, Json<BypassView>), ApiError> {
    let view = to_its_end(async move { controller.add_bypass(&request).await }).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Ends a bypass.
#[utoipa::path(
    delete, path = "/v1/bypasses/{id}", tag = "bypasses",
    params(("id" = BypassId, Path, description = "Number of the bypass"), LiftQuery),
    responses((status = OK, body = BypassView), ApiError)
)]
pub(super) async fn lift(
    State(controller): Shared,
    Path(id): Path<BypassId>,
    Query(LiftQuery { reason, actor }): Query<LiftQuery>,
) -> Result<Json<BypassView>, ApiError> {
    let view = to_its_end(async move { controller.lift_bypass(id, &actor, &reason).await });
    Ok(Json(view.await?))
}
