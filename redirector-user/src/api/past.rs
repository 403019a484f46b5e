//! What was in force once: `/v1/why/then`.
//!
//! The kernel remembers nothing, so nothing is judged here: it is told what the store of record knows of that moment.

use std::net::IpAddr;

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Query},
    moment,
    view::{FlagView, ThenView},
};

/// Query of a moment.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ThenQuery {
    /// Who.
    #[param(value_type = String, example = "192.0.2.10")]
    source: IpAddr,
    /// When: a time, or how long ago, as `2h`.
    at: String,
}

/// Which flags were in force over a source at a moment.
#[utoipa::path(
    get, path = "/v1/why/then", tag = "status", params(ThenQuery),
    responses((status = OK, body = ThenView), ApiError)
)]
pub(super) async fn then(
    State(controller): Shared,
    Query(ThenQuery { source, at }): Query<ThenQuery>,
) -> Result<Json<ThenView>, ApiError> {
    let at = moment::read("at", &at)?;
    if at > Timestamp::now() {
        return Err(ApiError::usage(format!(
            "at {at}: has not come yet; without `at`, `why` says what would happen now"
        )));
    }
    let assignment = controller.assigned_at(source, at).await?;
    let mut in_force = controller.in_force_at(source, at).await?.into_iter();
    let flag = in_force.next();
    let behind: Vec<FlagView> = in_force.collect();
    let explanation = explain(source, at, flag.as_ref(), behind.len());
    Ok(Json(ThenView {
        source,
        at,
        assignment,
        flag,
        behind,
        explanation,
    }))
}

/// One sentence for people.
fn explain(source: IpAddr, at: Timestamp, flag: Option<&FlagView>, behind: usize) -> String {
    let Some(flag) = flag else {
        return format!("no flag was in force over {source} at {at}: its mail went its own way");
    };
    let ended = match (flag.ended_at, &flag.ended_by, &flag.ended_reason) {
        (Some(ended), Some(by), Some(reason)) => {
            format!("; it ended at {ended} by {by} (\"{reason}\")")
        }
        _ => String::from("; it is in force still"),
    };
    let behind = match behind {
        0 => String::new(),
        1 => String::from("; a wider flag stood behind it"),
        more => format!("; {more} wider flags stood behind it"),
    };
    format!(
        "new connections from {source} to port 25 met flag {} on {} at {at}: {}, because of \"{}\" (by {}){behind}{ended}",
        flag.id, flag.prefix, flag.action, flag.reason, flag.actor
    )
}
