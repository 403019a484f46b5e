//! `/v1/users`: who may submit.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{UserToldView, UserView},
};
use crate::policy::user::{UserChange, UserRequest};

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

/// Users of submission.
#[utoipa::path(get, path = "/v1/users", tag = "users", responses((status = OK, body = Vec<UserView>), ApiError))]
pub(super) async fn list(State(controller): Shared) -> Json<Vec<UserView>> {
    Json(controller.list_users().await)
}

/// Lets somebody submit. A password that was made is told this once.
#[utoipa::path(
    post, path = "/v1/users", tag = "users", request_body = UserRequest,
    responses((status = CREATED, body = UserToldView), ApiError)
)]
pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<UserRequest>,
) -> Result<(StatusCode, Json<UserToldView>), ApiError> {
    let told = to_its_end(async move { controller.add_user(&request).await }).await?;
    Ok((StatusCode::CREATED, Json(told)))
}

/// Changes what is named of a user.
#[utoipa::path(
    patch, path = "/v1/users/{name}", tag = "users",
    params(("name" = String, Path, description = "Its name")), request_body = UserChange,
    responses((status = OK, body = UserToldView), ApiError)
)]
pub(super) async fn change(
    State(controller): Shared,
    Path(name): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<Json<UserToldView>, ApiError> {
    let told = to_its_end(async move { controller.change_user(&name, &change).await });
    Ok(Json(told.await?))
}

/// Removes a user; the trail keeps that there was one.
#[utoipa::path(
    delete, path = "/v1/users/{name}", tag = "users",
    params(("name" = String, Path, description = "Its name"), RemoveQuery),
    responses((status = OK, body = UserToldView), ApiError)
)]
pub(super) async fn remove(
    State(controller): Shared,
    Path(name): Path<String>,
    Query(RemoveQuery { reason, actor }): Query<RemoveQuery>,
) -> Result<Json<UserToldView>, ApiError> {
    let told = to_its_end(async move { controller.remove_user(&name, &actor, &reason).await });
    Ok(Json(told.await?))
}
