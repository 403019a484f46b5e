//! `/v1/audit`: what stands in the trail, whether it holds, and all of it for somewhere else.

use std::convert::Infallible;

use axum::{
    Json,
    body::{Body as Stream, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::mpsc::Receiver;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Query},
    moment,
    view::{AuditExportRequest, AuditView},
};
use crate::store::audit::{Line, Proof, Wanted};

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Only about this, as `flag:12`, `relay:relay-1` or `token:billing`.
    subject: Option<String>,
    /// Only what this actor did.
    actor: Option<String>,
    /// Only of this kind, as `flag added` or `flag_added`.
    kind: Option<String>,
    /// Not older than this time, or than so long ago, as `2h`.
    since: Option<String>,
    /// The newest ones, at most so many.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// Query of the proof.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofQuery {
    /// Heads that were kept elsewhere, with commas between them: each must still be in its chain.
    #[serde(default)]
    head: String,
}

/// What was done, by whom, oldest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = OK, body = Vec<AuditView>), ApiError)
)]
pub(super) async fn list(
    State(controller): Shared,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Vec<AuditView>>, ApiError> {
    if !(1..=LIMIT_MAX).contains(&query.limit) {
        let message = format!(
            "limit {}: out of range; allowed are 1 to {LIMIT_MAX}",
            query.limit
        );
        return Err(ApiError::usage(message));
    }
    let wanted = Wanted {
        subject: query.subject,
        actor: query.actor,
        kind: query.kind.map(|kind| kind.replace('_', " ")),
        since: query
            .since
            .as_deref()
            .map(|text| moment::read("since", text))
            .transpose()?,
        limit: query.limit,
    };
    let rows = controller.trail(&wanted).await?;
    Ok(Json(rows.into_iter().map(AuditView::from).collect()))
}

/// Walks the chains of all writers: names the first row of each that was changed, moved or follows on a missing one.
#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit", params(ProofQuery),
    responses((status = OK, body = Proof), ApiError)
)]
pub(super) async fn verify(
    State(controller): Shared,
    Query(query): Query<ProofQuery>,
) -> Result<Json<Proof>, ApiError> {
    let heads = query.head.split(',').filter(|head| !head.trim().is_empty());
    let heads = heads.map(|head| {
        head.parse()
            .unwrap_or_else(|never: Infallible| match never {})
    });
    Ok(Json(controller.prove_trail(heads.collect()).await?))
}

/// The trail, or what is not older than a time, with all that its hashes cover. Who takes it away stands in it.
#[utoipa::path(
    post, path = "/v1/audit/export", tag = "audit", request_body = AuditExportRequest,
    responses(
        (
            status = OK, body = Line, content_type = "application/x-ndjson",
            description = "A line that says what it is, one for each row, and one that says how many there were"
        ),
        ApiError
    )
)]
pub(super) async fn export(
    State(controller): Shared,
    Body(request): Body<AuditExportRequest>,
) -> Result<Response, ApiError> {
    let from = request
        .since
        .as_deref()
        .map(|text| moment::read("since", text))
        .transpose()?;
    let lines = controller.export_trail(from, &request.actor).await?;
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Stream::from_stream(stream::unfold(lines, next))).into_response())
}

/// One line with its end. A line that cannot be written down is a bug, and ends the export before its last one.
async fn next(mut lines: Receiver<Line>) -> Option<(Result<Bytes, Infallible>, Receiver<Line>)> {
    let line = lines.recv().await?;
    let mut octets = serde_json::to_vec(&line).ok()?;
    octets.push(b'\n');
    Some((Ok(octets.into()), lines))
}

const fn default_limit() -> u32 {
    100
}

const LIMIT_MAX: u32 = 10_000;
