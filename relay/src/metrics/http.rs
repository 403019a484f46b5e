//! `GET /metrics` on a loopback address.
//!
//! There is no authentication, so there is nothing to read but numbers, and the configuration takes loopback
//! addresses alone. A scrape is one connection with one answer; there are at most [`SCRAPES_MAX`] at a time, each
//! in bounded time.
//!
//! # Diagnostics
//! Returned: an address that cannot be bound. A scrape that fails is `debug`: Prometheus itself says so.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, error};

use crate::Relay;
use crate::listen::inherited::Inherited;
use crate::listen::{self, BindError, Reach};

/// Opens the listener, or takes it from the service manager.
pub fn bind(
    address: SocketAddr,
    inherited: &mut Inherited,
) -> Result<std::net::TcpListener, BindError> {
    let listener = listen::open(address, Reach::Own, inherited);
    listener.map_err(|source| BindError { address, source })
}

/// Answers scrapes for ever.
pub async fn serve(relay: Arc<Relay>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            error!(%error, "cannot serve counters");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(SCRAPES_MAX));
    loop {
        // The place first: who has none waits in the kernel.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let relay = Arc::clone(&relay);
                tokio::spawn(async move {
                    answer(&relay, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "cannot accept a scrape");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(relay: &Relay, stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(response(relay, &request))
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(DEADLINE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "scrape broken off"),
        Err(_elapsed) => debug!("scrape too slow"),
    }
}

fn response(relay: &Relay, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, relay.exposition()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into()),
        _ => (StatusCode::NOT_FOUND, "only /metrics\n".into()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    headers.insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    response
}

/// Prometheus comes one at a time, a person with curl now and then.
const SCRAPES_MAX: usize = 8;
const DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);
