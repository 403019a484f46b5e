//! The desk's part of the admin door; the shapes are in [`shapes`](crate::quarantine::shapes).

use std::io;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Desk, Refusal};
use crate::queue::admin::shapes::Refused;

/// What an answer is made of.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// All paths begin with this.
pub(crate) const PREFIX: &str = "/v1/quarantine/";

impl Desk {
    /// Answers one question of `actor`.
    pub(crate) async fn answer(&self, actor: &str, request: Request<Incoming>) -> Response<Body> {
        match self.dispatch(actor, request).await {
            Ok(response) => response,
            Err(refusal) => refused(&refusal),
        }
    }

    async fn dispatch(
        &self,
        actor: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        let verb = path.strip_prefix(PREFIX).unwrap_or_default();
        match (request.method(), verb) {
            (&Method::POST, "list") => {
                let question = read(request).await?;
                let desk = self.clone();
                // It looks at a million records.
                let listing = tokio::task::spawn_blocking(move || desk.list(&question)).await;
                json(&listing.map_err(io::Error::from)??)
            }
            (&Method::POST, "show") => json(&self.show(actor, &read(request).await?).await?),
            (&Method::POST, "body") => {
                let sealed = self.body(actor, &read(request).await?).await?;
                let body = StreamBody::new(sealed.map_ok(Frame::data));
                Ok(response(StatusCode::OK, SEALED, body.boxed_unsync()))
            }
            (&Method::POST, "release") => {
                let received = self.receive(request.into_body()).await?;
                json(&self.release(actor, received).await?)
            }
            (&Method::POST, "confirm") => {
                let received = self.receive(request.into_body()).await?;
                json(&self.confirm_opened(actor, received).await?)
            }
            (&Method::POST, "orders") => json(&self.order(actor, &read(request).await?).await?),
            (method, _) => {
                let what = format!("{method} {path}: nothing is there");
                Err(Refusal::Missing(what))
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let status = match refusal {
        Refusal::Missing(_) => StatusCode::NOT_FOUND,
        Refusal::Wrong(_) => StatusCode::BAD_REQUEST,
        Refusal::Guarded(_) => StatusCode::CONFLICT,
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let error = refusal.to_string();
    let body = serde_json::to_vec(&Refused { error }).unwrap_or_default();
    response(status, JSON, whole(body))
}

fn json(value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    let body = serde_json::to_vec(value).map_err(io::Error::from)?;
    Ok(response(StatusCode::OK, JSON, whole(body)))
}

/// A body that is in memory.
pub(crate) fn whole(octets: impl Into<Bytes>) -> Body {
    Full::new(octets.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let body = Limited::new(request.into_body(), QUESTION_OCTETS_MAX);
    let octets = body.collect().await;
    let octets = octets.map_err(|error| Refusal::Wrong(error.to_string()))?;
    serde_json::from_slice(&octets.to_bytes()).map_err(|error| Refusal::Wrong(error.to_string()))
}

const JSON: &str = "application/json";
const SEALED: &str = "application/octet-stream";
const QUESTION_OCTETS_MAX: usize = 256 << 10;
