//! What handlers take of a request: path, query and body, with their rejections as [`ApiError`]s that name the field.
//!
//! A caller that speaks for itself ([`Caller::speaks_for_itself`]) is the actor of whatever it does. So where a query or a
//! body has an `actor`, its own name stands there before the handler sees it, whatever was sent. Which types have one is
//! asked of the types themselves ([`has_actor`]): no handler can forget it.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, Error as _, Visitor, value::Error},
    forward_to_deserialize_any,
};
use serde_json::Value;

use super::error::ApiError;
use crate::{caller::Caller, client::escaped};

/// The parts of a path.
pub(in crate::api) struct Path<T>(pub(in crate::api) T);
/// The query.
pub(in crate::api) struct Query<T>(pub(in crate::api) T);
/// A body of JSON.
pub(in crate::api) struct Body<T>(pub(in crate::api) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        let path =
            path.map_err(|rejection: PathRejection| ApiError::usage(rejection.body_text()))?;
        Ok(Self(path.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let own = own_name(&parts.extensions).filter(|_| has_actor::<T>());
        let uri = match own {
            Some(name) => with_actor(&parts.uri, &name)?,
            None => parts.uri.clone(),
        };
        let query = axum::extract::Query::try_from_uri(&uri);
        let query =
            query.map_err(|rejection: QueryRejection| ApiError::usage(rejection.body_text()))?;
        Ok(Self(query.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::of_form(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON, and say so: `Content-Type: application/json`",
            ));
        }
        let own = own_name(request.extensions());
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(refused_body)?;
        read(&body, own.as_deref()).map(Self)
    }
}

/// What is said to a body that cannot be taken.
pub(super) fn refused_body(rejection: BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message =
            "the body is longer than anything that is sent here; see the path's description";
        return ApiError::of_form(StatusCode::PAYLOAD_TOO_LARGE, message);
    }
    ApiError::usage(rejection.body_text())
}

/// Reads a body; `own` stands for whatever actor it names.
fn read<T: DeserializeOwned>(body: &[u8], own: Option<&str>) -> Result<T, ApiError> {
    let syntax = |error: serde_json::Error| ApiError::usage(format!("the body: {error}"));
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = match own.filter(|_| has_actor::<T>()) {
        None => serde_path_to_error::deserialize(&mut reader),
        Some(name) => {
            let mut value = Value::deserialize(&mut reader).map_err(syntax)?;
            if let Some(fields) = value.as_object_mut() {
                fields.insert(String::from(ACTOR), Value::from(name));
            }
            serde_path_to_error::deserialize(value)
        }
    };
    let read = read.map_err(|error| match error.path().to_string().as_str() {
        "." => syntax(error.into_inner()),
        path => ApiError::usage(format!("{path}: {}", error.inner())),
    })?;
    reader.end().map_err(syntax)?;
    Ok(read)
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE);
    let said = said
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// The name that a caller acts by, if it is not one that it may choose.
fn own_name(extensions: &axum::http::Extensions) -> Option<String> {
    let caller = extensions.get::<Caller>()?;
    caller.speaks_for_itself().then(|| caller.name.clone())
}

/// The same, with this actor and no other in its query.
fn with_actor(uri: &Uri, name: &str) -> Result<Uri, ApiError> {
    let is_actor = |pair: &&str| pair.split('=').next() == Some(ACTOR);
    let others = uri.query().unwrap_or_default().split('&');
    let others: Vec<_> = others
        .filter(|pair| !pair.is_empty() && !is_actor(pair))
        .collect();
    let query = [others.join("&"), format!("{ACTOR}={}", escaped(name))];
    let query = query.iter().filter(|part| !part.is_empty());
    let query: Vec<_> = query.map(String::as_str).collect();
    let written = format!("{}?{}", uri.path(), query.join("&"));
    written
        .parse()
        .map_err(|_malformed| ApiError::usage("the query is not one; escape what is not a letter"))
}

/// Whether a type has a field `actor`, as its own `Deserialize` tells those who read it.
fn has_actor<'de, T: Deserialize<'de>>() -> bool {
    /// Answers with an error in any case; its text says what was found.
    struct Asks;

    impl<'de> serde::Deserializer<'de> for Asks {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
            Err(Error::custom(""))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Error> {
            Err(Error::custom(match fields.contains(&ACTOR) {
                true => ACTOR,
                false => "",
            }))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    T::deserialize(Asks).is_err_and(|error| error.to_string() == ACTOR)
}

const ACTOR: &str = "actor";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::view::{DrainRequest, FramesRequest},
        policy::{dial::FlagRequest, user::UserChange},
    };

    #[test]
    fn whose_types_have_an_actor_is_known() {
        assert!(has_actor::<FlagRequest>());
        assert!(has_actor::<DrainRequest>());
        assert!(has_actor::<UserChange>());
        assert!(!has_actor::<FramesRequest>());
        assert!(!has_actor::<String>());
        assert!(!has_actor::<Vec<DrainRequest>>());
    }

    #[test]
    fn who_speaks_for_itself_is_the_actor_whatever_it_says() {
        let body = br#"{"reason": "r", "actor": "somebody else"}"#;
        let said = |own| -> DrainRequest { read(body, own).unwrap() };
        assert_eq!(said(None).actor, "somebody else");
        assert_eq!(said(Some("billing")).actor, "billing");
        let silent: DrainRequest = read(b"{}", Some("billing")).unwrap();
        assert_eq!(silent.actor, "billing");
        let frames: FramesRequest = read(br#"{"frames": []}"#, Some("billing")).unwrap();
        assert!(frames.frames.is_empty());
        for (query, expected) in [
            ("/v1/x", "/v1/x?actor=billing"),
            ("/v1/x?actor=other", "/v1/x?actor=billing"),
            (
                "/v1/x?reason=a%20b&actor=o&all=true&actor",
                "/v1/x?reason=a%20b&all=true&actor=billing",
            ),
        ] {
            let uri = with_actor(&query.parse().unwrap(), "billing").unwrap();
            assert_eq!(uri.to_string(), expected);
        }
    }

    #[test]
    fn a_bad_body_is_told_by_its_field() {
        let refused = |body: &[u8], own| {
            let read: Result<FlagRequest, ApiError> = read(body, own);
            read.unwrap_err().into_view().message
        };
        for own in [None, Some("billing")] {
            let message = refused(br#"{"target": "192.0.2.10", "burst": "many"}"#, own);
            assert!(message.starts_with("burst: invalid type"), "{message}");
            let message = refused(br#"{"target": "192.0.2.10", "brust": 1}"#, own);
            assert!(message.contains("unknown field `brust`"), "{message}");
            let message = refused(br#"{"reason": "r"}"#, own);
            assert!(message.contains("missing field `target`"), "{message}");
            for body in ["", "{", "[1]", "{}{}", &"[".repeat(1000), "\u{0}", "nul"] {
                assert!(!refused(body.as_bytes(), own).is_empty(), "{body}");
            }
            assert!(!refused(b"{\"target\": \"\xff\"}", own).is_empty());
        }
    }
}
