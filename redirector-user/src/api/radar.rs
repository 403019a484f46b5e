//! `/v1/radar`: who sends how.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use jiff::SignedDuration;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Path, Query},
};
use crate::{
    controller::Controller,
    radar::view::{RadarView, SourceView},
};

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RadarQuery {
    /// Sources at most, the highest scores first.
    limit: Option<usize>,
    /// How far to look back, as `10m`.
    window: Option<String>,
}

/// Query of one source.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceQuery {
    /// How far to look back, as `10m`.
    window: Option<String>,
}

/// Who sends how, the most suspicious first.
#[utoipa::path(
    get, path = "/v1/radar", tag = "radar", params(RadarQuery),
    responses((status = OK, body = RadarView), ApiError)
)]
pub(super) async fn list(
    State(controller): Shared,
    Query(RadarQuery { limit, window }): Query<RadarQuery>,
) -> Result<Json<RadarView>, ApiError> {
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let message = format!("limit {limit}: out of range; allowed are 1 to {LIMIT_MAX}");
        return Err(ApiError::usage(message));
    }
    let last = look_back(window.as_deref())?;
    let exemptions = controller.standing_exemptions().await;
    let view = off_the_runtime(&controller, move |controller| {
        controller.radar(last, limit, &exemptions)
    });
    Ok(Json(view.await?))
}

/// How one source sends, window by window.
#[utoipa::path(
    get, path = "/v1/radar/{source}", tag = "radar",
    params(("source" = String, Path, description = "An address", example = "192.0.2.10"), SourceQuery),
    responses((status = OK, body = SourceView), ApiError)
)]
pub(super) async fn source(
    State(controller): Shared,
    Path(address): Path<IpAddr>,
    Query(SourceQuery { window }): Query<SourceQuery>,
) -> Result<Json<SourceView>, ApiError> {
    let last = look_back(window.as_deref())?;
    let exemptions = controller.standing_exemptions().await;
    let view = off_the_runtime(&controller, move |controller| {
        controller.radar_source(address, last, &exemptions)
    });
    Ok(Json(view.await??))
}

/// Adding up two hours of a large network takes a while, and must hold up no other request.
async fn off_the_runtime<T: Send + 'static>(
    controller: &Arc<Controller>,
    work: impl FnOnce(&Controller) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let controller = Arc::clone(controller);
    let outcome = tokio::task::spawn_blocking(move || work(&controller)).await;
    outcome.map_err(|error| {
        tracing::error!(%error, "a look at the radar panicked");
        ApiError::internal("the look at the radar failed inside outgated; its log says more")
    })
}

fn look_back(window: Option<&str>) -> Result<Duration, ApiError> {
    let text = window.unwrap_or(WINDOW);
    let read = text.parse::<SignedDuration>().ok();
    let read = read.and_then(|signed| Duration::try_from(signed).ok());
    read.filter(|window| (SHORTEST..=LONGEST).contains(window))
        .ok_or_else(|| {
            ApiError::usage(format!(
                "window {text:?}: not a time to look back; allowed are 1s to 2h, as \"10m\""
            ))
        })
}

/// When nothing else is asked.
const WINDOW: &str = "10m";
const SHORTEST: Duration = Duration::from_secs(1);
/// As long as windows of the default length are kept.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 100_000;
