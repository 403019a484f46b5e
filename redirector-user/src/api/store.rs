//! `/v1/store`: copies of the store, and whether it is sound.

use std::path::PathBuf;

use axum::{Json, extract::State, http::StatusCode};

use super::{
    Shared,
    error::{ApiError, Body},
    to_its_end,
    view::{BackupRequest, BackupView},
};
use crate::store::life::Checked;

/// Makes a copy of the store on the controller's host: one state of it, checked after it was written. Changes go on meanwhile.
#[utoipa::path(
    post, path = "/v1/store/backup", tag = "store", request_body = BackupRequest,
    responses((status = CREATED, body = BackupView), ApiError)
)]
pub(super) async fn back_up(
    State(controller): Shared,
    Body(request): Body<BackupRequest>,
) -> Result<(StatusCode, Json<BackupView>), ApiError> {
    let made = to_its_end(async move {
        let file = request.file.map(PathBuf::from);
        controller.back_up(file.as_deref(), &request.actor).await
    });
    Ok((StatusCode::CREATED, Json(made.await?.into())))
}

/// Looks at every page, index and reference of the store, and proves its trail. It reads all of it.
#[utoipa::path(
    get, path = "/v1/store/check", tag = "store",
    responses((status = OK, body = Checked), ApiError)
)]
pub(super) async fn check(State(controller): Shared) -> Result<Json<Checked>, ApiError> {
    Ok(Json(controller.check_store().await?))
}
