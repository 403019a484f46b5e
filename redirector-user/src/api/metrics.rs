//! `/metrics`, and how long every request takes.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};

use super::Shared;
use crate::{
    controller::Controller,
    metrics::{self, http::page},
};

/// Figures of kernel, relays, policy and controller, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "status", responses((status = OK, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(controller): Shared) -> Response {
    page(controller.exposition().await)
}

/// Notes how long a request took, by its route: what stands in its place is up to whoever asks.
pub(super) async fn timed(
    State(controller): State<Arc<Controller>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or(OTHER, MatchedPath::as_str).to_owned();
    let method = method(request.method());
    let response = next.run(request).await;
    let asked = metrics::Request {
        method,
        route,
        status: class(response.status()),
    };
    controller.metrics().answered(asked, began.elapsed());
    response
}

fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let mut known = known.into_iter();
    known
        .find(|known| *known == method.as_str())
        .unwrap_or(OTHER)
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

const OTHER: &str = "other";
