//! Quarantine: copies of refused messages, kept as evidence and to be released.
//!
//! [`Quarantine::keep`] is called with what a verdict has refused, before the sender hears that; whatever becomes of the
//! copy, the sender hears the same. What is kept follows the customer's tier: metadata with redacted addresses, the
//! header section, redacted, too, and envelope and content sealed for the abuse desk ([`seal`]), which this host cannot
//! open again. People come by the [`desk`]: each view and each act is in the audit log before it happens.
//!
//! The number of copies, their octets, those of one customer in an hour and those that are being written at the same time are
//! bounded: what a customer sends can fill none of them for another but the whole.
//!
//! # Diagnostics
//! Returned at the start: a store that cannot be opened. Logged: a copy that was not kept (`warn`), what was set aside
//! because a crash had left it half written or because nobody can read it (`warn`), an audit log that does not prove itself
//! (`error`; nobody is shown anything until a person has looked at it).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use contract::Tier;
use jiff::Timestamp;
use relay_proto::queued::{QueueId, Queued};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{error, warn};

use crate::allowance::Allowance;
use crate::config::{Config, QuarantineConfig};
use crate::listen::limits::counted_as;
use crate::message::Message;
use crate::metrics::{Counter, Metrics};
use crate::origin::CustomerAddr;
use crate::privacy::Redactor;
use crate::reporting::Reporter;

mod audit;
pub mod desk;
mod index;
mod keep;
mod rebuild;
mod record;
mod retention;
pub mod seal;
mod sealed;
pub mod shapes;
mod store;
mod text;

pub use audit::log;
use audit::{Act, Audit, State, States};
use index::Index;
use record::RecordId;
pub use sealed::without_envelope;
use store::Store;

/// All that is kept.
pub(crate) struct Quarantine {
    store: Store,
    index: RwLock<Index>,
    /// All of the store has been read.
    is_complete: AtomicBool,
    /// `None` = it cannot be trusted, or written. Its disk is written to on blocking threads alone.
    audit: Arc<Mutex<Option<Audit>>>,
    /// What the log said at the start, for records that are read later.
    states: Mutex<States>,
    config: QuarantineConfig,
    redactor: Arc<Redactor>,
    /// Copies of each customer (IPv6: of each /64).
    allowance: Allowance<IpAddr>,
    /// Of copies that are being written.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// Tells the controller what is kept, and what people do with it.
    reporter: Reporter,
    opened_at: Timestamp,
}

/// A message that was refused, and why.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// Its name in the log.
    pub(crate) id: String,
    /// As it would have gone into the queue.
    pub(crate) queued: Queued,
    /// Whose it is.
    pub(crate) customer: CustomerAddr,
    /// Who inside of the customer has sent it.
    pub(crate) identity: Option<String>,
    /// One word.
    pub(crate) verdict: &'static str,
    /// What its sender reads.
    pub(crate) reason: String,
    /// What the scanners saw.
    pub(crate) reasons: Vec<String>,
    /// Each scanner in a word.
    pub(crate) scanners: String,
    /// What may be kept of it.
    pub(crate) tier: Tier,
    /// What near-duplicates have nearly alike.
    pub(crate) simhash: Option<u64>,
    /// What the customer wrote.
    pub(crate) content: Message,
}

impl Quarantine {
    /// Opens the store of the configuration, if there is one. Blocks on the disk.
    pub(crate) fn open(
        config: &Config,
        redactor: Arc<Redactor>,
        metrics: Arc<Metrics>,
        reporter: Reporter,
    ) -> io::Result<Option<Arc<Self>>> {
        let Some(quarantine) = config.quarantine.clone() else {
            return Ok(None);
        };
        if quarantine.recipients.is_empty() {
            warn!(
                "quarantine.recipients is empty: contents of refused messages are not kept, and nothing can be released"
            );
        }
        let store = Store::open(&quarantine.dir)?;
        let (audit, states) = open_audit(&audit_file(&config.state_dir));
        Ok(Some(Arc::new(Self {
            store,
            index: RwLock::default(),
            is_complete: AtomicBool::new(false),
            audit: Arc::new(Mutex::new(audit)),
            states: Mutex::new(states),
            allowance: Allowance::new(quarantine.per_customer_per_hour),
            config: quarantine,
            redactor,
            places: Arc::new(Semaphore::new(PLACES)),
            metrics,
            reporter,
            opened_at: Timestamp::now(),
        })))
    }

    /// Settles what was being released when an earlier run ended: what is in the queue was released, what is not was not.
    /// To be called before anything of the queue is delivered. Blocks on the disk.
    pub(crate) fn settle(&self, is_queued: impl Fn(QueueId) -> bool) {
        let releasing = std::mem::take(&mut lock(&self.states).releasing);
        for (id, queue_id) in releasing {
            let queue_id = (is_queued(queue_id), queue_id.to_string());
            let (act, state) = match queue_id {
                (true, queue_id) => (Act::Released { queue_id }, State::Released),
                (false, _) => (Act::Abandoned, State::Kept),
            };
            let mut audit = lock(&self.audit);
            let Some(audit) = audit.as_mut() else { return };
            if let Err(error) = audit.append(Timestamp::now(), "relay", &id, act, RESTARTED) {
                error!(%error, record.id = %id, "cannot note what became of a release");
                continue;
            }
            lock(&self.states).of.insert(id, state);
        }
    }

    /// Keeps a copy, as far as its tier allows, or counts that there is none. The caller may go away meanwhile.
    pub(crate) async fn keep(self: &Arc<Self>, evidence: Evidence) {
        if evidence.tier == Tier::None {
            return;
        }
        let not_kept = |why: &str| {
            self.metrics.count(Counter::NotKept);
            warn!(queue.id = %evidence.id, error = why, "no copy of a refused message was kept");
        };
        if !self
            .allowance
            .take(counted_as(evidence.customer), Instant::now())
        {
            return not_kept("its customer has had its share of this hour");
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return not_kept("too many copies are being written");
        };
        let quarantine = Arc::clone(self);
        let keeping = tokio::spawn(Box::pin(async move {
            let name = evidence.id.clone();
            match quarantine.write(evidence).await {
                Ok(octets) => {
                    quarantine.metrics.count(Counter::Kept);
                    quarantine.metrics.add(Counter::KeptOctets, octets);
                }
                Err(error) => {
                    quarantine.metrics.count(Counter::NotKept);
                    warn!(queue.id = %name, %error, "no copy of a refused message was kept");
                }
            }
            drop(place);
        }));
        // A disk that is slow makes the sender wait for a moment, and then goes on by itself.
        if let Ok(Err(panicked)) = timeout(PATIENCE, keeping).await {
            self.metrics.count(Counter::NotKept);
            error!(error = %panicked, "keeping a copy has ended in a panic, which is a bug of ours");
        }
    }

    /// Writes down what a person does, before it is done.
    async fn note(&self, actor: &str, id: &RecordId, act: Act, reason: &str) -> io::Result<()> {
        let audit = Arc::clone(&self.audit);
        let (actor, id, reason) = (actor.to_owned(), id.clone(), reason.to_owned());
        let noting = tokio::task::spawn_blocking(move || match lock(&audit).as_mut() {
            Some(audit) => audit.append(Timestamp::now(), &actor, &id, act, &reason),
            None => {
                let what = "the audit log does not prove itself; the relay's log says where";
                Err(io::Error::other(what))
            }
        });
        noting.await??;
        Ok(())
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }
}

/// Where people's acts stand: see [`log`].
#[must_use]
pub fn audit_file(state_dir: &Path) -> PathBuf {
    state_dir.join(AUDIT_FILE)
}

fn open_audit(path: &Path) -> (Option<Audit>, States) {
    match Audit::open(path) {
        Ok((audit, states)) => (Some(audit), states),
        Err(error) => {
            error!(%error, "the audit log of the quarantine cannot be trusted: nothing is shown or released until a person has looked at it (outgate-relay quarantine audit --verify), and moved it away");
            (None, States::default())
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quarantine")
            .field("store", &self.store)
            .field("records", &self.index().len())
            .finish_non_exhaustive()
    }
}

/// In `state_dir`.
const AUDIT_FILE: &str = "quarantine.audit";
/// Each holds one part of a copy in memory: some 2 MiB.
const PLACES: usize = 32;
/// A refused sender waits at most so long for its copy to be on disk.
const PATIENCE: Duration = Duration::from_secs(5);
const RESTARTED: &str = "found at the start";

#[cfg(test)]
mod tests;
