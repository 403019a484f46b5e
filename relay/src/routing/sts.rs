//! MTA-STS (RFC 8461): policies of domains, fetched over HTTPS, and kept for as long as they say.
//!
//! [`Sts::policy`] answers from what is kept while the domain's TXT record has the same id, or is not there: whoever can
//! suppress that record must not be able to make a policy vanish. A fetch goes on when the asker has stopped waiting.
//! Policies are on disk, so that a restart forgets none.
//!
//! # Diagnostics
//! A policy that cannot be fetched is counted (`sts-policy-fetch-error`) and logged at `info`; the domain is then
//! treated by the policy before, or as if it had none (RFC 8461 section 5.1).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::dns::{Data, Dns, DnsName, Kind};
use crate::outbound::Trust;
use crate::outbound::requirement::{Policy as PolicyKind, Subject};
use crate::outbound::results::Results;

mod fetch;
mod kept;
mod text;

use fetch::Fetcher;
use kept::{Kept, Known};
pub(super) use text::Policy;

/// Policies. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dns: Dns,
    fetcher: Fetcher,
    file: PathBuf,
    kept: Mutex<Kept>,
    /// Domains whose policy is being fetched.
    fetching: Mutex<HashSet<DnsName>>,
    /// Says when one has been.
    fetched: watch::Sender<u64>,
    room: Arc<Semaphore>,
    results: Results,
}

impl Sts {
    /// With what `directory` holds from before.
    pub(super) fn open(directory: &Path, dns: Dns, trust: &Trust, results: Results) -> Self {
        let file = directory.join("mta-sts.json");
        let kept = Kept::load(&file).unwrap_or_else(|error| {
            let aside = file.with_extension("damaged");
            let put_aside = std::fs::rename(&file, &aside).is_ok();
            warn!(file = %file.display(), %error, put_aside, "MTA-STS policies cannot be read, fetching anew");
            Kept::default()
        });
        Self(Arc::new(Inner {
            fetcher: Fetcher::new(dns.clone(), trust),
            dns,
            file,
            kept: Mutex::new(kept),
            fetching: Mutex::default(),
            fetched: watch::Sender::new(0),
            room: Arc::new(Semaphore::new(FETCHES_MAX)),
            results,
        }))
    }

    /// The policy of `domain` that is to be followed now: in mode `enforce` or `testing`.
    pub(super) async fn policy(&self, domain: &DnsName) -> Option<Arc<Policy>> {
        let id = self.published(domain).await;
        let known = self.kept().get(domain);
        let policy = match (id, known) {
            // Nothing is published, or the DNS cannot tell.
            (None, known) => known.and_then(Known::policy),
            (Some(id), Some(known)) if known.holds_for(&id) => {
                if known.is_stale() {
                    self.fetch(domain, &id);
                }
                known.policy()
            }
            (Some(id), _) => {
                let mut fetched = self.0.fetched.subscribe();
                self.fetch(domain, &id);
                let done = async {
                    while self.fetching().contains(domain) {
                        if fetched.changed().await.is_err() {
                            return;
                        }
                    }
                };
                // Too late for this message, but not for the next.
                let _in_time = timeout(PATIENCE, done).await.is_ok();
                self.kept().get(domain).and_then(Known::policy)
            }
        };
        policy.filter(|policy| policy.is_followed())
    }

    /// Whether `domain` has announced a policy, or the DNS cannot tell that it has not.
    pub(super) async fn may_be_announced(&self, domain: &DnsName) -> bool {
        let Some(name) = domain.below("_mta-sts") else {
            return false;
        };
        let is_known = self.0.dns.look_up(&name, Kind::Txt).await.is_ok();
        !is_known || self.published(domain).await.is_some()
    }

    /// The id of the TXT record (RFC 8461 section 3.1).
    async fn published(&self, domain: &DnsName) -> Option<String> {
        let name = domain.below("_mta-sts")?;
        let found = self.0.dns.look_up(&name, Kind::Txt).await.ok()?;
        let texts = found.answer.data().iter().filter_map(|data| match data {
            Data::Text(text) => std::str::from_utf8(text).ok(),
            Data::Address(_) | Data::Exchanger { .. } | Data::Tlsa { .. } | Data::Other => None,
        });
        text::id(texts)
    }

    /// Fetches the policy, unless that is being done, or failed a moment ago.
    fn fetch(&self, domain: &DnsName, id: &str) {
        if self.kept().has_just_failed(domain, id) {
            return;
        }
        let Ok(room) = Arc::clone(&self.0.room).try_acquire_owned() else {
            return;
        };
        if !self.fetching().insert(domain.clone()) {
            return;
        }
        let (this, domain, id) = (self.clone(), domain.clone(), id.to_owned());
        tokio::spawn(async move {
            let fetched = this.0.fetcher.fetch(&domain).await;
            match fetched {
                Ok(policy) => this.kept().put(&domain, &id, policy),
                Err(why) => {
                    info!(%domain, error = %why, "MTA-STS policy not fetched");
                    let subject = Subject {
                        domain: domain.clone(),
                        policy: PolicyKind::Sts,
                        host: None,
                    };
                    this.0.results.note(&subject, why.name());
                    this.kept().failed(&domain, &id);
                }
            }
            this.fetching().remove(&domain);
            this.0
                .fetched
                .send_modify(|count| *count = count.wrapping_add(1));
            drop(room);
        });
    }

    /// Writes now and then what has changed, for ever.
    pub(super) async fn keep(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let this = self.clone();
            // It waits for the disk.
            if let Err(error) = tokio::task::spawn_blocking(move || this.save()).await {
                error!(%error, "keeping MTA-STS policies ended by a bug of ours");
            }
        }
    }

    /// Writes what has changed.
    pub(super) fn save(&self) {
        let Some(text) = self.kept().changed() else {
            return;
        };
        if let Err(error) = crate::durable::replace(&self.0.file, &text) {
            self.kept().try_again();
            warn!(file = %self.0.file.display(), %error, "MTA-STS policies are not kept, trying again");
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetching(&self) -> MutexGuard<'_, HashSet<DnsName>> {
        self.0
            .fetching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long mail waits for a policy that is not known yet.
const PATIENCE: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(60);
const FETCHES_MAX: usize = 32;
