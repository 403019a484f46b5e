//! `/v1/precheck`: whether a customer may be let out, and letting it out.

use axum::{Json, extract::State};

use super::{
    Shared,
    error::{ApiError, Body},
    to_its_end,
    view::PrecheckView,
};
use crate::precheck::PrecheckRequest;

/// Looks at a customer that asks for port 25: names, SPF, DKIM, DMARC, open relay, lists. With `approve` it is let out within
/// a limit if nothing failed and everything could be told; `refused` says that it was not. Takes up to a minute.
#[utoipa::path(
    post, path = "/v1/precheck", tag = "flags", request_body = PrecheckRequest,
    responses((status = OK, body = PrecheckView), ApiError)
)]
pub(super) async fn precheck(
    State(controller): Shared,
    Body(request): Body<PrecheckRequest>,
) -> Result<Json<PrecheckView>, ApiError> {
    let looked = to_its_end(async move { controller.precheck(&request).await });
    Ok(Json(looked.await?))
}
