//! What people ask about behaviour, and the locks that they set, at the relay's admin door.
//!
//! # Diagnostics
//! Returned: what is wrong with a question, for a person to read. Logged: each lock that is set or taken away.

use std::net::IpAddr;

use jiff::Timestamp;
use relay_proto::behaviour::identity::Identity;
use relay_proto::behaviour::{Counts, CustomerKey};
use tracing::info;

use super::Behaviour;
use super::locks::Lock;
use super::shapes::{
    CustomerShown, HourShown, IdentityShown, LimitShown, LockOrder, UnlockDone, UnlockOrder,
};

/// What is wrong with a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

impl Behaviour {
    /// The customers with the most messages of the last hour.
    #[must_use]
    pub fn show_busiest(&self) -> Vec<HourShown> {
        let busiest = self.busiest(BUSIEST);
        let shown = busiest.iter().map(|(key, counts)| hour(*key, counts));
        shown.collect()
    }

    /// One customer; `None` if nothing is known of it.
    pub fn show(&self, customer: &str) -> Result<Option<CustomerShown>, Wrong> {
        let Some((key, figures, limits_name)) = self.figures(address(customer)?) else {
            return Ok(None);
        };
        let limits = figures.used.into_iter().map(|(name, used, limit)| {
            let name = name.to_string();
            LimitShown { name, used, limit }
        });
        let identities = figures
            .sites
            .iter()
            .map(|(identity, counts)| IdentityShown {
                identity: identity.to_string(),
                messages: counts.messages,
                recipients: counts.recipients,
                octets: counts.octets,
            });
        Ok(Some(CustomerShown {
            hour: hour(key, &figures.counts),
            distinct_recipients: figures.distinct_recipients,
            distinct_senders: figures.distinct_senders,
            limits_name: limits_name.map(String::from),
            limits: limits.collect(),
            identities: identities.collect(),
        }))
    }

    /// Locks a site. Durable when it returns; blocks on the disk.
    pub fn order_lock(&self, order: &LockOrder) -> Result<Lock, Wrong> {
        let now = Timestamp::now();
        let reason = order.reason.trim();
        let printable = reason.chars().all(|c| (' '..='~').contains(&c));
        if reason.is_empty() || reason.len() > REASON_OCTETS_MAX || !printable {
            let problem = format!(
                "a lock has a reason of 1 to {REASON_OCTETS_MAX} printable ASCII characters, which the sender reads"
            );
            return Err(Wrong(problem));
        }
        if order.until.is_some_and(|until| until <= now) {
            return Err(Wrong("the lock would have ended already".to_owned()));
        }
        let lock = Lock {
            identity: name(&order.identity)?,
            customer: self.customer(order.customer.as_deref())?,
            reason: reason.to_owned(),
            since: now,
            until: order.until,
        };
        self.locks()
            .lock(lock.clone())
            .map_err(|error| Wrong(format!("cannot be kept, and is not in force: {error}")))?;
        info!(identity = lock.identity, customer = lock.customer, reason, until = ?lock.until, "locked by a person");
        Ok(lock)
    }

    /// Unlocks a site. Durable when it returns; blocks on the disk.
    pub fn order_unlock(&self, order: &UnlockOrder) -> Result<UnlockDone, Wrong> {
        let (identity, customer) = (
            name(&order.identity)?,
            self.customer(order.customer.as_deref())?,
        );
        let changed = self
            .locks()
            .unlock(&identity, customer.as_deref())
            .map_err(|error| Wrong(format!("cannot be kept, and is not in force: {error}")))?;
        info!(identity, customer, changed, "unlocked by a person");
        Ok(UnlockDone { changed })
    }

    fn customer(&self, text: Option<&str>) -> Result<Option<String>, Wrong> {
        let key = |text| {
            let address = address(text)?;
            Ok(CustomerKey::of(address, self.config().ipv6_prefix).to_string())
        };
        text.map(key).transpose()
    }
}

/// As it is typed, or as it is shown.
fn address(text: &str) -> Result<IpAddr, Wrong> {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse().map_err(|_error| {
        let problem = "not a customer, as 192.0.2.10 or 2001:db8:a:a::10";
        Wrong(format!("{text}: {problem}"))
    })
}

fn name(text: &str) -> Result<String, Wrong> {
    let clean = Identity::clean(text).map(|name| name.to_string());
    // What was cut or replaced might be another's name.
    clean.filter(|clean| clean == text).ok_or_else(|| {
        Wrong(format!(
            "{text:?}: not a name of an identity, as ls shows it"
        ))
    })
}

fn hour(key: CustomerKey, counts: &Counts) -> HourShown {
    HourShown {
        customer: key.to_string(),
        connections: counts.connections,
        messages: counts.messages,
        recipients: counts.recipients,
        octets: counts.octets,
        answers: counts.answers(),
        unknown_share: counts.unknown_share(),
        refused_share: counts.refused_share(),
        spam: counts.spam,
        limited: counts.limited,
    }
}

/// A screen or two.
const BUSIEST: usize = 50;
/// It shares one line with the name, the URL and the customer (RFC 5321 section 4.5.3.1.5).
const REASON_OCTETS_MAX: usize = 120;
