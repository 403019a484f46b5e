//! `/v1/rules`: what is done by itself.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Query},
    extract::refused_body,
    to_its_end,
    view::{FreezeRequest, ReloadRequest, ReplayView, RulesView},
};
use crate::{controller::ReplayOrder, store::firings::Fired};

/// Query of the list of what rules wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FiringsQuery {
    /// At most so many, the newest first.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// Query of a thaw.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ThawQuery {
    /// Why, for the trail.
    #[serde(default)]
    reason: String,
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Query of a replay; its body is the file of rules.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayQuery {
    /// From when.
    from: Timestamp,
    /// Until when.
    to: Timestamp,
}

/// Rules, who is on probation, and what other rules can be tried on.
#[utoipa::path(get, path = "/v1/rules", tag = "rules", responses((status = OK, body = RulesView), ApiError))]
pub(super) async fn list(State(controller): Shared) -> Result<Json<RulesView>, ApiError> {
    Ok(Json(controller.rules().await?))
}

/// What rules did, would have done, or were kept from doing.
#[utoipa::path(
    get, path = "/v1/rules/firings", tag = "rules", params(FiringsQuery),
    responses((status = OK, body = Vec<Fired>), ApiError)
)]
pub(super) async fn firings(
    State(controller): Shared,
    Query(query): Query<FiringsQuery>,
) -> Result<Json<Vec<Fired>>, ApiError> {
    if !(1..=LIMIT_MAX).contains(&query.limit) {
        let message = format!("limit {}: allowed are 1 to {LIMIT_MAX}", query.limit);
        return Err(ApiError::usage(message));
    }
    Ok(Json(controller.firings(query.limit).await?))
}

/// Reads the file of rules again, whole or not at all.
#[utoipa::path(
    post, path = "/v1/rules/reload", tag = "rules", request_body = ReloadRequest,
    responses((status = OK, body = RulesView), ApiError)
)]
pub(super) async fn reload(
    State(controller): Shared,
    Body(request): Body<ReloadRequest>,
) -> Result<Json<RulesView>, ApiError> {
    let view = to_its_end(async move { controller.reload_rules(&request.actor).await });
    Ok(Json(view.await?))
}

/// Lets rules do nothing until somebody says so.
#[utoipa::path(
    put, path = "/v1/rules/freeze", tag = "rules", request_body = FreezeRequest,
    responses((status = OK, body = RulesView), ApiError)
)]
pub(super) async fn freeze(
    State(controller): Shared,
    Body(request): Body<FreezeRequest>,
) -> Result<Json<RulesView>, ApiError> {
    let FreezeRequest { reason, actor } = request;
    let view = to_its_end(async move { controller.freeze_rules(&actor, &reason).await });
    Ok(Json(view.await?))
}

/// Lets rules act again.
#[utoipa::path(
    delete, path = "/v1/rules/freeze", tag = "rules", params(ThawQuery),
    responses((status = OK, body = RulesView), ApiError)
)]
pub(super) async fn thaw(
    State(controller): Shared,
    Query(query): Query<ThawQuery>,
) -> Result<Json<RulesView>, ApiError> {
    let ThawQuery { reason, actor } = query;
    let view = to_its_end(async move { controller.thaw_rules(&actor, &reason).await });
    Ok(Json(view.await?))
}

/// Who would have been flagged by other rules. Changes nothing; the `Content-Type` is not looked at.
#[utoipa::path(
    post, path = "/v1/rules/replay", tag = "rules", params(ReplayQuery),
    request_body(
        content = String, content_type = "text/plain",
        description = "The file of rules to try (TOML); at most 1 MiB of UTF-8"
    ),
    responses((status = OK, body = ReplayView), ApiError)
)]
pub(super) async fn replay(
    State(controller): Shared,
    Query(ReplayQuery { from, to }): Query<ReplayQuery>,
    file: Result<Bytes, BytesRejection>,
) -> Result<Json<ReplayView>, ApiError> {
    let file = file.map_err(refused_body)?;
    let rules = String::from_utf8(file.into());
    let rules = rules.map_err(|error| ApiError::usage(format!("the file of rules: {error}")))?;
    Ok(Json(
        controller.replay(ReplayOrder { rules, from, to }).await?,
    ))
}

const fn default_limit() -> u32 {
    50
}

const LIMIT_MAX: u32 = 10_000;
/// A hundred rules with their comments.
pub(super) const FILE_OCTETS: usize = 1024 * 1024;
