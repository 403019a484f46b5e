//! `/v1/capture`: frames that the program takes, as they come.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body as Stream, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use redirector_common::abi::capture::CAPTURE_OCTETS;
use tokio::sync::mpsc::Receiver;

use super::{
    Shared,
    error::{ApiError, Body},
    view::{CaptureLine, CaptureRequest},
};
use crate::controller::CaptureOrder;

/// Frames that the program takes, as they come. One capture at a time.
#[utoipa::path(
    post, path = "/v1/capture", tag = "status", request_body = CaptureRequest,
    responses(
        (
            status = OK, body = CaptureLine, content_type = "application/x-ndjson",
            description = "A line for each frame as it comes, until the capture ends or the connection is closed"
        ),
        ApiError
    )
)]
pub(super) async fn begin(
    State(controller): Shared,
    Body(request): Body<CaptureRequest>,
) -> Result<Response, ApiError> {
    let CaptureRequest {
        source,
        octets,
        count,
        seconds,
        actor,
    } = request;
    if octets.is_some_and(|octets| !(1..=CAPTURE_OCTETS).contains(&octets)) {
        let message = format!("octets: out of range; allowed are 1 to {CAPTURE_OCTETS}");
        return Err(ApiError::usage(message));
    }
    let lines = controller
        .capture(CaptureOrder {
            source,
            octets,
            count,
            lasts: seconds.map(Duration::from_secs),
            actor,
        })
        .await?;
    let lines = stream::unfold(lines, next);
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Stream::from_stream(lines)).into_response())
}

/// One line with its end. A line that cannot be written down is a bug, and ends the capture.
async fn next(
    mut lines: Receiver<CaptureLine>,
) -> Option<(Result<Bytes, Infallible>, Receiver<CaptureLine>)> {
    let line = lines.recv().await?;
    let mut octets = serde_json::to_vec(&line).ok()?;
    octets.push(b'\n');
    Some((Ok(octets.into()), lines))
}
