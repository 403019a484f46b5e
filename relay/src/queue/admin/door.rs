//! The admin door: HTTP on a Unix socket.
//!
//! Who may open the socket (mode 0660) may do everything; there is nobody else. A question is one connection with one
//! answer, at most [`VISITORS_MAX`] at a time, each in bounded time. The shapes are in [`super::shapes`].
//!
//! # Diagnostics
//! Returned: a socket that cannot be bound, or at which another relay answers. A visitor who goes away is `debug`.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use relay_proto::queued::QueueId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::shapes::Refused;
use super::{Orders, Transfers};
use crate::behaviour::Behaviour;
use crate::handover::Progress;
use crate::quarantine::desk::Desk;
use crate::quarantine::desk::http::{Body, PREFIX, whole};

mod customers;

/// Opens the socket. One that a relay has left behind is replaced.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_somebody) => {
            let error = io::Error::new(io::ErrorKind::AddrInUse, "another relay answers there");
            return Err(named(error));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(named)?;
        }
        // Whatever else it is, binding says it better.
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(named)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(named)?;
    Ok(listener)
}

/// Whatever can be asked here.
#[derive(Clone)]
pub struct Asked<Q> {
    /// The queue; `None` without a spool.
    pub queue: Option<Q>,
    /// Hand-overs of it, if there can be any.
    pub transfers: Option<Arc<dyn Transfers>>,
    /// What customers do, where there are any.
    pub behaviour: Option<Behaviour>,
    /// What was refused and kept, if there is a place for that.
    pub quarantine: Option<Desk>,
}

/// Answers for ever.
pub async fn serve(asked: Asked<impl Orders>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(VISITORS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let asked = asked.clone();
                tokio::spawn(async move {
                    answer(asked, stream).await;
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

async fn answer(asked: Asked<impl Orders>, stream: UnixStream) {
    let actor = actor(&stream);
    let service = service_fn(|request: Request<Incoming>| {
        let (asked, actor) = (asked.clone(), actor.clone());
        async move { Ok::<_, Infallible>(response(&asked, &actor, request).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(DEADLINE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a visitor has gone away"),
        Err(_elapsed) => debug!("a visitor was too slow"),
    }
}

/// An answer, or a status and why.
type Answer = Result<Bytes, (StatusCode, Refused)>;

/// Who is at the other end, as the kernel says it.
fn actor(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(peer) => format!("uid {}", peer.uid()),
        Err(error) => format!("unknown ({error})"),
    }
}

async fn response(
    asked: &Asked<impl Orders>,
    actor: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.uri().path().starts_with(PREFIX)
        && let Some(desk) = &asked.quarantine
    {
        return desk.answer(actor, request).await;
    }
    let about_customers = customers::are_asked_about(request.uri().path());
    let answer = match (&asked.queue, &asked.behaviour) {
        (_, Some(behaviour)) if about_customers => {
            customers::answer(&behaviour.newest(), request).await
        }
        (Some(queue), _) => dispatch(queue, asked.transfers.as_deref(), request).await,
        (None, _) => Err(refused(
            StatusCode::BAD_REQUEST,
            "this relay has no queue: there is no [spool] in its configuration",
        )),
    };
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err((status, refused)) => (status, json(&refused).unwrap_or_default()),
    };
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn dispatch(
    queue: &impl Orders,
    transfers: Option<&dyn Transfers>,
    request: Request<Incoming>,
) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match (&method, path.as_str()) {
        (&Method::POST, TRANSFER) => match transfers {
            Some(transfers) => json(&transfers.begin(&body(request).await?).map_err(wrong)?),
            None => Err(refused(
                StatusCode::BAD_REQUEST,
                "nothing can be handed over",
            )),
        },
        (&Method::GET, TRANSFER) => shown(transfers.and_then(Transfers::progress)),
        (&Method::DELETE, TRANSFER) => shown(transfers.and_then(Transfers::cancel)),
        (&Method::GET, "/v1/queue/stats") => json(&queue.numbers()),
        (&Method::POST, "/v1/queue/list") => {
            let question = body(request).await?;
            let queue = queue.clone();
            // It may look at a million jobs.
            let listing = tokio::task::spawn_blocking(move || queue.list(&question)).await;
            let listing = listing
                .map_err(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))?;
            json(&listing.map_err(wrong)?)
        }
        (&Method::POST, "/v1/queue/orders") => {
            json(&queue.order(&body(request).await?).await.map_err(wrong)?)
        }
        (&Method::POST, "/v1/queue/pauses") => {
            json(&queue.pause(&body(request).await?).await.map_err(wrong)?)
        }
        (&Method::GET, path) if path.starts_with(MESSAGES) => {
            let id = path.strip_prefix(MESSAGES).unwrap_or_default();
            let id: QueueId = id
                .parse()
                .map_err(|problem| refused(StatusCode::BAD_REQUEST, &format!("{id}: {problem}")))?;
            match queue.show(id).await.map_err(wrong)? {
                Some(message) => json(&message),
                None => Err(refused(
                    StatusCode::NOT_FOUND,
                    &format!("{id}: not in the queue"),
                )),
            }
        }
        _ => Err(refused(
            StatusCode::NOT_FOUND,
            &format!("{method} {path}: nothing is there"),
        )),
    }
}

fn shown(progress: Option<Progress>) -> Answer {
    match progress {
        Some(progress) => json(&progress),
        None => Err(refused(StatusCode::NOT_FOUND, "nothing was handed over")),
    }
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, (StatusCode, Refused)> {
    let body = Limited::new(request.into_body(), QUESTION_OCTETS_MAX);
    let octets = body
        .collect()
        .await
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))?;
    serde_json::from_slice(&octets.to_bytes())
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))
}

fn json(value: &impl Serialize) -> Answer {
    let octets = serde_json::to_vec(value)
        .map_err(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))?;
    Ok(octets.into())
}

fn wrong(why: Refused) -> (StatusCode, Refused) {
    (StatusCode::BAD_REQUEST, why)
}

fn refused(status: StatusCode, error: &str) -> (StatusCode, Refused) {
    let error = error.to_owned();
    (status, Refused { error })
}

const TRANSFER: &str = "/v1/spool/transfer";
const MESSAGES: &str = "/v1/queue/messages/";
/// A person or two, and their scripts.
const VISITORS_MAX: usize = 16;
/// Deleting a million messages takes a while.
const DEADLINE: Duration = Duration::from_secs(600);
const QUESTION_OCTETS_MAX: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(250);
