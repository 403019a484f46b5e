//! `/v1/events`, and the door by which relays tell theirs.
//!
//! The same path is a list, and, for who accepts `text/event-stream`, a stream of server-sent events (WHATWG HTML,
//! section 9.2) that goes on where `Last-Event-ID` says.

use std::convert::Infallible;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse as _, Response,
        sse::{self, Sse},
    },
};
use contract::event::{Batch, Taken};
use futures_util::stream;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::Deserialize;
use tokio::sync::mpsc::Receiver;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::EventView,
};
use crate::{
    controller::Problem,
    policy::dial::read_target,
    store::events::{Stored, Wanted},
};

/// Query of list and stream.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Those after this number; none = the newest, or, of a stream, those to come.
    after: Option<u64>,
    /// Of a list: at most so many.
    #[serde(default = "default_limit")]
    limit: u32,
    /// Only of this kind.
    kind: Option<String>,
    /// Only about this address or prefix, what is in it, and what it is in.
    customer: Option<String>,
    /// Not older than this time, or than so long ago, as `2h`.
    since: Option<String>,
}

/// What happened: relays' events and the controller's own, oldest first; or, as a stream, what happens.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(
        EventsQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "Of a stream: the last event that was seen before")
    ),
    responses(
        (
            status = OK, description = "A list; for who accepts `text/event-stream`, a stream of the same",
            content((Vec<EventView> = "application/json"), (String = "text/event-stream"))
        ),
        ApiError
    )
)]
pub(super) async fn list(
    State(controller): Shared,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiError> {
    let mut wanted = read(query)?;
    if !is_stream(&headers) {
        let events = controller.events(&wanted).await?;
        let events: Vec<_> = events.into_iter().map(EventView::from).collect();
        return Ok(Json(events).into_response());
    }
    wanted.after = last_event_id(&headers)?.or(wanted.after);
    wanted.limit = PAGE;
    let items = controller.follow(wanted)?;
    Ok(Sse::new(stream::unfold(items, next)).into_response())
}

/// Takes a relay's events; the answer says through which number they need not be sent again.
#[utoipa::path(
    post, path = "/v1/relays/{relay}/events", tag = "contract with relays",
    params(("relay" = String, Path, description = "Its name", example = "relay-1")), request_body = Batch,
    responses((status = OK, body = Taken), ApiError)
)]
pub(super) async fn take(
    State(controller): Shared,
    Path(relay): Path<String>,
    Body(batch): Body<Batch>,
) -> Result<Json<Taken>, ApiError> {
    let taken = to_its_end(async move { controller.take_events(&relay, batch).await }).await?;
    Ok(Json(taken))
}

fn read(query: EventsQuery) -> Result<Wanted, ApiError> {
    if !(1..=LIMIT_MAX).contains(&query.limit) {
        let message = format!(
            "limit {}: out of range; allowed are 1 to {LIMIT_MAX}",
            query.limit
        );
        return Err(ApiError::usage(message));
    }
    let customer = query.customer.as_deref();
    let customer = customer.map(|text| read_target(text, true)).transpose();
    Ok(Wanted {
        after: query.after,
        limit: query.limit,
        kind: query.kind,
        customer: customer.map_err(Problem::from)?,
        since: query.since.as_deref().map(since).transpose()?,
    })
}

/// A time, or how long ago it was.
pub(super) fn since(text: &str) -> Result<Timestamp, ApiError> {
    let ago = |text: &str| {
        let span: Span = text.parse().ok()?;
        let ago: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Timestamp::now().checked_sub(ago.abs()).ok()
    };
    let at = text.parse().ok().or_else(|| ago(text));
    at.ok_or_else(|| {
        ApiError::usage(format!(
            "since {text:?}: not a time, as 2026-03-01T12:00:00Z, nor how long ago it was, as 2h or 7d"
        ))
    })
}

fn is_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/event-stream"))
}

/// What a client sends that was cut off.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let number = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        ApiError::usage("Last-Event-ID: not a number of an event; leave it out to begin anew")
    })
}

/// One event of the stream; where nothing has happened, a comment.
async fn next(
    mut items: Receiver<Option<Stored>>,
) -> Option<(Result<sse::Event, Infallible>, Receiver<Option<Stored>>)> {
    let event = match items.recv().await? {
        Some(stored) => {
            let view = EventView::from(stored);
            let event = sse::Event::default().id(view.seq.to_string());
            event.event(&view.kind).json_data(&view).ok()?
        }
        None => sse::Event::default().comment("nothing new"),
    };
    Some((Ok(event), items))
}

const fn default_limit() -> u32 {
    100
}

const LIMIT_MAX: u32 = 10_000;
/// Events that are read at once for a stream.
const PAGE: u32 = 100;
