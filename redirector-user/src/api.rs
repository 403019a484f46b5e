//! The API: HTTP/1.1 with JSON over a Unix socket, and over TCP with TLS where the configuration says so.
//!
//! Whoever may open the socket (mode 0660) may do everything, unless `[api] unix_scopes` says otherwise of its user: owner
//! and group of the file are the access control. Over TCP everybody shows a token or a certificate, and each route has a
//! least scope (`scope`). Every answer is JSON, errors too; every wait has an end.
//!
//! # Diagnostics
//!
//! [`BindError`] and [`TlsError`] at start. A request's problem becomes an [`view::ErrorBody`] with its status.
#![expect(
    unused_qualifications,
    reason = "utoipa's macros qualify what parameters are made of"
)]

mod again;
mod audit;
mod batch;
mod body;
mod bypasses;
mod caller;
mod capture;
mod describe;
pub(crate) mod door;
mod error;
mod events;
mod exemptions;
mod explain;
mod extract;
mod flags;
pub(crate) mod frames;
mod import;
mod listings;
mod metrics;
mod moment;
mod notices;
mod once;
mod past;
mod precheck;
mod privacy;
mod radar;
mod ranges;
mod relays;
mod rules;
mod scope;
pub mod socket;
mod status;
mod store;
mod tenants;
mod terms;
pub(crate) mod tls;
mod tokens;
mod users;
mod validators;
pub mod view;
mod webhooks;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use contract::event::BATCH_OCTETS_MAX;
use serde_json::Value;
use tokio::time::timeout;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

use self::error::ApiError;
pub use self::{socket::BindError, tls::TlsError};
use crate::{
    caller as callers,
    controller::{Controller, Problem},
};

/// Every route.
pub fn router(controller: Arc<Controller>) -> Router {
    let (bounded_ones, _description) = bounded_routes().split_for_parts();
    let (endless, _description) = endless_routes().split_for_parts();
    bounded_ones
        .layer(middleware::from_fn(bounded))
        .layer(DefaultBodyLimit::max(BODY_OCTETS))
        .merge(endless)
        .fallback(async || ApiError::not_found("no such path; /v1/openapi.json describes the API"))
        .method_not_allowed_fallback(async || {
            ApiError::of_form(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path knows other methods only; `Allow` names them",
            )
        })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&controller),
            again::again,
        ))
        .layer(middleware::from_fn(validators::validated))
        .layer(middleware::from_fn_with_state(
            once::Once::new(&controller),
            once::once,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&controller),
            caller::identify,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&controller),
            metrics::timed,
        ))
        .layer(middleware::from_fn(body::at_hand))
        .with_state(controller)
}

/// The API's description (OpenAPI 3.1), made of the handlers themselves.
#[must_use]
pub fn description() -> Value {
    let (_router, mut description) = bounded_routes().split_for_parts();
    let (_router, endless) = endless_routes().split_for_parts();
    description.merge(endless);
    describe::completed(&description)
}

/// What is answered in a bounded time.
fn bounded_routes() -> OpenApiRouter<Arc<Controller>> {
    OpenApiRouter::new()
        .routes(routes!(status::status))
        .routes(routes!(status::counters))
        .routes(routes!(status::why))
        .routes(routes!(past::then))
        .merge(sized(frames::BODY_OCTETS, routes!(frames::judge)))
        .routes(routes!(status::interfaces, status::attach))
        .routes(routes!(status::detach))
        .routes(routes!(flags::list, flags::add))
        .routes(routes!(flags::show, flags::set, flags::lift))
        .merge(sized(batch::BODY_OCTETS, routes!(batch::add)))
        .routes(routes!(terms::history))
        .routes(routes!(terms::extend))
        .routes(routes!(terms::approve))
        .routes(routes!(terms::reject))
        .routes(routes!(exemptions::list, exemptions::add))
        .routes(routes!(exemptions::show, exemptions::lift))
        .routes(routes!(exemptions::approve))
        .routes(routes!(bypasses::list, bypasses::add))
        .routes(routes!(bypasses::lift))
        .routes(routes!(relays::list))
        .routes(routes!(relays::drain, relays::resume))
        .routes(routes!(relays::snapshot))
        .routes(routes!(rules::list))
        .routes(routes!(rules::firings))
        .routes(routes!(rules::reload))
        .routes(routes!(rules::freeze, rules::thaw))
        .merge(sized(BATCH_OCTETS_MAX, routes!(events::take)))
        .routes(routes!(events::list))
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::change, users::remove))
        .routes(routes!(capture::begin))
        .routes(routes!(ranges::ranges))
        .merge(sized(ranges::BODY_OCTETS, routes!(ranges::gaps)))
        .routes(routes!(precheck::precheck))
        .routes(routes!(listings::list))
        .routes(routes!(listings::zones))
        .routes(routes!(listings::check))
        .routes(routes!(listings::show))
        .routes(routes!(radar::list))
        .routes(routes!(radar::source))
        .routes(routes!(tokens::list, tokens::add))
        .routes(routes!(tokens::remove))
        .routes(routes!(audit::list))
        .routes(routes!(tenants::customers))
        .routes(routes!(
            tenants::customer,
            tenants::set_customer,
            tenants::remove_customer
        ))
        .routes(routes!(tenants::history))
        .routes(routes!(tenants::assignments))
        .routes(routes!(tenants::assign, tenants::unassign))
        .routes(routes!(tenants::who))
        .routes(routes!(notices::list))
        .routes(routes!(notices::preview))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::retry))
        .routes(routes!(describe::openapi))
        .routes(routes!(metrics::metrics))
}

/// What takes as long as it takes: files, and months of figures. Whoever hangs up does not stop it.
fn endless_routes() -> OpenApiRouter<Arc<Controller>> {
    OpenApiRouter::new()
        .merge(sized(
            import::FILE_OCTETS,
            routes!(import::progress, import::import),
        ))
        .merge(sized(
            import::FILE_OCTETS,
            routes!(import::import_assignments),
        ))
        .merge(sized(import::POLICY_OCTETS, routes!(import::apply)))
        .merge(sized(rules::FILE_OCTETS, routes!(rules::replay)))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::export))
        .routes(routes!(privacy::export))
        .routes(routes!(privacy::erase))
        .routes(routes!(store::back_up))
        .routes(routes!(store::check))
}

/// A route whose body may be longer than others'.
fn sized(
    octets: usize,
    routes: UtoipaMethodRouter<Arc<Controller>>,
) -> OpenApiRouter<Arc<Controller>> {
    let router = OpenApiRouter::new().routes(routes);
    router.layer(DefaultBodyLimit::max(octets))
}

/// The controller, as handlers get it.
type Shared = State<Arc<Controller>>;

/// Runs a change to its end even if whoever asked hangs up half-way: the store and the kernel must never
/// know different halves of it.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, ApiError> {
    let caller = callers::current();
    let change = async move {
        match caller {
            Some(caller) => caller.along(change).await,
            None => change.await,
        }
    };
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
