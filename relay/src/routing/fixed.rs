//! The operator's own routes.

use std::time::Duration;

use tokio::time::Instant;

use super::addresses::Addresses;
use super::candidates::{ByOperator, Candidate, Candidates, unknown_addresses};
use super::{Inner, RouteError};
use crate::config::{Domains, FixedRoute, NextHop, Routing};

impl Routing {
    /// The way of everything that has no other, if there is one.
    pub(super) fn to_all(&self) -> Option<&FixedRoute> {
        self.routes
            .iter()
            .find(|route| route.domains == Domains::All)
    }
}

impl Inner {
    /// The servers of a fixed route.
    pub(super) async fn fixed(&self, route: &FixedRoute) -> Result<Candidates, RouteError> {
        let mut candidates = Candidates {
            domain: match &route.domains {
                Domains::Exactly(name) => name.to_string(),
                Domains::Below(name) => format!(".{name}"),
                Domains::All => "*".into(),
            },
            policy_domain: None,
            secure: false,
            list: Vec::new(),
            names: Vec::new(),
            failure: None,
            until: Instant::now() + UNTIL_MAX,
        };
        for (hop, preference) in route.to.iter().zip(0..) {
            let (name, port, found, addresses) = match hop {
                NextHop::Address(address) => (None, address.port(), None, vec![*address]),
                NextHop::Host { name, port } => {
                    let found = Addresses::look_up(&self.dns, name, self.routing.families).await;
                    let addresses = found.at(*port);
                    (Some(name.clone()), *port, Some(found), addresses)
                }
            };
            candidates.names.push(match &name {
                Some(name) => format!("{name}:{port}"),
                None => addresses.iter().map(ToString::to_string).collect(),
            });
            if let Some(found) = &found {
                candidates.until = candidates.until.min(found.until);
                if let (Some(name), Some(failure)) = (&name, found.failure) {
                    candidates.failure = Some(unknown_addresses(name, failure));
                }
            }
            if !addresses.is_empty() {
                candidates.list.push(Candidate {
                    name,
                    preference,
                    addresses,
                    port,
                    found,
                    fixed: Some(ByOperator {
                        tls: route.tls,
                        send_proxy: route.send_proxy,
                    }),
                });
            }
        }
        if candidates.list.is_empty() && candidates.failure.is_none() {
            // Its own mistake, or of the moment: not a reason to return mail.
            let text = format!(
                "no server of the route {} has an address",
                candidates.domain
            );
            return Err(RouteError::not_now("4.4.4", text));
        }
        Ok(candidates)
    }
}

const UNTIL_MAX: Duration = Duration::from_secs(3600);
