//! `/v1/flags/{id}/extend` and its like: terms of flags that stand.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{DecisionRequest, ExtensionRequest, FlagChangeView, FlagView},
};
use crate::policy::dial::{self, FlagId};

/// Query of a prefix's history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// Address or prefix; one IPv6 address stands for its /64 unless `exact`.
    target: String,
    /// A single IPv6 address means itself.
    #[serde(default)]
    exact: bool,
}

/// What happened to every flag there ever was of a prefix, the newest first.
#[utoipa::path(
    get, path = "/v1/flags/history", tag = "flags", params(HistoryQuery),
    responses((status = OK, body = Vec<FlagChangeView>), ApiError)
)]
pub(super) async fn history(
    State(controller): Shared,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Vec<FlagChangeView>>, ApiError> {
    let prefix = dial::read_target(&query.target, query.exact)
        .map_err(|refusal| ApiError::usage(refusal.to_string()))?;
    Ok(Json(controller.prefix_history(prefix).await?))
}

/// Moves a flag's end, or the review of one that stands for ever.
#[utoipa::path(
    post, path = "/v1/flags/{id}/extend", tag = "flags",
    params(("id" = FlagId, Path, description = "Number of the flag")), request_body = ExtensionRequest,
    responses((status = OK, body = FlagView), ApiError)
)]
pub(super) async fn extend(
    State(controller): Shared,
    Path(id): Path<FlagId>,
    Body(request): Body<ExtensionRequest>,
) -> Result<Json<FlagView>, ApiError> {
    let view = to_its_end(async move {
        controller.extend_flag(id, &request).await?;
        controller.show_flag(id).await
    });
    Ok(Json(view.await?))
}

/// Makes a flag stand for ever, as somebody else has asked for.
#[utoipa::path(
    post, path = "/v1/flags/{id}/approve", tag = "flags",
    params(("id" = FlagId, Path, description = "Number of the flag")), request_body = DecisionRequest,
    responses((status = OK, body = FlagView), ApiError)
)]
pub(super) async fn approve(
    State(controller): Shared,
    Path(id): Path<FlagId>,
    Body(request): Body<DecisionRequest>,
) -> Result<Json<FlagView>, ApiError> {
    let view = to_its_end(async move {
        controller.approve_flag(id, &request).await?;
        controller.show_flag(id).await
    });
    Ok(Json(view.await?))
}

/// Leaves a flag its end, although somebody has asked for it to stand for ever.
#[utoipa::path(
    post, path = "/v1/flags/{id}/reject", tag = "flags",
    params(("id" = FlagId, Path, description = "Number of the flag")), request_body = DecisionRequest,
    responses((status = OK, body = FlagView), ApiError)
)]
pub(super) async fn reject(
    State(controller): Shared,
    Path(id): Path<FlagId>,
    Body(request): Body<DecisionRequest>,
) -> Result<Json<FlagView>, ApiError> {
    let view = to_its_end(async move {
        controller.reject_flag(id, &request).await?;
        controller.show_flag(id).await
    });
    Ok(Json(view.await?))
}
