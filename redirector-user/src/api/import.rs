//! `/v1/flags/import`: a file of flags, and how far it is.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Query},
    extract::refused_body,
    to_its_end,
    view::{ImportProgress, ImportView},
};
use crate::controller::Importing;

/// Query of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    /// Only judge.
    #[serde(default)]
    dry_run: bool,
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
    /// Write to none of the customers about it, whatever the column `notify` says.
    #[serde(default)]
    quiet: bool,
}

/// Takes a file of flags, whole or not at all. Its `Content-Type` is not looked at.
#[utoipa::path(
    post, path = "/v1/flags/import", tag = "flags", params(ImportQuery),
    request_body(
        content = String, content_type = "text/csv",
        description = "As `outgate flag import --help` describes it; at most 256 MiB of UTF-8"
    ),
    responses(
        (status = OK, body = ImportView, description = "Only judged"),
        (status = CREATED, body = ImportView, description = "All of it is in force"),
        (status = ACCEPTED, body = ImportView, description = "Some of it waits for a relay"),
        ApiError
    )
)]
pub(super) async fn import(
    State(controller): Shared,
    Query(query): Query<ImportQuery>,
    file: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<ImportView>), ApiError> {
    let file = file.map_err(refused_body)?;
    let ImportQuery {
        dry_run,
        actor,
        quiet,
    } = query;
    let how = Importing { dry_run, quiet };
    let view = to_its_end(async move { controller.import_flags(file, actor, how).await }).await?;
    let status = match (dry_run, view.pending) {
        (true, _) => StatusCode::OK,
        (false, 0) => StatusCode::CREATED,
        (false, _) => StatusCode::ACCEPTED,
    };
    Ok((status, Json(view)))
}

/// How far a running import is; `null` while there is none.
#[utoipa::path(
    get, path = "/v1/flags/import", tag = "flags",
    responses((status = OK, body = Option<ImportProgress>), ApiError)
)]
pub(super) async fn progress(State(controller): Shared) -> Json<Option<ImportProgress>> {
    Json(controller.import_progress())
}

/// A million lines with long reasons.
pub(super) const FILE_OCTETS: usize = 256 * 1024 * 1024;
