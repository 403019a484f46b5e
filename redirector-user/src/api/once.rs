//! Requests that must not be done twice: `Idempotency-Key`, for every `POST` that changes something.
//!
//! The first answer to a key of a caller is kept for a day, and whoever asks the same again hears it again, with
//! `Idempotent-Replayed: true`, over restarts. A key that comes with another request is refused (422). What was refused,
//! or failed, changed nothing, so its key is free again. If the controller ended while it worked on a request, nobody can
//! tell what became of it: that is said (409), and a person looks.
//!
//! Answers that show a secret are kept nowhere, so those routes take no key.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::error::ApiError;
use crate::{
    caller::Caller,
    controller::{Controller, Problem},
    store::{Store, requests::Known},
};

/// Whoever answers requests with keys.
#[derive(Clone)]
pub(super) struct Once {
    store: Store,
    /// Callers and keys that are being answered.
    running: Arc<Mutex<BTreeSet<(String, String)>>>,
}

/// A place among those that are being answered.
struct Running {
    of: Once,
    who: (String, String),
}

impl Once {
    pub(super) fn new(controller: &Controller) -> Self {
        Self {
            store: controller.store().clone(),
            running: Arc::default(),
        }
    }

    /// Takes the place of a key, unless somebody has it.
    fn begin(&self, caller: &str, key: &str) -> Option<Running> {
        let who = (caller.to_owned(), key.to_owned());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(who.clone()).then(|| Running {
            of: self.clone(),
            who,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let running = self.of.running.lock();
        running
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.who);
    }
}

/// Whether a path takes keys.
pub(super) fn takes_key(path: &str) -> bool {
    !WITHOUT_KEY.contains(&path)
}

/// Answers a request that has a key; others pass.
pub(super) async fn once(State(once): State<Once>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    // To its end even if whoever asked hangs up: the next one who asks must hear what became of it.
    match tokio::spawn(answer(once, request, next)).await {
        Ok(answered) => answered.unwrap_or_else(ApiError::into_response),
        Err(error) => {
            tracing::error!(%error, "a request with a key panicked");
            ApiError::internal("the request failed inside outgated; its log says more")
                .into_response()
        }
    }
}

async fn answer(once: Once, request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let key = key(&parts)?;
    let caller = parts.extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| ApiError::internal("a request came from nobody"))?;
    let who = caller.to_string();
    let body = to_bytes(body, BODY_OCTETS).await.map_err(|_long| {
        let message = format!("with an Idempotency-Key a body has at most {BODY_OCTETS} octets");
        ApiError::of_form(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    let digest = digest(&parts, &body);
    let Some(_running) = once.begin(&who, &key) else {
        return Err(ApiError::guard(format!(
            "Idempotency-Key {key:?}: a request with it is being answered; wait for that answer"
        )));
    };
    let store = once.store.clone();
    let known = store.begin_request(&who, &key, &digest, Timestamp::now());
    match known.await.map_err(Problem::from)? {
        Known::Fresh => {}
        Known::Other => {
            return Err(ApiError::usage(format!(
                "Idempotency-Key {key:?}: was another request's; each request has a key of its own"
            )));
        }
        Known::Begun => {
            return Err(ApiError::guard(format!(
                "Idempotency-Key {key:?}: outgated ended while it worked on that request; look what became of it, and \
                 ask again with another key if need be"
            )));
        }
        Known::TooMany => {
            return Err(ApiError::busy(
                "too many requests with an Idempotency-Key in one day; send them without, or as a batch",
            ));
        }
        Known::Answered { status, body } => return Ok(replayed(status, body)),
    }
    let response = caller
        .along(next.run(Request::from_parts(parts, Body::from(body))))
        .await;
    let (head, body) = response.into_parts();
    let said = to_bytes(body, ANSWER_OCTETS).await;
    let said = said.map_err(|_long| ApiError::internal("the answer is too long to be kept"))?;
    let text = std::str::from_utf8(&said)
        .ok()
        .filter(|_| head.status.is_success());
    let kept = match text {
        Some(text) => {
            store
                .answer_request(&who, &key, head.status.as_u16(), text)
                .await
        }
        None => store.forget_request(&who, &key).await,
    };
    if let Err(error) = kept {
        // What was asked for is done; that it cannot be told a second time is no reason to deny it.
        tracing::error!(%error, "the answer to a request with a key is not kept");
    }
    Ok(Response::from_parts(head, Body::from(said)))
}

fn key(parts: &Parts) -> Result<String, ApiError> {
    let path = parts
        .extensions
        .get::<MatchedPath>()
        .map(MatchedPath::as_str);
    if path.is_some_and(|path| !takes_key(path)) {
        return Err(ApiError::usage(
            "Idempotency-Key: this path takes none, because its answer is a secret or a stream, or changes nothing",
        ));
    }
    let key = parts.headers.get(KEY).and_then(|value| value.to_str().ok());
    let key = key.filter(|key| (1..=KEY_OCTETS).contains(&key.len()));
    key.map(str::to_owned).ok_or_else(|| {
        let message =
            format!("Idempotency-Key: allowed are 1 to {KEY_OCTETS} printable characters");
        ApiError::usage(message)
    })
}

/// Of what makes a request the same.
fn digest(parts: &Parts, body: &Bytes) -> String {
    let mut hasher = Sha256::new();
    for part in [
        parts.method.as_str().as_bytes(),
        parts.uri.to_string().as_bytes(),
        body,
    ] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    HEXLOWER.encode(&hasher.finalize())
}

fn replayed(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (REPLAYED, HeaderValue::from_static("true")),
    ];
    (status, headers, body).into_response()
}

const KEY: &str = "idempotency-key";
const REPLAYED: header::HeaderName = header::HeaderName::from_static("idempotent-replayed");
/// Secrets, streams, files, what relays number themselves, and what changes nothing.
const WITHOUT_KEY: [&str; 12] = [
    "/v1/apply",
    "/v1/assignments/import",
    "/v1/audit/export",
    "/v1/capture",
    "/v1/flags/import",
    "/v1/privacy/export",
    "/v1/ranges/gaps",
    "/v1/relays/{relay}/events",
    "/v1/rules/replay",
    "/v1/tokens",
    "/v1/users",
    "/v1/why/frames",
];
/// A UUID has 36.
const KEY_OCTETS: usize = 200;
const BODY_OCTETS: usize = super::batch::BODY_OCTETS;
const ANSWER_OCTETS: usize = 4 * 1024 * 1024;
