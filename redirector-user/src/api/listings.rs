//! `/v1/listings`: which of customers' addresses lists in the DNS name.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    moment, to_its_end,
    view::{ListedRequest, ListedView, ListingView, ListsView},
};
use crate::{
    controller::Problem,
    policy::dial::read_target,
    store::listings::{ListingId, Which},
};

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListingsQuery {
    /// Only of this address, or of addresses in this prefix.
    prefix: Option<String>,
    /// Only on this list.
    zone: Option<String>,
    /// Only open ones.
    #[serde(default)]
    open: bool,
    /// Only those that were open at this time, or so long ago, as `7d`, or later.
    since: Option<String>,
    /// At most so many, the newest first.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// Listings that a second look has confirmed, the newest first, with what was sent from there until then.
#[utoipa::path(
    get, path = "/v1/listings", tag = "listings", params(ListingsQuery),
    responses((status = OK, body = Vec<ListingView>), ApiError)
)]
pub(super) async fn list(
    State(controller): Shared,
    Query(query): Query<ListingsQuery>,
) -> Result<Json<Vec<ListingView>>, ApiError> {
    let prefix = query.prefix.as_deref();
    let prefix = prefix.map(|text| read_target(text, true)).transpose();
    let since = query.since.as_deref();
    let since = since.map(|text| moment::read("since", text)).transpose()?;
    let which = Which {
        prefix: prefix.map_err(Problem::from)?,
        zone: query.zone.map(|zone| zone.to_ascii_lowercase()),
        open: query.open,
        since,
        limit: query.limit.min(LIMIT_MAX),
    };
    Ok(Json(controller.list_listings(&which).await?))
}

/// One listing.
#[utoipa::path(
    get, path = "/v1/listings/{id}", tag = "listings",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = OK, body = ListingView), ApiError)
)]
pub(super) async fn show(
    State(controller): Shared,
    Path(id): Path<u64>,
) -> Result<Json<ListingView>, ApiError> {
    Ok(Json(controller.show_listing(ListingId(id)).await?))
}

/// How the lists are that are asked, and how far the rounds over all IPv4 addresses.
#[utoipa::path(
    get, path = "/v1/listings/zones", tag = "listings",
    responses((status = OK, body = ListsView), ApiError)
)]
pub(super) async fn zones(State(controller): Shared) -> Json<ListsView> {
    Json(controller.lists())
}

/// Asks every list about an address or a small prefix now. What is heard counts as a look: a second one opens or closes.
#[utoipa::path(
    post, path = "/v1/listings/check", tag = "listings", request_body = ListedRequest,
    responses((status = OK, body = Vec<ListedView>), ApiError)
)]
pub(super) async fn check(
    State(controller): Shared,
    Body(request): Body<ListedRequest>,
) -> Result<Json<Vec<ListedView>>, ApiError> {
    let asked = to_its_end(async move { controller.check_listings(&request.target).await });
    Ok(Json(asked.await?))
}

const fn default_limit() -> u32 {
    1000
}

const LIMIT_MAX: u32 = 100_000;
