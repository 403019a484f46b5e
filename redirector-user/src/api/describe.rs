//! The API's own description (OpenAPI 3.1): what the handlers say of themselves, and what holds of all of them.
//!
//! The handlers' part is made by utoipa of their attributes and types. Added here is what the layers around every handler
//! do: who may ask, what a body or a key may be refused for, validators.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    http::{HeaderValue, Method, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use utoipa::{PartialSchema as _, ToSchema as _, openapi::OpenApi};

use super::{once, scope, view::ErrorBody};

/// This description.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "description",
    responses((status = OK, body = serde_json::Value, description = "OpenAPI 3.1"))
)]
pub(super) async fn openapi() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], TEXT.as_str()).into_response()
}

/// Adds what holds of every route.
pub(super) fn completed(described: &OpenApi) -> Value {
    let mut all = serde_json::to_value(described).unwrap_or_default();
    all["info"] = json!({
        "title": "Outgate",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    all["security"] = json!([{ "token": [] }, { "certificate": [] }, {}]);
    all["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http", "scheme": "bearer",
            "description": "Over TCP: what `outgate token add` has told.",
        },
        "certificate": {
            "type": "mutualTLS",
            "description": "Over TCP: a certificate that an `[[api.client]]` of outgated.toml names.",
        },
    });
    let mut schemas = Vec::new();
    ErrorBody::schemas(&mut schemas);
    schemas.push((ErrorBody::name().into_owned(), ErrorBody::schema()));
    for (name, schema) in schemas {
        all["components"]["schemas"][name] = serde_json::to_value(schema).unwrap_or_default();
    }
    each_operation(&mut all, complete);
    all
}

/// Method, path and operation of each.
fn each_operation(all: &mut Value, mut each: impl FnMut(&Method, &str, &mut Value)) {
    let paths = all["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
            if let Ok(method) = method {
                each(&method, path, operation);
            }
        }
    }
}

fn complete(method: &Method, path: &str, operation: &mut Value) {
    // Handlers of different nouns have the same names; an operation's name is its own.
    let tag = operation["tags"][0].as_str().unwrap_or_default();
    let name = operation["operationId"].as_str().unwrap_or_default();
    let name = format!("{}_{name}", tag.replace(' ', "_"));
    operation["operationId"] = name.into();
    let least = scope::least(method, path).name();
    operation["x-outgate-scope"] = least.into();

    let mut responses: BTreeMap<&str, &str> = BTreeMap::from([
        ("401", "Who asks is not known"),
        ("403", "Who asks has not the scope for it"),
        ("422", "The request cannot be read"),
        ("500", "A fault of outgated or its machine"),
        ("503", "Not now; ask again"),
    ]);
    let mut parameters = Vec::new();
    if operation["requestBody"].is_object() {
        responses.insert("413", "The body is too long");
        responses.insert(
            "415",
            "The body is not what it should be, by its Content-Type",
        );
    }
    if *method == Method::POST && once::takes_key(path) {
        responses.insert(
            "409",
            "A guard forbids it, or a request with that key is not done yet",
        );
        parameters.push(header_parameter(
            "Idempotency-Key",
            "The same request with the same key is done once in a day, and answered alike",
        ));
    }
    if let Some(known) = operation["responses"].as_object_mut() {
        if *method == Method::GET {
            let unchanged = json!({ "description": "It is what `If-None-Match` says that it was" });
            known.insert(String::from("304"), unchanged);
            parameters.push(header_parameter(
                "If-None-Match",
                "ETags of answers that are known",
            ));
        }
        if path == ONE_FLAG && *method != Method::GET {
            responses.insert("412", "It is not what `If-Match` or `If-None-Match` says");
            parameters.push(header_parameter(
                "If-Match",
                "ETag of the flag as it was looked at, or `*`: there must be one",
            ));
            parameters.push(header_parameter(
                "If-None-Match",
                "`*`: there must be no flag yet",
            ));
        }
        for (status, description) in responses {
            let content = json!({ "schema": { "$ref": "#/components/schemas/ErrorBody" } });
            let response = json!({
                "description": description,
                "content": { "application/json": content },
            });
            known.entry(status).or_insert(response);
        }
    }
    match operation["parameters"].as_array_mut() {
        Some(known) => known.extend(parameters),
        None => operation["parameters"] = parameters.into(),
    }
}

fn header_parameter(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": false, "description": description,
        "schema": { "type": "string" },
    })
}

static TEXT: LazyLock<String> = LazyLock::new(|| super::description().to_string());

/// Where states of a flag are told apart.
const ONE_FLAG: &str = "/v1/flags/{id}";

const ABOUT: &str = "The controller of an Outgate edge. Over its Unix socket whoever may open it is let in; over TCP, with \
TLS, whoever shows a token or a certificate. What an operation needs is its `x-outgate-scope`: `read`, `flag` or `admin`, \
each holding the one before, and `relay` for what relays ask. Where a body or a query has an `actor`, it is claimed over \
the socket; whoever shows a token or a certificate is the actor itself. Errors say what to do next; their `kind` is for \
programs. Times are UTC.";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::description;

    /// Of each operation: method and path.
    fn operations(all: &mut Value) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        each_operation(all, |method, path, _| {
            assert!(found.insert((method.to_string(), path.to_owned())));
        });
        found
    }

    #[test]
    fn every_route_has_its_scope_and_every_scope_its_route() {
        let described = operations(&mut description());
        let row = |(method, path, _): &(&str, &str, _)| ((*method).to_owned(), (*path).to_owned());
        let scopes: BTreeSet<_> = scope::LEAST.iter().map(row).collect();
        assert_eq!(
            scopes.len(),
            scope::LEAST.len(),
            "a route is in the table twice"
        );
        let without: Vec<_> = described.difference(&scopes).collect();
        assert!(
            without.is_empty(),
            "say in api/scope.rs what these need: {without:?}"
        );
        let gone: Vec<_> = scopes.difference(&described).collect();
        assert!(gone.is_empty(), "take these out of api/scope.rs: {gone:?}");
    }

    #[test]
    fn every_operation_says_what_it_is_and_how_it_fails() {
        let mut all = description();
        assert_eq!(all["openapi"], "3.1.0");
        let mut names = BTreeSet::new();
        each_operation(&mut all, |method, path, operation| {
            let what = format!("{method} {path}");
            let text = |key: &str| {
                operation
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            assert!(!text("summary").is_empty(), "{what} has no summary");
            assert!(
                names.insert(text("operationId").to_owned()),
                "{what}: {}",
                text("operationId")
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{what}"
            );
            for status in ["401", "403", "422", "500", "503"] {
                let schema = &responses[status]["content"]["application/json"]["schema"];
                assert_eq!(
                    schema["$ref"], "#/components/schemas/ErrorBody",
                    "{what} {status}"
                );
            }
            for parameter in operation["parameters"].as_array().unwrap() {
                let said = parameter["description"].as_str().unwrap_or_default();
                assert!(!said.is_empty(), "{what}: {parameter}");
            }
            for part in path.split('/').filter(|part| part.starts_with('{')) {
                let name = part.trim_matches(['{', '}']);
                let mut parameters = operation["parameters"].as_array().unwrap().iter();
                assert!(
                    parameters.any(|it| it["name"] == name && it["in"] == "path"),
                    "{what}: {name} is not described"
                );
            }
        });
    }

    #[test]
    fn whatever_is_referred_to_is_there() {
        fn check(value: &Value, all: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(to)) = fields.get("$ref") {
                        let pointer = to.strip_prefix('#').unwrap();
                        assert!(all.pointer(pointer).is_some(), "{to} is not described");
                    }
                    fields.values().for_each(|value| check(value, all));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, all)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let all = description();
        check(&all, &all);
    }
}
