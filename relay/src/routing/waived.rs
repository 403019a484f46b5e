//! The way to a domain for reports that its TLS is broken: what the domain demands of its servers counts for nothing, nor does
//! it matter whether that can be found out (RFC 8460 section 5.3.1). What the operator demands of a route of its own does.

use relay_proto::address::Domain;
use tokio::time::Instant;

use super::{Host, Route, RouteError, Router, UNTIL_MIN, Unauthenticated};
use crate::outbound::requirement::Requirement;

impl Router {
    /// As [`Router::route`], without the policies of `domain`. On whose behalf nothing is required, nothing is counted.
    pub async fn route_whatever_is_demanded(&self, domain: &Domain) -> Result<Route, RouteError> {
        let mut candidates = match self.fixed(domain) {
            Some(fixed) => self.0.fixed(fixed).await?,
            None => self.0.exchangers_of(domain).await?,
        };
        candidates.without_ourselves(&self.0.own)?;
        let mut hosts = Vec::new();
        for candidate in &candidates.list {
            let requirement = if candidate.fixed.is_some() {
                self.0.terms(&candidates, candidate).await?.usual
            } else {
                Requirement::default()
            };
            hosts.push(Host {
                name: candidate.name.clone(),
                addresses: candidate.addresses.clone(),
                requirement,
                strict: Err(Unauthenticated::Unknown),
                withheld: None,
                send_proxy: candidate.fixed.is_some_and(|it| it.send_proxy),
            });
        }
        if hosts.is_empty() {
            return Err(candidates.failure.unwrap_or_else(|| {
                let text = format!("no server of {domain} has an address");
                RouteError::never("5.4.4", text)
            }));
        }
        Ok(Route {
            site: candidates.site(None),
            hosts,
            until: candidates.until.max(Instant::now() + UNTIL_MIN),
        })
    }
}
