//! `GET /metrics` on a loopback address.
//!
//! There is no authentication, so there is nothing to read but numbers and names of the configuration, and the
//! configuration takes loopback addresses alone. A scrape is one connection with one answer; there are at most
//! [`SCRAPES_MAX`] at a time, each in bounded time.
//!
//! # Diagnostics
//!
//! An address that cannot be bound is returned. A scrape that fails is `debug`: Prometheus itself says so.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::{Method, Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::controller::Controller;

/// An address that scrapes cannot be heard on.
#[derive(Debug, thiserror::Error)]
#[error("metrics.listen: {address}: {source}; give another address, or end who listens there")]
pub struct BindError {
    /// Which.
    address: SocketAddr,
    /// Why.
    source: io::Error,
}

/// Opens the listener.
///
/// # Errors
///
/// [`BindError`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| BindError { address, source })
}

/// Answers scrapes until the controller stops.
pub async fn serve(controller: Arc<Controller>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(SCRAPES_MAX));
    loop {
        // The place first: who has none waits in the kernel.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let controller = Arc::clone(&controller);
                tokio::spawn(async move {
                    answer(&controller, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a scrape");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(controller: &Controller, stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(response(controller, &request).await)
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(DEADLINE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "scrape broken off"),
        Err(_elapsed) => tracing::debug!("scrape too slow"),
    }
}

async fn response(controller: &Controller, request: &Request<Incoming>) -> Response {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => page(controller.exposition().await),
        (_, "/metrics") => {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allowed);
            response
        }
        _ => refusal(StatusCode::NOT_FOUND, "only /metrics\n"),
    }
}

/// The text with its type.
pub(crate) fn page(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn refusal(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// Prometheus comes one at a time, a person with curl now and then.
const SCRAPES_MAX: usize = 8;
const DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);
