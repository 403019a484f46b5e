//! A problem as an answer: status, and a body that says what to do next.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use utoipa::{
    IntoResponses,
    openapi::{self, RefOr},
};

pub(super) use super::extract::{Body, Path, Query};
use super::view::{ErrorBody, ErrorKind, ErrorView};
use crate::{controller::Problem, edge::Blame};

/// What a handler fails with.
#[derive(Debug)]
pub(super) struct ApiError {
    kind: ErrorKind,
    status: StatusCode,
    message: String,
    /// It may be judged once more.
    behind: bool,
}

impl ApiError {
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub(super) fn guard(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Guard, message)
    }

    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Busy, message)
    }

    pub(super) fn unidentified(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unidentified, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }

    /// A request whose form is wrong in a way that HTTP has a status of its own for.
    pub(super) fn of_form(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            ..Self::usage(message)
        }
    }

    /// As it stands in a body.
    pub(super) fn into_view(self) -> ErrorView {
        ErrorView {
            kind: self.kind,
            message: self.message,
        }
    }

    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: kind.status(),
            message: message.into(),
            behind: false,
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let (message, behind) = (problem.to_string(), problem.is_behind());
        let kind = match problem {
            Problem::Usage(_) => ErrorKind::Usage,
            Problem::Guard(_) => ErrorKind::Guard,
            Problem::NotFound(_) => ErrorKind::NotFound,
            Problem::Changed(_) => ErrorKind::Changed,
            Problem::Busy(_) => ErrorKind::Busy,
            Problem::Edge(error) => match error.blame() {
                Blame::Operator => ErrorKind::Usage,
                Blame::Host | Blame::Outgate => ErrorKind::Internal,
            },
            Problem::Store(error) if error.is_passing() => ErrorKind::Busy,
            Problem::Store(_) | Problem::KernelGone => ErrorKind::Internal,
        };
        if kind == ErrorKind::Internal {
            tracing::error!(error = message, "a request failed");
        }
        Self {
            behind,
            ..Self::new(kind, message)
        }
    }
}

impl ErrorKind {
    const fn status(self) -> StatusCode {
        match self {
            Self::Unidentified => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Guard => StatusCode::CONFLICT,
            Self::Changed => StatusCode::PRECONDITION_FAILED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Each status that a handler may fail with, in the API's description.
impl IntoResponses for ApiError {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let described = [
            (ErrorKind::Unidentified, "Who asks is not known"),
            (ErrorKind::Forbidden, "Who asks may not do that"),
            (ErrorKind::Guard, "A guard forbids it"),
            (ErrorKind::NotFound, "There is no such thing"),
            (ErrorKind::Usage, "The request cannot be read"),
            (ErrorKind::Internal, "A fault of outgated or its machine"),
            (ErrorKind::Busy, "Not now; ask again"),
        ];
        let response = |description: &str| {
            let body = openapi::ContentBuilder::new()
                .schema(Some(openapi::Ref::from_schema_name("ErrorBody")))
                .build();
            let response = openapi::ResponseBuilder::new().description(description);
            RefOr::T(response.content("application/json", body).build())
        };
        described
            .map(|(kind, description)| (kind.status().as_str().to_owned(), response(description)))
            .into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, behind) = (self.status, self.behind);
        let body = ErrorBody {
            error: self.into_view(),
        };
        let mut response = (status, Json(body)).into_response();
        if behind {
            response.extensions_mut().insert(super::again::Behind);
        }
        response
    }
}
