//! `/v1/notices`: what customers are told.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Query},
    view::{NoticePreview, NoticeView},
};

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticesQuery {
    /// At most so many.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// Query of a preview.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewQuery {
    /// Address or prefix; one IPv6 address stands for its /64.
    target: String,
    /// `flag`, `raise`, `ease` or `lift`.
    kind: String,
}

/// Notices to customers, the newest first: those that wait, and those that were sent or given up.
#[utoipa::path(
    get, path = "/v1/notices", tag = "notices", params(NoticesQuery),
    responses((status = OK, body = Vec<NoticeView>), ApiError)
)]
pub(super) async fn list(
    State(controller): Shared,
    Query(NoticesQuery { limit }): Query<NoticesQuery>,
) -> Result<Json<Vec<NoticeView>>, ApiError> {
    Ok(Json(controller.list_notices(limit.min(LIMIT_MAX)).await?))
}

/// What the customer of a prefix would be told. Nobody is.
#[utoipa::path(
    get, path = "/v1/notices/preview", tag = "notices", params(PreviewQuery),
    responses((status = OK, body = NoticePreview), ApiError)
)]
pub(super) async fn preview(
    State(controller): Shared,
    Query(PreviewQuery { target, kind }): Query<PreviewQuery>,
) -> Result<Json<NoticePreview>, ApiError> {
    Ok(Json(controller.preview_notice(&target, &kind).await?))
}

const fn default_limit() -> u32 {
    100
}

const LIMIT_MAX: u32 = 10_000;
