//! What the relay knows about customers, by generation.
//!
//! The controller sends a [`Snapshot`]; [`client`] asks for it, [`cache`] keeps it over restarts, and
//! [`InForce`] is the form in which sessions look things up. Whoever needs it holds a
//! [`watch::Receiver`] and borrows the newest one; `None` means that the relay has never
//! seen a snapshot, and then nobody is served.
//!
//! [`watch::Receiver`]: tokio::sync::watch::Receiver

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use contract::{CustomerPolicy, Generation, Snapshot};
use tokio::sync::watch;

pub mod cache;
pub mod client;
mod prefixes;

use prefixes::Prefixes;

use crate::submission::Users;

/// The newest snapshot, or none yet.
pub type Newest = Option<Arc<InForce>>;

/// A snapshot in a form that answers questions.
#[derive(Debug)]
pub struct InForce {
    generation: Generation,
    inside: Prefixes<()>,
    probe_sources: HashSet<IpAddr>,
    probe_prefixes: Prefixes<()>,
    customers: Prefixes<Arc<CustomerPolicy>>,
    users: Users,
}

impl InForce {
    /// Which state this is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The policy of a redirected customer; the most specific prefix wins.
    #[must_use]
    pub fn customer(&self, address: IpAddr) -> Option<&Arc<CustomerPolicy>> {
        self.customers.longest(address)
    }

    /// Who may submit.
    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    /// Whether `address` is one of the operator's customers at all.
    #[must_use]
    pub fn is_inside(&self, address: IpAddr) -> bool {
        self.inside.longest(address).is_some()
    }

    /// Whether the controller's health checks come from `address`.
    #[must_use]
    pub fn is_probe(&self, address: IpAddr) -> bool {
        self.probe_sources.contains(&address) || self.probe_prefixes.longest(address).is_some()
    }
}

impl From<Snapshot> for InForce {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            generation: snapshot.generation,
            inside: snapshot
                .customer_prefixes
                .into_iter()
                .map(|network| (network, ()))
                .collect(),
            probe_sources: snapshot.probe_sources.into_iter().collect(),
            probe_prefixes: snapshot
                .probe_prefixes
                .into_iter()
                .map(|network| (network, ()))
                .collect(),
            customers: snapshot
                .customers
                .into_iter()
                .map(|customer| (customer.prefix, Arc::new(customer)))
                .collect(),
            users: snapshot.submission.into(),
        }
    }
}

/// Puts `snapshot` into force for every connection that is accepted from now on.
pub fn put_into_force(newest: &watch::Sender<Newest>, snapshot: Snapshot) {
    newest.send_replace(Some(Arc::new(InForce::from(snapshot))));
}
