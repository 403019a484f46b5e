//! `/v1/ranges`: whole prefixes, and `/v1/ranges/gaps`: announced ones without a policy.

use axum::{Json, extract::State};

use super::{
    Shared,
    error::{ApiError, Body},
    view::{FlagView, GapView, GapsRequest},
};

/// Active flags of whole prefixes: IPv4 wider than one address, IPv6 wider than a /64. The most specific flag wins.
#[utoipa::path(
    get, path = "/v1/ranges", tag = "flags",
    responses((status = OK, body = Vec<FlagView>), ApiError)
)]
pub(super) async fn ranges(State(controller): Shared) -> Json<Vec<FlagView>> {
    Json(controller.ranges().await)
}

/// Which of these prefixes are not, or not wholly, under a flag.
#[utoipa::path(
    post, path = "/v1/ranges/gaps", tag = "flags", request_body = GapsRequest,
    responses((status = OK, body = Vec<GapView>), ApiError)
)]
pub(super) async fn gaps(
    State(controller): Shared,
    Body(GapsRequest { announced }): Body<GapsRequest>,
) -> Result<Json<Vec<GapView>>, ApiError> {
    if announced.len() > ANNOUNCED_MAX {
        let message = format!(
            "announced: {} prefixes; at most {ANNOUNCED_MAX} at once",
            announced.len()
        );
        return Err(ApiError::usage(message));
    }
    let odd = announced
        .iter()
        .find(|prefix| prefix.ip() != prefix.network());
    if let Some(odd) = odd {
        let message = format!(
            "announced: {odd} has host bits; the prefix is {}/{}",
            odd.network(),
            odd.prefix()
        );
        return Err(ApiError::usage(message));
    }
    Ok(Json(controller.gaps(&announced).await))
}

/// More than anybody announces.
const ANNOUNCED_MAX: usize = 20_000;
/// That many prefixes of IPv6 in JSON.
pub(super) const BODY_OCTETS: usize = 1024 * 1024;
