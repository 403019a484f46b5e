//! What one must be allowed to do for each route: the one table.
//!
//! A route that is not in it wants [`Scope::Admin`], so that one that was forgotten is closed, not open; a test finds it.

use axum::http::Method;

use crate::policy::token::Scope;

/// The least scope of a route; `path` is its template.
pub(super) fn least(method: &Method, path: &str) -> Scope {
    // A HEAD is answered as its GET would be, without the body.
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    let of_route = LEAST
        .iter()
        .find(|(known, of, _)| *known == method && *of == path);
    of_route.map_or(Scope::Admin, |(_, _, scope)| *scope)
}

/// Method, path, scope; by path.
pub(super) const LEAST: &[(&str, &str, Scope)] = &[
    ("GET", "/metrics", Scope::Read),
    // Its payloads are about tokens, users and customers alike.
    ("GET", "/v1/audit", Scope::Admin),
    ("POST", "/v1/audit/export", Scope::Admin),
    ("GET", "/v1/audit/verify", Scope::Read),
    ("POST", "/v1/apply", Scope::Admin),
    // They say who somebody is.
    ("GET", "/v1/assignments", Scope::Flag),
    ("POST", "/v1/assignments/import", Scope::Admin),
    ("PUT", "/v1/assignments/{prefix}", Scope::Admin),
    ("DELETE", "/v1/assignments/{prefix}", Scope::Admin),
    ("GET", "/v1/bypasses", Scope::Read),
    // It concerns every flag there is.
    ("POST", "/v1/bypasses", Scope::Admin),
    ("DELETE", "/v1/bypasses/{id}", Scope::Admin),
    // Other people's mail connections, octet by octet.
    ("POST", "/v1/capture", Scope::Admin),
    ("GET", "/v1/counters", Scope::Read),
    ("GET", "/v1/customers", Scope::Flag),
    ("GET", "/v1/customers/{id}", Scope::Flag),
    ("PUT", "/v1/customers/{id}", Scope::Admin),
    ("DELETE", "/v1/customers/{id}", Scope::Admin),
    ("GET", "/v1/customers/{id}/history", Scope::Flag),
    ("GET", "/v1/events", Scope::Read),
    ("GET", "/v1/exemptions", Scope::Read),
    ("POST", "/v1/exemptions", Scope::Flag),
    ("GET", "/v1/exemptions/{id}", Scope::Read),
    ("DELETE", "/v1/exemptions/{id}", Scope::Flag),
    ("POST", "/v1/exemptions/{id}/approve", Scope::Flag),
    ("GET", "/v1/flags", Scope::Read),
    ("POST", "/v1/flags", Scope::Flag),
    ("POST", "/v1/flags/batch", Scope::Flag),
    ("GET", "/v1/flags/history", Scope::Read),
    ("GET", "/v1/flags/import", Scope::Read),
    ("POST", "/v1/flags/import", Scope::Flag),
    ("GET", "/v1/flags/{id}", Scope::Read),
    ("PUT", "/v1/flags/{id}", Scope::Flag),
    ("DELETE", "/v1/flags/{id}", Scope::Flag),
    ("POST", "/v1/flags/{id}/approve", Scope::Flag),
    ("POST", "/v1/flags/{id}/extend", Scope::Flag),
    ("POST", "/v1/flags/{id}/reject", Scope::Flag),
    ("GET", "/v1/interfaces", Scope::Read),
    ("POST", "/v1/interfaces", Scope::Admin),
    ("DELETE", "/v1/interfaces/{name}", Scope::Admin),
    ("GET", "/v1/listings", Scope::Read),
    // It asks strangers, in everybody's pace.
    ("POST", "/v1/listings/check", Scope::Flag),
    ("GET", "/v1/listings/zones", Scope::Read),
    ("GET", "/v1/listings/{id}", Scope::Read),
    ("GET", "/v1/notices", Scope::Read),
    ("GET", "/v1/notices/preview", Scope::Read),
    ("GET", "/v1/openapi.json", Scope::Read),
    // It knocks at customers' doors.
    ("POST", "/v1/precheck", Scope::Flag),
    ("POST", "/v1/privacy/erase", Scope::Admin),
    ("POST", "/v1/privacy/export", Scope::Admin),
    ("GET", "/v1/radar", Scope::Read),
    ("GET", "/v1/radar/{source}", Scope::Read),
    ("GET", "/v1/ranges", Scope::Read),
    ("POST", "/v1/ranges/gaps", Scope::Read),
    ("GET", "/v1/relays", Scope::Read),
    ("PUT", "/v1/relays/{relay}/drain", Scope::Admin),
    ("DELETE", "/v1/relays/{relay}/drain", Scope::Admin),
    ("POST", "/v1/relays/{relay}/events", Scope::Relay),
    ("GET", "/v1/relays/{relay}/snapshot", Scope::Relay),
    ("GET", "/v1/rules", Scope::Read),
    ("GET", "/v1/rules/firings", Scope::Read),
    ("PUT", "/v1/rules/freeze", Scope::Admin),
    ("DELETE", "/v1/rules/freeze", Scope::Admin),
    ("POST", "/v1/rules/reload", Scope::Admin),
    ("POST", "/v1/rules/replay", Scope::Read),
    ("GET", "/v1/status", Scope::Read),
    ("POST", "/v1/store/backup", Scope::Admin),
    ("GET", "/v1/store/check", Scope::Read),
    ("GET", "/v1/tokens", Scope::Admin),
    ("POST", "/v1/tokens", Scope::Admin),
    ("DELETE", "/v1/tokens/{name}", Scope::Admin),
    ("GET", "/v1/users", Scope::Admin),
    ("POST", "/v1/users", Scope::Admin),
    ("PATCH", "/v1/users/{name}", Scope::Admin),
    ("DELETE", "/v1/users/{name}", Scope::Admin),
    ("GET", "/v1/webhooks", Scope::Read),
    ("POST", "/v1/webhooks/{name}/retry", Scope::Admin),
    ("POST", "/v1/webhooks/{name}/test", Scope::Admin),
    ("GET", "/v1/who", Scope::Flag),
    ("GET", "/v1/why", Scope::Read),
    ("POST", "/v1/why/frames", Scope::Read),
    ("GET", "/v1/why/then", Scope::Read),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_was_forgotten_is_closed() {
        assert_eq!(least(&Method::GET, "/v1/status"), Scope::Read);
        assert_eq!(least(&Method::HEAD, "/v1/status"), Scope::Read);
        assert_eq!(least(&Method::DELETE, "/v1/flags/{id}"), Scope::Flag);
        assert_eq!(least(&Method::GET, "/v1/forgotten"), Scope::Admin);
        assert_eq!(least(&Method::PATCH, "/v1/status"), Scope::Admin);
    }
}
