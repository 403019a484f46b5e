//! `/v1/flags`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{FlagState, FlagView},
};
use crate::policy::dial::{self, FlagId, FlagRequest};

/// Query of the list.
#[derive(Debug, Deserialize)]
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
}

/// Query of a lift.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiftQuery {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    actor: String,
}

pub(super) async fn list(
    State(controller): Shared,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<FlagView>>, ApiError> {
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

pub(super) async fn show(
    State(controller): Shared,
    Path(id): Path<FlagId>,
) -> Result<Json<FlagView>, ApiError> {
    let mut view = controller.show_flag(id).await?;
    // Relays see only what is redirected.
    if view.pool.is_some() {
        view.seen = Some(controller.seen(view.prefix).await?.into());
    }
    Ok(Json(view))
}

/// `201` once the flag is in force, `202` if it is stored and waits for a relay.
pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<FlagRequest>,
) -> Result<(StatusCode, Json<FlagView>), ApiError> {
    let view = to_its_end(async move {
        let new = controller.add_flag(&request).await?;
        let view = controller.show_flag(new.flag.id).await?;
        Ok(FlagView {
            awaiting: new.awaited,
            ..view
        })
    })
    .await?;
    let status = match view.state {
        FlagState::Pending => StatusCode::ACCEPTED,
        FlagState::Active | FlagState::Ended => StatusCode::CREATED,
    };
    Ok((status, Json(view)))
}

pub(super) async fn lift(
    State(controller): Shared,
    Path(id): Path<FlagId>,
    Query(query): Query<LiftQuery>,
) -> Result<Json<FlagView>, ApiError> {
    let view = to_its_end(async move {
        controller
            .lift_flag(id, &query.actor, &query.reason)
            .await?;
        controller.show_flag(id).await
    });
    Ok(Json(view.await?))
}
