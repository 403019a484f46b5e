//! What the authority finds below `/.well-known/acme-challenge/` (http-01, RFC 8555 section 8.3).
//!
//! Anybody may come: there is nothing to find but what an order of this moment waits for, and every visit is one short
//! request, in bounded time, with at most [`VISITORS_MAX`] at once.
//!
//! # Diagnostics
//! A visit that fails is `debug`: whoever scans the internet comes here, too.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info};

/// Answers by token, while an order waits for them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<HashMap<String, String>>>);

impl Answers {
    /// What is to be found under `token`, which the authority has chosen.
    pub(super) fn put(&self, token: &str, answer: &str) {
        self.lock().insert(token.to_owned(), answer.to_owned());
    }

    /// Nothing is waited for any more.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn find(&self, method: &Method, path: &str) -> Option<String> {
        let token = path.strip_prefix(BELOW)?;
        let asked = matches!(*method, Method::GET | Method::HEAD);
        self.lock().get(token).filter(|_| asked).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers for ever.
    pub(super) async fn serve(self, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                error!(%error, "cannot answer the authority");
                return;
            }
        };
        let places = Arc::new(Semaphore::new(VISITORS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _peer)) => {
                    let answers = self.clone();
                    tokio::spawn(async move {
                        answers.answer(stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    debug!(%error, "cannot accept a visitor");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn answer(&self, stream: TcpStream) {
        let service = service_fn(|request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.response(&request))
        });
        let connection = http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(HEAD_OCTETS_MAX)
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        match timeout(DEADLINE, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "visit broken off"),
            Err(_elapsed) => debug!("visitor too slow"),
        }
    }

    fn response<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let found = self.find(request.method(), request.uri().path());
        if found.is_some() {
            info!("the authority has come for the answer to its challenge");
        }
        let status = match found {
            Some(_) => StatusCode::OK,
            None => StatusCode::NOT_FOUND,
        };
        let mut response = Response::new(Full::from(found.unwrap_or_default()));
        *response.status_mut() = status;
        let octets = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, octets);
        response
    }
}

const BELOW: &str = "/.well-known/acme-challenge/";
/// An authority comes from a handful of places at once; the others are strangers.
const VISITORS_MAX: usize = 64;
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(250);
const HEAD_OCTETS_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_only_what_an_order_waits_for() {
        let answers = Answers::default();
        answers.put("token", "token.thumbprint");
        let status = |method: Method, target: &str| {
            let request = Request::builder().method(method).uri(target).body(());
            answers.response(&request.unwrap()).status().as_u16()
        };
        let target = "/.well-known/acme-challenge/token";
        assert_eq!(status(Method::GET, target), 200);
        assert_eq!(status(Method::HEAD, target), 200);
        assert_eq!(status(Method::POST, target), 404);
        for other in [
            "/",
            "/token",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/token/",
            "/.well-known/acme-challenge/../token",
        ] {
            assert_eq!(status(Method::GET, other), 404, "{other}");
        }
        answers.clear();
        assert_eq!(status(Method::GET, target), 404);
    }
}
