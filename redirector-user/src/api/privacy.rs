//! `/v1/privacy`: what is held about a customer, handed out and erased.

use axum::{Json, extract::State};

use super::{
    Shared,
    error::{ApiError, Body},
    to_its_end,
    view::{ErasedView, HeldView, PrivacyRequest},
};

/// All that is held about a customer. Who has seen it stands in the trail, as `viewed`.
#[utoipa::path(
    post, path = "/v1/privacy/export", tag = "privacy", request_body = PrivacyRequest,
    responses((status = OK, body = HeldView), ApiError)
)]
pub(super) async fn export(
    State(controller): Shared,
    Body(request): Body<PrivacyRequest>,
) -> Result<Json<HeldView>, ApiError> {
    let held = to_its_end(async move { controller.held_about(&request).await });
    Ok(Json(held.await?))
}

/// Erases what is held about a customer whose flags have all ended. The trail says who did it, when, why, and how much.
#[utoipa::path(
    post, path = "/v1/privacy/erase", tag = "privacy", request_body = PrivacyRequest,
    responses((status = OK, body = ErasedView), ApiError)
)]
pub(super) async fn erase(
    State(controller): Shared,
    Body(request): Body<PrivacyRequest>,
) -> Result<Json<ErasedView>, ApiError> {
    let erased = to_its_end(async move { controller.erase_customer(&request).await });
    Ok(Json(erased.await?))
}
