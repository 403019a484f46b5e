//! `/v1/webhooks`: who is told events.

use axum::{Json, extract::State};

use super::{
    Shared,
    error::{ApiError, Body, Path},
    to_its_end,
    view::{WebhookAnswerView, WebhookRetryRequest, WebhookView},
};

/// Webhooks, and how far each has been told.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", responses((status = OK, body = Vec<WebhookView>), ApiError))]
pub(super) async fn list(State(controller): Shared) -> Json<Vec<WebhookView>> {
    Json(controller.list_webhooks())
}

/// Sends a signed `ping` to a webhook, which is no event, and tells what it said.
#[utoipa::path(
    post, path = "/v1/webhooks/{name}/test", tag = "webhooks",
    params(("name" = String, Path, description = "Its name", example = "billing")),
    responses((status = OK, body = WebhookAnswerView), ApiError)
)]
pub(super) async fn test(
    State(controller): Shared,
    Path(name): Path<String>,
) -> Result<Json<WebhookAnswerView>, ApiError> {
    Ok(Json(controller.test_webhook(&name).await?))
}

/// Has a webhook asked now instead of later, even one that has said that it is gone.
#[utoipa::path(
    post, path = "/v1/webhooks/{name}/retry", tag = "webhooks",
    params(("name" = String, Path, description = "Its name", example = "billing")), request_body = WebhookRetryRequest,
    responses((status = OK, body = WebhookView), ApiError)
)]
pub(super) async fn retry(
    State(controller): Shared,
    Path(name): Path<String>,
    Body(WebhookRetryRequest { reason, actor }): Body<WebhookRetryRequest>,
) -> Result<Json<WebhookView>, ApiError> {
    let retried = to_its_end(async move { controller.retry_webhook(&name, &actor, &reason).await });
    Ok(Json(retried.await?))
}
