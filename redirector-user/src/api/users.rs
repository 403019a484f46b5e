//! `/v1/users`: who may submit.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{UserToldView, UserView},
};
use crate::policy::user::{UserChange, UserRequest};

/// Query of a removal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveQuery {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    actor: String,
}

pub(super) async fn list(State(controller): Shared) -> Json<Vec<UserView>> {
    Json(controller.list_users().await)
}

pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<UserRequest>,
) -> Result<(StatusCode, Json<UserToldView>), ApiError> {
    let told = to_its_end(async move { controller.add_user(&request).await }).await?;
    Ok((StatusCode::CREATED, Json(told)))
}

pub(super) async fn change(
    State(controller): Shared,
    Path(name): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<Json<UserToldView>, ApiError> {
    let told = to_its_end(async move { controller.change_user(&name, &change).await });
    Ok(Json(told.await?))
}

pub(super) async fn remove(
    State(controller): Shared,
    Path(name): Path<String>,
    Query(RemoveQuery { reason, actor }): Query<RemoveQuery>,
) -> Result<Json<UserToldView>, ApiError> {
    let told = to_its_end(async move { controller.remove_user(&name, &actor, &reason).await });
    Ok(Json(told.await?))
}
