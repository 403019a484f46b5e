//! Requests for a change that was judged while another edge changed something: judged once more, and nobody sees it.
//!
//! Such a change was not stored ([`Problem::is_behind`](crate::controller::Problem::is_behind)). Only with a store that
//! several controllers share.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::{BodyExt as _, Limited};

use super::{error::ApiError, import};
use crate::controller::Controller;

/// Of an answer: it was judged by what is not so any more, and nothing was stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind;

pub(super) async fn again(
    State(controller): State<Arc<Controller>>,
    request: Request,
    next: Next,
) -> Response {
    if !controller.store().is_shared() || [Method::GET, Method::HEAD].contains(request.method()) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let whole = Limited::new(body, import::POLICY_OCTETS.max(import::FILE_OCTETS));
    let Ok(whole) = whole.collect().await else {
        let message = "the body ended early, or is too long; send the whole request again";
        return ApiError::of_form(StatusCode::BAD_REQUEST, message).into_response();
    };
    let body = whole.to_bytes();
    let mut tries = 0;
    loop {
        let request = Request::from_parts(head.clone(), Body::from(body.clone()));
        let response = next.clone().run(request).await;
        tries += 1;
        if response.extensions().get::<Behind>().is_none() || tries == TRIES_MAX {
            return response;
        }
        if let Err(error) = controller.catch_up().await {
            return ApiError::from(error).into_response();
        }
    }
}

/// Each time another edge was faster.
const TRIES_MAX: u32 = 8;
