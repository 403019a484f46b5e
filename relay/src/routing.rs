//! Which servers take a domain's mail, in which order, and what their TLS must show.
//!
//! [`Router::route`] asks the operator's routes first, then the DNS. [`Router::required`] is the
//! question of cut-through, whose destination the customer has chosen: does the domain's policy apply to it?
//!
//! # Diagnostics
//! Returned: [`RouteError`]; its text goes to the sender.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use relay_proto::address::Domain;
use tokio::time::{Instant, timeout};
use tracing::{debug, error};

use crate::config::{Config, FixedRoute, MtaSts, RouteTls, Routing};
use crate::dns::{Dns, DnsName};
use crate::outbound::Trust;
use crate::outbound::results::Results;

mod addresses;
mod candidates;
mod dane;
mod exchangers;
mod fixed;
mod own;
mod policy;
mod route;
mod strict;
mod sts;
mod waived;

pub(crate) use addresses::Addresses;
use candidates::{Candidate, Candidates};
use own::Own;
pub use route::{Host, Route, RouteError, Site};
pub use strict::{Terms, Unauthenticated};
use sts::Sts;

/// Knows the way to every domain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dns: Dns,
    routing: Routing,
    own: Own,
    sts: Option<Sts>,
    results: Results,
    /// Domains are told how their TLS went, also those without a policy.
    counts_without_policy: bool,
}

impl Router {
    /// Asks nobody before the first question.
    pub(crate) fn new(config: &Config, dns: Dns, trust: &Trust, results: Results) -> Self {
        let MtaSts { off, .. } = config.mta_sts;
        let sts = (!off).then(|| Sts::open(&config.state_dir, dns.clone(), trust, results.clone()));
        Self(Arc::new(Inner {
            dns,
            routing: config.routing.clone(),
            own: Own::of(config),
            sts,
            results,
            counts_without_policy: config.tls_reports.is_some(),
        }))
    }

    /// What has to run beside it, for as long as the relay does: it finds out whether the resolver validates, and
    /// keeps policies on disk.
    pub(crate) async fn tend(self) {
        let sts = async {
            match &self.0.sts {
                Some(sts) => sts.clone().keep().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(self.0.dns.clone().watch(), sts);
    }

    /// Writes down what is to outlive the relay. Blocks on the disk.
    pub(crate) fn save(&self) {
        if let Some(sts) = &self.0.sts {
            sts.save();
        }
    }

    /// Who is asked.
    pub(crate) fn dns(&self) -> &Dns {
        &self.0.dns
    }

    /// Whether the resolver validates, so that DANE is on.
    #[must_use]
    pub fn dns_validates(&self) -> bool {
        self.0.dns.validates()
    }

    /// Whether there is any server whose name it could authenticate: without one REQUIRETLS would be an empty promise.
    pub(crate) fn authenticates_any(&self) -> bool {
        let verified = |route: &FixedRoute| route.tls == RouteTls::Verify;
        self.0.dns.asks_somebody() || self.0.routing.routes.iter().any(verified)
    }

    /// The addresses of a host that is no mail server, in the order to try.
    pub(crate) async fn addresses(&self, host: &DnsName) -> Vec<IpAddr> {
        let families = self.0.routing.families;
        Addresses::look_up(&self.0.dns, host, families).await.list
    }

    /// The way to `domain`. Where the customer's connection was going, `original_dst`, comes first, unless the operator
    /// has a route of its own: it has chosen that server, and nothing is refused because our resolver knows others. A null
    /// MX does end it: there the domain itself says that no server takes its mail (RFC 7505).
    pub async fn route(
        &self,
        domain: &Domain,
        original_dst: Option<SocketAddr>,
    ) -> Result<Route, RouteError> {
        let (candidates, original_dst) = match self.fixed(domain) {
            Some(fixed) => (self.0.fixed(fixed).await, None),
            None => (self.0.exchangers_of(domain).await, original_dst),
        };
        match (candidates, original_dst) {
            (Ok(candidates), _) => self.0.route(candidates, original_dst).await,
            (Err(RouteError::Never { status, .. }), Some(destination))
                if status != exchangers::NULL_MX =>
            {
                Ok(Route::to_chosen(destination))
            }
            // There is nobody who could say of a policy.
            (Err(_), Some(destination)) if !self.0.dns.asks_somebody() => {
                Ok(Route::to_chosen(destination))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What `domain` demands of `destination`: nothing, if that is none of its servers or the DNS does not say so in
    /// time. Never [`RouteError::Never`].
    pub async fn required(
        &self,
        domain: &Domain,
        destination: SocketAddr,
    ) -> Result<Terms, RouteError> {
        if self.fixed(domain).is_none() && !self.0.dns.asks_somebody() {
            return Ok(Terms::none(Unauthenticated::Unknown));
        }
        // It goes on without us, so that the next one finds an answer.
        let (this, asked) = (self.clone(), domain.clone());
        let gathering = tokio::spawn(async move {
            match this.fixed(&asked) {
                Some(fixed) => this.0.fixed(fixed).await,
                None => this.0.exchangers_of(&asked).await,
            }
        });
        let candidates = match timeout(PATIENCE, gathering).await {
            Ok(Ok(Ok(candidates))) => candidates,
            Ok(Ok(Err(why))) => {
                debug!(%domain, error = %why, "policy unknown: its servers are not found");
                return Ok(Terms::none(Unauthenticated::Unknown));
            }
            Ok(Err(bug)) => {
                error!(error = %bug, "a look-up ended by a bug of ours");
                return Ok(Terms::none(Unauthenticated::Unknown));
            }
            Err(_elapsed) => {
                debug!(%domain, "policy unknown: the DNS is slow");
                return Ok(Terms::none(Unauthenticated::Unknown));
            }
        };
        let is_it = |candidate: &&Candidate| candidate.has(destination);
        match candidates.list.iter().find(is_it) {
            Some(candidate) => self.0.terms(&candidates, candidate).await,
            None => Ok(Terms::none(Unauthenticated::Stranger)),
        }
    }

    /// The server of `domain` that is tried first, while a customer waits. `None` also where the operator has a route of
    /// its own: who comes after that is not ours to know.
    pub(crate) async fn first_server(&self, domain: &Domain) -> Option<SocketAddr> {
        if self.fixed(domain).is_some() {
            return None;
        }
        let gathering = timeout(PATIENCE, self.0.exchangers_of(domain));
        let candidates = gathering.await.ok()?.ok()?;
        candidates.list.first()?.addresses.first().copied()
    }

    fn fixed(&self, domain: &Domain) -> Option<&FixedRoute> {
        match domain {
            Domain::Name(name) => {
                let name = DnsName::new(name.as_str()).ok()?;
                self.0.routing.to(&name)
            }
            // Only a smarthost takes what names no domain.
            Domain::Ipv4(_) | Domain::Ipv6(_) => self.0.routing.to_all(),
        }
    }
}

impl Inner {
    /// Candidates with their requirements, the customer's choice first.
    async fn route(
        &self,
        mut candidates: Candidates,
        original_dst: Option<SocketAddr>,
    ) -> Result<Route, RouteError> {
        candidates.without_ourselves(&self.own)?;
        let mut hosts: Vec<Host> = Vec::new();
        let mut until = candidates.until.max(Instant::now() + UNTIL_MIN);
        for candidate in &candidates.list {
            let terms = self.terms(&candidates, candidate).await;
            let (terms, withheld) = match terms {
                Ok(terms) => (terms, None),
                // It is known, and what it demands may be known soon.
                Err(error) => {
                    until = Instant::now() + UNTIL_MIN;
                    (Terms::none(Unauthenticated::Unknown), Some(error))
                }
            };
            hosts.push(Host {
                name: candidate.name.clone(),
                addresses: candidate.addresses.clone(),
                requirement: terms.usual,
                strict: terms.strict,
                withheld,
                send_proxy: candidate.fixed.is_some_and(|it| it.send_proxy),
            });
        }
        if let Some(destination) = original_dst {
            route::put_first(&mut hosts, destination);
        }
        if hosts.is_empty() {
            return Err(candidates.failure.unwrap_or_else(|| {
                let text = format!("no server of {} has an address", candidates.domain);
                RouteError::never("5.4.4", text)
            }));
        }
        if let Some(failure) = &candidates.failure {
            hosts.push(Host::not_found(failure.clone()));
        }
        Ok(Route {
            site: candidates.site(original_dst),
            hosts,
            until,
        })
    }
}

/// How long a customer waits at RCPT for what the DNS says of its recipient's domain.
const PATIENCE: Duration = Duration::from_secs(5);
/// An address is its own way.
const UNTIL_LITERAL: Duration = Duration::from_secs(3600);
/// A route is not asked for anew with every message.
const UNTIL_MIN: Duration = Duration::from_secs(30);
