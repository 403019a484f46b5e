//! `/v1/flags/import`: a file of flags, and how far it is.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
};
use serde::Deserialize;

use super::{
    Shared,
    error::{ApiError, Query},
    to_its_end,
    view::{ImportProgress, ImportView},
};

/// Query of an import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    /// Only judge.
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    actor: String,
}

/// `201` once all of it is in force, `202` if some of it waits for a relay, `200` if it was only judged.
pub(super) async fn import(
    State(controller): Shared,
    Query(query): Query<ImportQuery>,
    file: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<ImportView>), ApiError> {
    let file = file.map_err(|rejection| ApiError::usage(rejection.body_text()))?;
    let ImportQuery { dry_run, actor } = query;
    let view =
        to_its_end(async move { controller.import_flags(file, actor, dry_run).await }).await?;
    let status = match (dry_run, view.pending) {
        (true, _) => StatusCode::OK,
        (false, 0) => StatusCode::CREATED,
        (false, _) => StatusCode::ACCEPTED,
    };
    Ok((status, Json(view)))
}

/// `null` while there is none.
pub(super) async fn progress(State(controller): Shared) -> Json<Option<ImportProgress>> {
    Json(controller.import_progress())
}

/// A million lines with long reasons.
pub(super) const FILE_OCTETS: usize = 256 * 1024 * 1024;
