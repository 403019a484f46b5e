//! A request's body, read before the request is answered.
//!
//! hyper ends a connection once it has answered a request whose body nobody read. A client that sends head and body in two
//! segments may then find the connection broken, and never the answer (RFC 9112 section 9.6): a token that is missing
//! would look like a network that is. So a short body is read whole first, whatever becomes of the request; a long one
//! streams to whoever wants it.

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::{BODY_OCTETS, LONGEST_REQUEST, error::ApiError};

/// Reads a short body whole, within the time that a whole request may take.
pub(super) async fn at_hand(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let known = body.size_hint().upper();
    if known.is_none_or(|octets| octets > BODY_OCTETS as u64) {
        return next.run(Request::from_parts(head, body)).await;
    }
    let status = match timeout(LONGEST_REQUEST, body.collect()).await {
        Ok(Ok(whole)) => {
            let body = Body::from(whole.to_bytes());
            return next.run(Request::from_parts(head, body)).await;
        }
        Ok(Err(_broken)) => StatusCode::BAD_REQUEST,
        Err(_elapsed) => StatusCode::REQUEST_TIMEOUT,
    };
    let message = "the body ended early, or did not come in time; send the whole request again";
    ApiError::of_form(status, message).into_response()
}
