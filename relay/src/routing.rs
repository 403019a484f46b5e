//! Which servers take a domain's mail, in which order, and what their TLS must show.
//!
//! [`Router::route`] asks the operator's routes first, then the DNS. [`Router::required`] is the
//! question of cut-through, whose destination the customer has chosen: does the domain's policy apply to it?
//!
//! # Diagnostics
//! Returned: [`RouteError`]; its text goes to the sender.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use relay_proto::address::Domain;
use tokio::time::Instant;

use crate::dns::DnsName;
use crate::outbound::requirement::Requirement;

/// Knows the way to every domain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router(Arc<Inner>);

#[derive(Debug)]
struct Inner {}

/// The servers of a domain.
#[derive(Debug, Clone)]
pub struct Route {
    /// Who they are together.
    pub site: Site,
    /// In the order to try; never empty, and bounded.
    pub hosts: Vec<Host>,
    /// Ask again from then on.
    pub until: Instant,
}

/// One server.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name, unless only its address is known.
    pub name: Option<DnsName>,
    /// In the order to try; never empty, and bounded.
    pub addresses: Vec<SocketAddr>,
    /// What its TLS must show for this domain.
    pub requirement: Requirement,
}

/// The same text for all domains with the same servers, so that they share connections and limits. They may demand
/// different things of these: ask [`Upstream::satisfies`](crate::outbound::Upstream::satisfies) before each MAIL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(Arc<str>);

/// Why there is no way to a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It takes no mail.
    #[error("{text}")]
    Never {
        /// Enhanced status code of class 5.
        status: &'static str,
        /// One line for people.
        text: String,
    },
    /// It could not be found out now.
    #[error("{text}")]
    NotNow {
        /// Enhanced status code of class 4.
        status: &'static str,
        /// One line for people.
        text: String,
    },
}

impl Router {
    /// The way to `domain`. Where the customer's connection was going, `original_dst`, comes first: it has chosen
    /// that server, and nothing is refused because our resolver knows others.
    pub async fn route(
        &self,
        domain: &Domain,
        original_dst: Option<SocketAddr>,
    ) -> Result<Route, RouteError> {
        todo!("{domain} {original_dst:?} {:?}", self.0)
    }

    /// What `domain` demands of `destination`: nothing, if that is none of its servers or the DNS does not say so in
    /// time. Never [`RouteError::Never`].
    pub async fn required(
        &self,
        domain: &Domain,
        destination: SocketAddr,
    ) -> Result<Requirement, RouteError> {
        todo!("{domain} {destination} {:?}", self.0)
    }
}

impl Site {
    /// Its text, at most 255 octets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
