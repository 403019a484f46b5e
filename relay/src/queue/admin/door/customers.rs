//! Questions about customers: what they do, and which of their sites are locked.

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::task::spawn_blocking;

use super::{Answer, body, json, refused};
use crate::behaviour::Behaviour;
use crate::behaviour::door::Wrong;

/// Whether a question is one of these.
pub(super) fn are_asked_about(path: &str) -> bool {
    path == BEHAVIOUR || path.starts_with(OF_CUSTOMER) || path.starts_with(IDENTITIES)
}

pub(super) async fn answer(behaviour: &Behaviour, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let behaviour = behaviour.clone();
    match (&method, path.as_str()) {
        (&Method::GET, BEHAVIOUR) => json(&behaviour.show_busiest()),
        (&Method::GET, LOCKS) => json(&behaviour.locks().list()),
        (&Method::POST, LOCKS) => {
            let order = body(request).await?;
            blocking(move || behaviour.order_lock(&order)).await
        }
        (&Method::POST, UNLOCK) => {
            let order = body(request).await?;
            blocking(move || behaviour.order_unlock(&order)).await
        }
        (&Method::GET, path) if path.starts_with(OF_CUSTOMER) => {
            let customer = path.strip_prefix(OF_CUSTOMER).unwrap_or_default();
            match behaviour.show(customer).map_err(wrong)? {
                Some(shown) => json(&shown),
                None => Err(refused(
                    StatusCode::NOT_FOUND,
                    &format!("{customer}: nothing is known of it"),
                )),
            }
        }
        _ => Err(refused(
            StatusCode::NOT_FOUND,
            &format!("{method} {path}: nothing is there"),
        )),
    }
}

/// The disk is waited for elsewhere.
async fn blocking<T: serde::Serialize + Send + 'static>(
    order: impl FnOnce() -> Result<T, Wrong> + Send + 'static,
) -> Answer {
    let done = spawn_blocking(order).await;
    let done =
        done.map_err(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))?;
    json(&done.map_err(wrong)?)
}

fn wrong(wrong: Wrong) -> (StatusCode, super::Refused) {
    refused(StatusCode::BAD_REQUEST, &wrong.to_string())
}

const BEHAVIOUR: &str = "/v1/behaviour";
const OF_CUSTOMER: &str = "/v1/behaviour/";
const IDENTITIES: &str = "/v1/identities/";
const LOCKS: &str = "/v1/identities/locks";
const UNLOCK: &str = "/v1/identities/unlock";
