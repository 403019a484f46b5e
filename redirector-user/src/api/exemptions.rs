//! `/v1/exemptions`: customers that are not flagged for a while.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{DecisionRequest, ExemptionView},
};
use crate::policy::{
    dial,
    exemption::{ExemptionId, ExemptionRequest},
};

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Ended ones too.
    #[serde(default)]
    all: bool,
    /// Only those that stand for this address or prefix, the most specific first.
    target: Option<String>,
    /// `target` means itself, also as an IPv6 address.
    #[serde(default)]
    exact: bool,
    /// Without `target`: at most so many, the newest first.
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

/// Exemptions, the newest first, or those over an address or prefix.
#[utoipa::path(
    get, path = "/v1/exemptions", tag = "exemptions", params(ListQuery),
    responses((status = OK, body = Vec<ExemptionView>), ApiError)
)]
pub(super) async fn list(
    State(controller): Shared,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<ExemptionView>>, ApiError> {
    let Some(target) = query.target else {
        let all = controller.list_exemptions(query.all, query.limit).await?;
        return Ok(Json(all));
    };
    let target = dial::read_target(&target, query.exact)
        .map_err(|refusal| ApiError::usage(refusal.to_string()))?;
    Ok(Json(controller.exemptions_over(target).await))
}

/// As many as a person looks through.
const fn default_limit() -> u32 {
    1000
}

/// Asks that a customer is not flagged for a while. It protects nobody until a second person has approved it.
#[utoipa::path(
    post, path = "/v1/exemptions", tag = "exemptions", request_body = ExemptionRequest,
    responses((status = CREATED, body = ExemptionView), ApiError)
)]
pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<ExemptionRequest>,
) -> Result<(StatusCode, Json<ExemptionView>), ApiError> {
    let view = to_its_end(async move { controller.add_exemption(&request).await }).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// One exemption with its history.
#[utoipa::path(
    get, path = "/v1/exemptions/{id}", tag = "exemptions",
    params(("id" = ExemptionId, Path, description = "Number of the exemption")),
    responses((status = OK, body = ExemptionView), ApiError)
)]
pub(super) async fn show(
    State(controller): Shared,
    Path(id): Path<ExemptionId>,
) -> Result<Json<ExemptionView>, ApiError> {
    Ok(Json(controller.show_exemption(id).await?))
}

/// Lets an exemption protect, as somebody else has asked for.
#[utoipa::path(
    post, path = "/v1/exemptions/{id}/approve", tag = "exemptions",
    params(("id" = ExemptionId, Path, description = "Number of the exemption")), request_body = DecisionRequest,
    responses((status = OK, body = ExemptionView), ApiError)
)]
pub(super) async fn approve(
    State(controller): Shared,
    Path(id): Path<ExemptionId>,
    Body(request): Body<DecisionRequest>,
) -> Result<Json<ExemptionView>, ApiError> {
    let view = to_its_end(async move { controller.approve_exemption(id, &request).await });
    Ok(Json(view.await?))
}

/// Ends an exemption.
#[utoipa::path(
    delete, path = "/v1/exemptions/{id}", tag = "exemptions",
    params(("id" = ExemptionId, Path, description = "Number of the exemption"), LiftQuery),
    responses((status = OK, body = ExemptionView), ApiError)
)]
pub(super) async fn lift(
    State(controller): Shared,
    Path(id): Path<ExemptionId>,
    Query(LiftQuery { reason, actor }): Query<LiftQuery>,
) -> Result<Json<ExemptionView>, ApiError> {
    let view = to_its_end(async move { controller.lift_exemption(id, &actor, &reason).await });
    Ok(Json(view.await?))
}
