//! The API: HTTP/1.1 with JSON over a Unix socket.
//!
//! Whoever may open the socket (mode 0660) may do everything: owner and group of the file are the access
//! control. Every answer is JSON, errors too; every wait has an end.
//!
//! # Diagnostics
//!
//! [`BindError`] at start. A request's problem becomes an [`view::ErrorBody`] with its status.

mod capture;
mod error;
mod events;
mod explain;
mod flags;
pub(crate) mod frames;
mod import;
mod radar;
mod relays;
mod rules;
pub mod socket;
mod status;
mod users;
pub mod view;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{delete, get, patch, post, put},
};
use contract::event::BATCH_OCTETS_MAX;
use tokio::time::timeout;

use self::error::ApiError;
pub use self::socket::BindError;
use crate::controller::{Controller, Problem};

/// Every route.
pub fn router(controller: Arc<Controller>) -> Router {
    Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/counters", get(status::counters))
        .route("/v1/why", get(status::why))
        .route(
            "/v1/why/frames",
            post(frames::judge).layer(DefaultBodyLimit::max(frames::BODY_OCTETS)),
        )
        .route(
            "/v1/interfaces",
            get(status::interfaces).post(status::attach),
        )
        .route("/v1/interfaces/{name}", delete(status::detach))
        .route("/v1/flags", get(flags::list).post(flags::add))
        .route("/v1/flags/{id}", get(flags::show).delete(flags::lift))
        .route("/v1/relays", get(relays::list))
        .route(
            "/v1/relays/{relay}/drain",
            put(relays::drain).delete(relays::resume),
        )
        .route("/v1/relays/{relay}/snapshot", get(relays::snapshot))
        .route("/v1/rules", get(rules::list))
        .route("/v1/rules/firings", get(rules::firings))
        .route("/v1/rules/reload", post(rules::reload))
        .route("/v1/rules/freeze", put(rules::freeze).delete(rules::thaw))
        .route(
            "/v1/relays/{relay}/events",
            post(events::take).layer(DefaultBodyLimit::max(BATCH_OCTETS_MAX)),
        )
        .route("/v1/events", get(events::list))
        .route("/v1/users", get(users::list).post(users::add))
        .route(
            "/v1/users/{name}",
            patch(users::change).delete(users::remove),
        )
        .route("/v1/capture", post(capture::begin))
        .route("/v1/radar", get(radar::list))
        .route("/v1/radar/{source}", get(radar::source))
        .fallback(async || ApiError::not_found("no such path; the API is described in the README"))
        .method_not_allowed_fallback(async || ApiError::usage("this path knows other methods only"))
        .layer(middleware::from_fn(bounded))
        .layer(DefaultBodyLimit::max(BODY_OCTETS))
        // A file takes as long as it takes; whoever hangs up does not stop it.
        .merge(
            Router::new()
                .route(
                    "/v1/flags/import",
                    get(import::progress).post(import::import),
                )
                .layer(DefaultBodyLimit::max(import::FILE_OCTETS)),
        )
        // So does a month of figures.
        .merge(
            Router::new()
                .route("/v1/rules/replay", post(rules::replay))
                .layer(DefaultBodyLimit::max(rules::FILE_OCTETS)),
        )
        .with_state(controller)
}

/// The controller, as handlers get it.
type Shared = State<Arc<Controller>>;

/// Runs a change to its end even if whoever asked hangs up half-way: the store and the kernel must never
/// know different halves of it.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::spawn(change).await {
        Ok(outcome) => outcome.map_err(ApiError::from),
        Err(error) => {
            tracing::error!(%error, "a change panicked");
            Err(ApiError::internal(
                "the change failed inside outgated; its log says more",
            ))
        }
    }
}

async fn bounded(request: Request, next: Next) -> Response {
    match timeout(LONGEST_REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            ApiError::from(Problem::Busy(String::from("no answer in time; ask again")))
                .into_response()
        }
    }
}

/// A request for a flag is a few hundred octets.
const BODY_OCTETS: usize = 16 * 1024;
/// Beyond the longest wait that a relay may ask for.
const LONGEST_REQUEST: Duration = Duration::from_secs(75);
