//! A problem as an answer: status, and a body that says what to do next.

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;

use super::view::{ErrorBody, ErrorKind, ErrorView};
use crate::{controller::Problem, edge::Blame};

/// What a handler fails with.
#[derive(Debug)]
pub(super) struct ApiError {
    kind: ErrorKind,
    message: String,
}

impl ApiError {
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::NotFound,
            message: message.into(),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Usage,
            message: message.into(),
        }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Internal,
            message: message.into(),
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let message = problem.to_string();
        let kind = match problem {
            Problem::Usage(_) => ErrorKind::Usage,
            Problem::Guard(_) => ErrorKind::Guard,
            Problem::NotFound(_) => ErrorKind::NotFound,
            Problem::Busy(_) => ErrorKind::Busy,
            Problem::Edge(error) => match error.blame() {
                Blame::Operator => ErrorKind::Usage,
                Blame::Host | Blame::Outgate => ErrorKind::Internal,
            },
            Problem::Store(_) | Problem::KernelGone => ErrorKind::Internal,
        };
        if kind == ErrorKind::Internal {
            tracing::error!(error = message, "a request failed");
        }
        Self { kind, message }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.kind {
            ErrorKind::Guard => StatusCode::CONFLICT,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        let body = ErrorBody {
            error: ErrorView {
                kind: self.kind,
                message: self.message,
            },
        };
        (status, Json(body)).into_response()
    }
}

/// axum's extractors, with their rejections as [`ApiError`].
pub(super) struct Query<T>(pub(super) T);
pub(super) struct Path<T>(pub(super) T);
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        let query =
            query.map_err(|rejection: QueryRejection| ApiError::usage(rejection.body_text()))?;
        Ok(Self(query.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        let path =
            path.map_err(|rejection: PathRejection| ApiError::usage(rejection.body_text()))?;
        Ok(Self(path.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Json::from_request(request, state).await;
        let body =
            body.map_err(|rejection: JsonRejection| ApiError::usage(rejection.body_text()))?;
        Ok(Self(body.0))
    }
}
