//! Look-ups in the DNS by the resolvers of this host.
//!
//! A stub: aliases are followed by the resolver, signatures are checked by it, and [`Answer::secure`] is its word
//! that they were (the AD bit), believed only from loopback or where the operator says so. Without a resolver that
//! validates nothing is ever secure; that is found out by [`Dns::watch`] and said.
//!
//! `hickory_proto` writes and reads the messages. The look-ups are ours because its resolver does not ask
//! for AD without validating by itself, and loses AD in negative answers.
//!
//! # Diagnostics
//! Returned: [`Failure`]. It is never "there is none": who cannot tell must not be taken for that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::config::DnsConfig;

mod answer;
mod cache;
mod exchange;
mod message;
mod name;
mod servers;
mod validation;

pub(crate) use answer::{Answer, Data};
use cache::Cache;
use message::{Question, Reading};
pub use name::{DnsName, NotAName};
use servers::Servers;
use validation::Validation;

/// Asks, and remembers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Dns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: DnsConfig,
    servers: Mutex<Arc<Servers>>,
    cache: Mutex<Cache>,
    validation: Validation,
    /// Questions that may be open at once; each has a socket.
    room: Semaphore,
}

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
    Cname,
    Mx,
    Tlsa,
    Txt,
}

/// An answer that holds.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) answer: Arc<Answer>,
    /// Until when.
    pub(crate) until: Instant,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The operator wants nobody to be asked.
    #[error("no resolver is configured")]
    NoResolver,
    /// The resolver cannot tell: the domain's own servers are away, or what they say is forged.
    #[error("the resolver cannot tell (SERVFAIL)")]
    CannotTell,
    /// No resolver has answered.
    #[error("no resolver answers")]
    Silent,
}

impl Dns {
    /// Asks nobody before the first look-up.
    pub(crate) fn new(config: &DnsConfig) -> Self {
        Self(Arc::new(Inner {
            config: config.clone(),
            servers: Mutex::new(Arc::new(Servers::of(config))),
            cache: Mutex::new(Cache::new(CACHE_OCTETS_MAX)),
            validation: Validation::default(),
            room: Semaphore::new(OPEN_MAX),
        }))
    }

    /// Whether there is anybody to ask.
    pub(crate) fn asks_somebody(&self) -> bool {
        !lock(&self.0.servers).addresses.is_empty()
    }

    /// What the DNS says.
    pub(crate) async fn look_up(&self, name: &DnsName, kind: Kind) -> Result<Found, Failure> {
        let key = (name.clone(), kind.record_type());
        if let Some(known) = lock(&self.0.cache).get(&key) {
            return known;
        }
        let (result, holds) = match self.ask(Some(name), key.1).await {
            Ok((answer, holds)) => (Ok(Arc::new(answer)), holds),
            Err(failure) => {
                debug!(name = %name, ?kind, error = %failure, "look-up failed");
                (Err(failure), FAILURE_HOLDS)
            }
        };
        let until = Instant::now() + holds;
        lock(&self.0.cache).put(&key, result.clone(), until);
        result.map(|answer| Found { answer, until })
    }

    /// Rounds over the resolvers, within the deadline.
    async fn ask(
        &self,
        name: Option<&DnsName>,
        kind: RecordType,
    ) -> Result<(Answer, Duration), Failure> {
        let deadline = Instant::now() + self.0.config.deadline;
        let servers = Arc::clone(&lock(&self.0.servers));
        if servers.addresses.is_empty() {
            return Err(Failure::NoResolver);
        }
        let room = timeout_at(deadline, self.0.room.acquire()).await;
        let Ok(Ok(_room)) = room else {
            return Err(Failure::Silent);
        };
        let mut failure = Failure::Silent;
        for _round in 0..ROUNDS {
            for &server in &servers.addresses {
                let Ok(question) = Question::new(name, kind) else {
                    return Err(Failure::CannotTell);
                };
                let left = deadline.saturating_duration_since(Instant::now());
                // Half of what is left, because a domain's own servers may be slow, and another resolver quicker.
                let patience = (left / 2).max(PATIENCE_MIN).min(left);
                match timeout(patience, exchange::ask(server, &question)).await {
                    Ok(Ok(Reading::Answer(mut answer, holds))) => {
                        answer.secure &= servers.trusted;
                        return Ok((answer, holds));
                    }
                    Ok(Ok(Reading::Failed(code))) => {
                        debug!(server = %server, ?code, "resolver cannot tell");
                        failure = Failure::CannotTell;
                    }
                    Ok(Ok(Reading::Foreign | Reading::Truncated)) | Err(_) => {}
                    Ok(Err(error)) => debug!(server = %server, %error, "resolver not reached"),
                }
            }
            // It has tried as hard as it could.
            if failure == Failure::CannotTell {
                break;
            }
        }
        Err(failure)
    }
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Cname => RecordType::CNAME,
            Self::Mx => RecordType::MX,
            Self::Tlsa => RecordType::TLSA,
            Self::Txt => RecordType::TXT,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some tens of thousands of answers.
const CACHE_OCTETS_MAX: usize = 32 << 20;
/// A question that failed is not asked again at once (RFC 9520 section 3.2).
const FAILURE_HOLDS: Duration = Duration::from_secs(10);
const ROUNDS: usize = 2;
const PATIENCE_MIN: Duration = Duration::from_secs(1);
const OPEN_MAX: usize = 256;
