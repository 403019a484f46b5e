//! `/v1/flags`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end, validators,
    view::{FlagSetView, FlagState, FlagView, SetOutcome},
};
use crate::{
    controller::{Controller, Done, Problem},
    policy::dial::{self, FlagId, FlagRequest},
};

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Ended ones too.
    #[serde(default)]
    all: bool,
    /// Only what concerns this address or prefix.
    target: Option<String>,
    /// Without `target`: only those after the flag of this number.
    #[serde(default)]
    after: u32,
    /// Without `target`: at most so many.
    #[serde(default = "default_limit")]
    limit: u32,
    /// `target` means itself, also as an IPv6 address.
    #[serde(default)]
    exact: bool,
    /// Without `target`: only active ones that end, or are to be looked at again, within this while, as `7d`; the first
    /// one first.
    due: Option<String>,
}

/// Query of a lift.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LiftQuery {
    /// Why, for the trail.
    #[serde(default)]
    reason: String,
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Flags by number, or all that concern an address or prefix.
#[utoipa::path(get, path = "/v1/flags", tag = "flags", params(ListQuery), responses((status = OK, body = Vec<FlagView>), ApiError))]
pub(super) async fn list(
    State(controller): Shared,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<FlagView>>, ApiError> {
    if let Some(within) = &query.due {
        if query.target.is_some() || query.all || query.after > 0 {
            let message = "due goes with limit alone: it lists active flags by when they are due";
            return Err(ApiError::usage(message));
        }
        return Ok(Json(controller.flags_due(within, query.limit).await?));
    }
    let target = query
        .target
        .map(|target| dial::read_target(&target, query.exact));
    let target = target
        .transpose()
        .map_err(|refusal| ApiError::usage(refusal.to_string()))?;
    Ok(Json(match target {
        None => {
            controller
                .list_flags(query.all, query.after, query.limit)
                .await?
        }
        Some(target) => controller.flags_over(target, query.all).await?,
    }))
}

/// A list that a person can look through; who wants more asks for what comes after its last.
const fn default_limit() -> u32 {
    1000
}

/// One flag with its history, and what relays saw of its customer.
#[utoipa::path(
    get, path = "/v1/flags/{id}", tag = "flags",
    params(("id" = FlagId, Path, description = "Number of the flag")),
    responses((status = OK, body = FlagView), ApiError)
)]
pub(super) async fn show(
    State(controller): Shared,
    Path(id): Path<FlagId>,
) -> Result<Response, ApiError> {
    let (tag, view) = looked_at(&controller, id).await?;
    Ok(([(header::ETAG, tag)], Json(view)).into_response())
}

/// A flag with its validator.
async fn looked_at(controller: &Controller, id: FlagId) -> Result<(String, FlagView), ApiError> {
    // Before the flag: if it changes in between, the validator is that of what nobody can have seen any more.
    let revision = controller.revision(id).await?;
    let mut view = controller.show_flag(id).await?;
    // Relays see only what is redirected.
    if view.pool.is_some() {
        view.seen = Some(controller.seen(view.prefix).await?.into());
    }
    let said = serde_json::to_vec(&view).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok((revision.tag(&validators::hash(&said)), view))
}

/// Sees to it that an address or prefix has this flag. The same once more changes nothing, and does not prolong it.
#[utoipa::path(
    put, path = "/v1/flags/{id}", tag = "flags",
    params(("id" = String, Path, description = "Address or prefix, with `/` as `%2F`", example = "192.0.2.64/28")),
    request_body = FlagRequest,
    responses(
        (status = OK, body = FlagSetView, description = "It was so already, or another flag was replaced"),
        (status = CREATED, body = FlagSetView, description = "In force"),
        (status = ACCEPTED, body = FlagSetView, description = "Stored, and waiting for a relay"),
        ApiError
    )
)]
pub(super) async fn set(
    State(controller): Shared,
    Path(target): Path<String>,
    headers: HeaderMap,
    Body(request): Body<FlagRequest>,
) -> Result<Response, ApiError> {
    let condition = validators::condition(&headers)?;
    let read = |text: &str| dial::read_target(text, request.exact).map_err(Problem::from);
    let (named, wanted) = (read(&target)?, read(&request.target)?);
    if named != wanted {
        let message = format!("target {wanted}: the path says {named}; both must be the same");
        return Err(ApiError::usage(message));
    }
    let changes = Arc::clone(&controller);
    let set = to_its_end(async move { changes.set_flag(&request, &condition).await }).await?;
    let (tag, flag) = looked_at(&controller, set.new.flag.id).await?;
    let (done, status) = match (set.done, flag.state) {
        (Done::Nothing, _) => (SetOutcome::Nothing, StatusCode::OK),
        (Done::Added, FlagState::Pending) => (SetOutcome::Added, StatusCode::ACCEPTED),
        (Done::Replaced, FlagState::Pending) => (SetOutcome::Replaced, StatusCode::ACCEPTED),
        (Done::Added, FlagState::Active | FlagState::Ended) => {
            (SetOutcome::Added, StatusCode::CREATED)
        }
        (Done::Replaced, FlagState::Active | FlagState::Ended) => {
            (SetOutcome::Replaced, StatusCode::OK)
        }
    };
    let flag = FlagView {
        awaiting: set.new.view.awaiting,
        ..flag
    };
    let view = FlagSetView { done, flag };
    Ok((status, [(header::ETAG, tag)], Json(view)).into_response())
}

/// Flags an address or prefix; a flag that it has already is replaced.
#[utoipa::path(
    post, path = "/v1/flags", tag = "flags", request_body = FlagRequest,
    responses(
        (status = CREATED, body = FlagView, description = "In force"),
        (status = ACCEPTED, body = FlagView, description = "Stored, and waiting for a relay"),
        ApiError
    )
)]
pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<FlagRequest>,
) -> Result<(StatusCode, Json<FlagView>), ApiError> {
    let added = to_its_end(async move { controller.add_flag(&request).await }).await?;
    let view = added.view;
    let status = match view.state {
        FlagState::Pending => StatusCode::ACCEPTED,
        FlagState::Active | FlagState::Ended => StatusCode::CREATED,
    };
    Ok((status, Json(view)))
}

/// Lifts a flag; its open connections keep their relay until they end.
#[utoipa::path(
    delete, path = "/v1/flags/{id}", tag = "flags",
    params(("id" = FlagId, Path, description = "Number of the flag"), LiftQuery),
    responses((status = OK, body = FlagView), ApiError)
)]
pub(super) async fn lift(
    State(controller): Shared,
    Path(id): Path<FlagId>,
    Query(query): Query<LiftQuery>,
    headers: HeaderMap,
) -> Result<Json<FlagView>, ApiError> {
    let condition = validators::condition(&headers)?;
    let lifted = to_its_end(async move {
        let LiftQuery { actor, reason } = query;
        controller.lift_flag(id, &actor, &reason, &condition).await
    });
    Ok(Json(lifted.await?.view))
}
