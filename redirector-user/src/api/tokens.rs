//! `/v1/tokens`: who may ask over TCP.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{TokenToldView, TokenView},
};
use crate::policy::token::TokenRequest;

/// Query of a removal.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveQuery {
    /// Why, for the trail.
    #[serde(default)]
    reason: String,
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Tokens of the API, and when each was last of use.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = OK, body = Vec<TokenView>), ApiError))]
pub(super) async fn list(State(controller): Shared) -> Json<Vec<TokenView>> {
    Json(controller.list_tokens())
}

/// Makes a token. Its secret is told this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", request_body = TokenRequest,
    responses((status = CREATED, body = TokenToldView), ApiError)
)]
pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<TokenRequest>,
) -> Result<(StatusCode, Json<TokenToldView>), ApiError> {
    let told = to_its_end(async move { controller.add_token(&request).await }).await?;
    Ok((StatusCode::CREATED, Json(told)))
}

/// Removes a token; whoever asks with it from now on is refused.
#[utoipa::path(
    delete, path = "/v1/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "Its name"), RemoveQuery),
    responses((status = OK, body = TokenView), ApiError)
)]
pub(super) async fn remove(
    State(controller): Shared,
    Path(name): Path<String>,
    Query(RemoveQuery { reason, actor }): Query<RemoveQuery>,
) -> Result<Json<TokenView>, ApiError> {
    let removed = to_its_end(async move { controller.remove_token(&name, &actor, &reason).await });
    Ok(Json(removed.await?))
}
