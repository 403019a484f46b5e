//! Validators of answers (RFC 9110 section 8.8): whoever has an answer already is told so, and none is sent again.
//!
//! A flag's validator is made by its handler (see [`crate::policy::condition`]); that of any other answer of a `GET` is a
//! hash of it. What is longer than [`HASHED_OCTETS`], and what is a stream, has none.

use axum::{
    body::{Body, HttpBody as _, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::error::ApiError;
use crate::policy::condition::Condition;

/// Adds the validator, or answers `304`.
pub(super) async fn validated(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let known = joined(request.headers(), header::IF_NONE_MATCH);
    let response = tagged(next.run(request).await).await;
    let tag = response.headers().get(header::ETAG);
    let tag = tag.and_then(|tag| tag.to_str().ok());
    match (known, tag) {
        (Some(known), Some(tag)) if is_known(&known, tag) => {
            ([(header::ETAG, tag.to_owned())], StatusCode::NOT_MODIFIED).into_response()
        }
        _ => response,
    }
}

/// What a change takes for granted.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, ApiError> {
    let [if_match, if_none_match] =
        [header::IF_MATCH, header::IF_NONE_MATCH].map(|name| joined(headers, name));
    Condition::read(if_match.as_deref(), if_none_match.as_deref()).map_err(ApiError::usage)
}

/// The beginning of a hash: enough to tell apart what one resource has ever answered.
pub(super) fn hash(said: &[u8]) -> String {
    let digest = Sha256::digest(said);
    HEXLOWER.encode(digest.get(..16).unwrap_or(&digest))
}

async fn tagged(response: Response) -> Response {
    let headers = response.headers();
    let is_json = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) == Some(JSON);
    let length = response.body().size_hint().exact();
    let fits = length.is_some_and(|length| length <= HASHED_OCTETS);
    if response.status() != StatusCode::OK
        || !is_json
        || !fits
        || headers.contains_key(header::ETAG)
    {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Its length is known, so all of it is there.
    let Ok(said) = to_bytes(body, usize::MAX).await else {
        return ApiError::internal("the answer broke off inside outgated").into_response();
    };
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", hash(&said))) {
        parts.headers.insert(header::ETAG, tag);
    }
    Response::from_parts(parts, Body::from(said))
}

/// `If-None-Match` compares weakly: that a validator is weak does not matter (RFC 9110 section 13.1.2).
fn is_known(known: &str, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|known| strong(known) == strong(tag))
}

/// A field's values as one (RFC 9110 section 5.3). What is not text is no validator of ours.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let values = headers.get_all(name);
    let values: Vec<_> = values
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

const JSON: &[u8] = b"application/json";
/// A thousand flags have half of that.
const HASHED_OCTETS: u64 = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_an_answer_is_known_by_its_validator() {
        for (known, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_known(known, "\"a\""), expected, "{known}");
        }
    }

    #[tokio::test]
    async fn an_answer_has_the_same_validator_until_it_is_another() {
        let answer = |text: &'static str| tagged(axum::Json(text).into_response());
        let tag = |response: &Response| response.headers().get(header::ETAG).cloned();
        let (one, same, other) = (answer("a").await, answer("a").await, answer("b").await);
        assert!(tag(&one).is_some());
        assert_eq!(tag(&one), tag(&same));
        assert_ne!(tag(&one), tag(&other));
        let body = to_bytes(one.into_body(), 100).await.unwrap();
        assert_eq!(body.as_ref(), b"\"a\"");
        let refused = tagged(ApiError::usage("no").into_response()).await;
        assert_eq!(tag(&refused), None);
    }
}
