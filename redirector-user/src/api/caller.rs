//! Who asks, and whether it may: before anything else of a request is looked at.
//!
//! Over the Unix socket a caller is the user whose process it is; over TCP it shows a token (RFC 6750) or a certificate.
//! Nobody: 401. Somebody who may not do that: 403. The handler runs inside of [`Caller::along`], so that the trail says
//! who it was.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use tokio::time::sleep;

use super::{Shared, door::Peer, error::ApiError, scope};
use crate::{
    caller::{Caller, Door},
    controller::Controller,
    policy::token::Scope,
};

/// Lets a request through if its caller may ask that.
pub(super) async fn identify(
    State(controller): Shared,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match identified(&controller, &request) {
        Ok(caller) => caller,
        Err(error) => {
            let mut response = error.into_response();
            let scheme = HeaderValue::from_static("Bearer realm=\"outgated\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
            return response;
        }
    };
    // What no route knows is answered alike to everybody who may ask at all.
    if let Some(path) = request.extensions().get::<MatchedPath>()
        && let Err(error) = permitted(&caller, &request, path.as_str())
    {
        return error.into_response();
    }
    let secret = match caller.door {
        Door::Token => bearer(request.headers()).ok().flatten().map(str::to_owned),
        Door::Socket | Door::Certificate => None,
    };
    request.extensions_mut().insert(caller.clone());
    let response = caller.along(next.run(request)).await;
    match secret {
        Some(secret) if response.body().size_hint().exact().is_none() => {
            while_it_holds(response, controller, secret)
        }
        _ => response,
    }
}

/// Ends a stream with the token that it was asked for with: it may last for months.
fn while_it_holds(response: Response, controller: Arc<Controller>, secret: String) -> Response {
    let ends = async move {
        while controller.caller_by_secret(&secret).is_some() {
            sleep(BETWEEN_LOOKS).await;
        }
    };
    let (head, body) = response.into_parts();
    let body = body.into_data_stream().take_until(Box::pin(ends));
    Response::from_parts(head, Body::from_stream(body))
}

fn identified(controller: &Controller, request: &Request) -> Result<Caller, ApiError> {
    let config = &controller.config().api;
    match request.extensions().get::<Peer>() {
        Some(Peer::User(name)) => Ok(Caller {
            scope: config.unix_scopes.get(name).copied().unwrap_or(Scope::Admin),
            name: name.clone(),
            door: Door::Socket,
        }),
        Some(Peer::Remote(certified)) => match bearer(request.headers())? {
            // Whoever shows both means the token: it says less of where it came from, and more of what it is for.
            Some(secret) => controller.caller_by_secret(secret).ok_or_else(|| {
                ApiError::unidentified(
                    "no such token, or it has expired; `outgate token ls` on the edge lists them, `outgate token add` \
                     makes one",
                )
            }),
            None => {
                let mut clients = config.clients.iter();
                let client = clients.find(|client| certified.contains(&client.name));
                let client = client.ok_or_else(|| match certified.as_slice() {
                    [] => ApiError::unidentified(
                        "who are you? Send a token as `Authorization: Bearer ...` (`outgate token add` on the edge \
                         makes one)",
                    ),
                    names => ApiError::unidentified(format!(
                        "nobody is called {} here; name the certificate in an [[api.client]] of outgated.toml",
                        names.join(" or ")
                    )),
                })?;
                Ok(Caller {
                    name: client.name.clone(),
                    scope: client.scope,
                    door: Door::Certificate,
                })
            }
        },
        None => Err(ApiError::internal("a request came by no door")),
    }
}

/// What stands behind `Bearer` (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let shown = value.to_str().ok().and_then(|text| text.split_once(' '));
    match shown {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(secret.trim())),
        _ => Err(ApiError::unidentified(
            "Authorization: not of the form `Bearer TOKEN`",
        )),
    }
}

fn permitted(caller: &Caller, request: &Request, path: &str) -> Result<(), ApiError> {
    let least = scope::least(request.method(), path);
    if !caller.scope.covers(least) {
        return Err(ApiError::forbidden(format!(
            "{caller} has scope {}, and this needs {}; ask who runs outgated for more",
            caller.scope.name(),
            least.name()
        )));
    }
    // One relay must not acknowledge, or tell, in the name of another.
    if caller.scope == Scope::Relay {
        let relay = request.uri().path().split('/').nth(3).unwrap_or_default();
        if relay != caller.name {
            return Err(ApiError::forbidden(format!(
                "{caller} is for relay {} alone, not for {relay}",
                caller.name
            )));
        }
    }
    Ok(())
}

/// How much longer than its token a stream may last.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_as_rfc_6750_writes_it() {
        let read = |text: &'static [u8]| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(text).unwrap();
            headers.insert(header::AUTHORIZATION, value);
            bearer(&headers)
                .map(|secret| secret.map(str::to_owned))
                .ok()
        };
        let secret = Some(Some(String::from("outgate_x")));
        assert_eq!(read(b"Bearer outgate_x"), secret);
        assert_eq!(read(b"bearer  outgate_x"), secret);
        for hostile in [
            &b""[..],
            b"Bearer",
            b"Basic b3V0Z2F0ZQ==",
            b"Bearer \xff",
            b"outgate_x",
        ] {
            assert_eq!(read(hostile), None, "{hostile:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()).ok(), Some(None));
    }
}
