//! Files: of flags, of assignments, of policy; and how far one is.

use std::sync::Arc;

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
use crate::controller::{About, Controller, ImportHow};

/// Query of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    /// Only judge.
    #[serde(default)]
    dry_run: bool,
    /// Only judge, and say what differs.
    #[serde(default)]
    diff: bool,
    /// Label of what the file brings; it touches only what came under the same one.
    origin: Option<String>,
    /// What the origin brought before, and the file does not have any more, ends.
    #[serde(default)]
    prune: bool,
    /// What another origin holds otherwise is taken over, instead of left alone.
    #[serde(default)]
    take_over: bool,
    /// Why the file may change more than `[guards]` allows.
    override_guard: Option<String>,
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
        description = "CSV, or a JSON array of objects with the same names, as `outgate flag import --help` describes \
                       them; at most 256 MiB of UTF-8"
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
) -> Answer {
    take(controller, About::Flags, query, file).await
}

/// Takes a file of assignments, whole or not at all. Its `Content-Type` is not looked at.
#[utoipa::path(
    post, path = "/v1/assignments/import", operation_id = "import", tag = "assignments", params(ImportQuery),
    request_body(
        content = String, content_type = "text/csv",
        description = "CSV, a JSON array, or what NetBox exports, as `outgate assign import --help` describes them; at \
                       most 256 MiB of UTF-8"
    ),
    responses(
        (status = OK, body = ImportView, description = "Only judged"),
        (status = CREATED, body = ImportView, description = "All of it is in force"),
        (status = ACCEPTED, body = ImportView, description = "Some of it waits for a relay"),
        ApiError
    )
)]
pub(super) async fn import_assignments(
    State(controller): Shared,
    Query(query): Query<ImportQuery>,
    file: Result<Bytes, BytesRejection>,
) -> Answer {
    take(controller, About::Assignments, query, file).await
}

/// Makes what stands under a file's origin what the file says: customers, assignments and flags, whole or not at all.
#[utoipa::path(
    post, path = "/v1/apply", tag = "policy", params(ImportQuery),
    request_body(
        content = String, content_type = "text/plain",
        description = "TOML, as `outgate apply --help` describes it; at most 16 MiB of UTF-8"
    ),
    responses(
        (status = OK, body = ImportView, description = "Only judged"),
        (status = CREATED, body = ImportView, description = "All of it is in force"),
        (status = ACCEPTED, body = ImportView, description = "Some of it waits for a relay"),
        ApiError
    )
)]
pub(super) async fn apply(
    State(controller): Shared,
    Query(query): Query<ImportQuery>,
    file: Result<Bytes, BytesRejection>,
) -> Answer {
    if query.origin.is_some() {
        let message = "origin: the file names its own, as `origin = \"...\"`; leave it out here";
        return Err(ApiError::usage(message));
    }
    let query = ImportQuery {
        prune: true,
        ..query
    };
    take(controller, About::Policy, query, file).await
}

type Answer = Result<(StatusCode, Json<ImportView>), ApiError>;

async fn take(
    controller: Arc<Controller>,
    about: About,
    query: ImportQuery,
    file: Result<Bytes, BytesRejection>,
) -> Answer {
    let file = file.map_err(refused_body)?;
    let ImportQuery {
        dry_run,
        diff,
        origin,
        prune,
        take_over,
        override_guard,
        actor,
        quiet,
    } = query;
    let how = ImportHow {
        actor,
        dry_run,
        diff,
        origin,
        prune,
        take_over,
        override_guard,
        quiet,
    };
    let view = to_its_end(async move { controller.import(about, file, how).await }).await?;
    let status = match (view.dry_run, view.pending) {
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
/// Ten thousand customers with all that is theirs.
pub(super) const POLICY_OCTETS: usize = 16 * 1024 * 1024;
