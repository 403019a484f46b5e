//! Messages that the relay has answered 250 to and must deliver: on disk, whatever happens to the process.
//!
//! [`Spool::open`] is called once, before anything is taken; its [`Recovered`] names what an earlier run has left to
//! do. [`Spool::store`] returns when a message is durable, and only then the sender may hear 250. [`Spool::finish`]
//! says that recipients need no more attempts; when all of a message are done, it is gone. A message is found by its
//! [`QueueId`] wherever the spool has moved it.
//!
//! # Diagnostics
//! Returned: [`OpenError`], [`StoreError`], [`ReadError`]. Logged: what a person must act upon (a disk that fails, a
//! damaged record), once each; [`Spool::health`] has the state and the counts.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use relay_proto::queued::{QueueId, Queued, UnixMillis};
use relay_proto::record::{Extent, Kind, envelope};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::spawn_blocking;

use crate::config::SpoolConfig;
use crate::message::Message;

mod active;
mod catalogue;
mod contents;
mod damage;
mod engine;
mod error;
mod groups;
mod health;
pub mod inspect;
mod large;
mod life;
mod lock;
mod recover;
mod storage;
mod survey;
#[cfg(test)]
mod tests;

use active::Draft;
use engine::{Engine, Outcome, Terms, Wish};
pub use error::{OpenError, ReadError, StoreError};
use groups::{Groups, Request, Threads};
pub use health::{Accepting, Health};
use large::LargeFile;
use life::Secret;
use lock::Lock;
pub use recover::Recovered;
use storage::Disk;

/// A spool directory that this process has for itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Inner>);

/// Whether a spool's writing goes on. Does not keep the spool open.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Groups>);

#[derive(Debug)]
struct Inner {
    /// They end before the lock is given back.
    _threads: Threads,
    engine: Arc<Engine>,
    groups: Arc<Groups>,
    large_octets: u64,
    /// Kibibytes of memory that messages may take while they are written.
    memory: Semaphore,
    _lock: Lock,
}

/// What the queue holds of a message that is in the spool. The place is the spool's own business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name, by which everything else is asked.
    pub id: QueueId,
    /// Octets of its content.
    pub octets: u64,
}

/// A message that an earlier run has left to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    /// What to hold of it.
    pub kept: Kept,
    /// All of it but its content.
    pub queued: Queued,
    /// Indices of its recipients that are not done; never empty.
    pub pending: Vec<usize>,
}

/// A message to be attempted.
#[derive(Clone, Debug)]
pub struct Opened {
    /// All of it but its content.
    pub queued: Queued,
    /// Indices of its recipients that are not done; never empty.
    pub pending: Vec<usize>,
    /// Its content as it was received, proven whole; without [`Queued::trace`].
    pub content: Message,
}

impl Spool {
    /// Opens or makes the spool, and finds what is in it. Blocks.
    pub fn open(config: &SpoolConfig) -> Result<(Self, Recovered), OpenError> {
        let failed = |file: &str| {
            let file = config.dir.join(file);
            move |source| OpenError::Io { file, source }
        };
        let disk = Disk::make(&config.dir).map_err(failed(""))?;
        let lock = Lock::take(&config.dir)?;
        let mut secret = [0; 32];
        File::open(RANDOM)
            .and_then(|mut random| random.read_exact(&mut secret))
            .map_err(failed(RANDOM))?;
        let terms = Terms {
            segment_octets: config.segment_octets.into(),
            max_octets: config.max_octets,
        };
        let (engine, recovered) = recover::open(Arc::new(disk), terms, Secret(secret))?;
        let groups = Arc::new(Groups::default());
        let threads = Threads::start(&groups, &engine, config.linger).map_err(failed(""))?;
        let spool = Self(Arc::new(Inner {
            _threads: threads,
            engine,
            groups,
            large_octets: config.large_octets.into(),
            memory: Semaphore::new(MEMORY_KIBIBYTES as usize),
            _lock: lock,
        }));
        Ok((spool, recovered))
    }

    /// A name that no message of this spool has or had.
    #[must_use]
    pub fn next_id(&self, now: UnixMillis) -> QueueId {
        self.0.engine.next_id(now)
    }

    /// A name for a message of another spool: its own where that is later than all that this spool has or had, so that it
    /// cannot have been used here, and is not of a clock that goes wrong; else a new one.
    #[must_use]
    pub(crate) fn adopted_id(&self, foreign: QueueId, now: UnixMillis) -> QueueId {
        self.0.engine.adopted_id(foreign, now)
    }

    /// Names of all messages that are not done, oldest first.
    pub(crate) fn names(&self) -> Vec<QueueId> {
        self.0.engine.catalogue().names()
    }

    /// Whether a message is here that is not done.
    pub(crate) fn has(&self, id: QueueId) -> bool {
        self.0.engine.catalogue().slot(id).is_some()
    }

    /// Keeps a message; durable when it returns `Ok`. A caller that goes away takes it back.
    pub async fn store(&self, queued: &Queued, content: &Message) -> Result<Kept, StoreError> {
        let _memory = self.memory(&[content]).await;
        let drafted = self.draft(queued, content).await?;
        let kept = Kept {
            id: queued.id,
            octets: content.octets(),
        };
        self.keep(vec![drafted], Vec::new()).await.map(|()| kept)
    }

    /// Keeps messages, all or none, and only then ends others: a notification, and the end of what it is about. A
    /// crash may leave both, never neither. `None` for the recipients = all of them.
    pub async fn store_and_finish(
        &self,
        new: &[(Queued, Message)],
        done: &[(QueueId, Option<&[usize]>)],
    ) -> Result<Vec<Kept>, StoreError> {
        let contents: Vec<&Message> = new.iter().map(|(_, content)| content).collect();
        let _memory = self.memory(&contents).await;
        let mut drafted = Vec::with_capacity(new.len());
        for (queued, content) in new {
            drafted.push(self.draft(queued, content).await?);
        }
        let done = done.iter().map(|(id, some)| (*id, some.map(<[_]>::to_vec)));
        self.keep(drafted, done.collect()).await?;
        let kept = new.iter().map(|(queued, content)| Kept {
            id: queued.id,
            octets: content.octets(),
        });
        Ok(kept.collect())
    }

    /// These recipients need no more attempts. Written with the next group, or a moment later without one; a crash
    /// before makes another attempt at them. What is unknown or already done is passed over.
    pub fn finish(&self, id: QueueId, recipients: &[usize]) {
        self.end(id, Some(recipients));
    }

    /// All recipients need no more attempts.
    pub fn finish_all(&self, id: QueueId) {
        self.end(id, None);
    }

    /// Returns when everything that was said to be done before is durable, or cannot be made so.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.submit(Wish::Carry(Vec::new()), Vec::new(), Vec::new())
            .await
    }

    /// A message with its content, which is read once to prove it whole.
    pub async fn read(&self, id: QueueId) -> Result<Opened, ReadError> {
        let engine = Arc::clone(&self.0.engine);
        spawn_blocking(move || engine.read(id))
            .await
            .map_err(io::Error::from)?
    }

    /// A message without its content, and its pending recipients: cheaper.
    pub async fn envelope(&self, id: QueueId) -> Result<(Queued, Vec<usize>), ReadError> {
        let engine = Arc::clone(&self.0.engine);
        spawn_blocking(move || engine.envelope(id))
            .await
            .map_err(io::Error::from)?
    }

    /// State and counts.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.engine.health()
    }

    /// By which somebody else sees that it writes.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse(Arc::clone(&self.0.groups))
    }

    fn end(&self, id: QueueId, recipients: Option<&[usize]>) {
        if self.0.engine.catalogue().finish(id, recipients) {
            self.0.groups.wake();
        }
    }

    /// Waits until these may be held in memory.
    async fn memory(&self, contents: &[&Message]) -> Option<SemaphorePermit<'_>> {
        let held = |content: &&Message| {
            let large = content.octets() > self.0.large_octets;
            if large { 0 } else { content.octets() }
        };
        let kibibytes = contents.iter().map(held).sum::<u64>() / 1024 + 1;
        let kibibytes = u32::try_from(kibibytes).unwrap_or(u32::MAX);
        let permits = self.0.memory.acquire_many(kibibytes.min(MEMORY_KIBIBYTES));
        // It is never closed.
        permits.await.ok()
    }

    async fn draft(&self, queued: &Queued, content: &Message) -> Result<Drafted, StoreError> {
        let envelope = envelope::encode(queued);
        let mut draft = Draft {
            kind: Kind::Message,
            id: Some(queued.id),
            recipients: u32::try_from(queued.recipients.len()).unwrap_or(u32::MAX),
            envelope: Extent::of(&envelope),
            content: Extent::default(),
            body: envelope,
        };
        let mut file = None;
        if content.octets() > self.0.large_octets {
            let (written, content) = LargeFile::write(&self.0.engine, queued.id, content).await?;
            draft.kind = Kind::MessageInFile;
            draft.content = content;
            file = Some(written);
        } else {
            let front = draft.body.len();
            let body = content.append_to(std::mem::take(&mut draft.body)).await;
            draft.body = body.map_err(|error| StoreError::Io(Arc::new(error)))?;
            draft.content = Extent::of(&draft.body[front..]);
        }
        Ok(Drafted { draft, file })
    }

    async fn keep(
        &self,
        drafted: Vec<Drafted>,
        done: Vec<(QueueId, Option<Vec<usize>>)>,
    ) -> Result<(), StoreError> {
        let ids = drafted.iter().filter_map(|it| it.draft.id).collect();
        let (mut drafts, mut files) = (Vec::new(), Vec::new());
        for drafted in drafted {
            drafts.push(drafted.draft);
            files.extend(drafted.file);
        }
        self.submit(Wish::Store { drafts, done }, files, ids).await
    }

    async fn submit(&self, wish: Wish, files: Vec<LargeFile>, ids: Vec<QueueId>) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let mut waiter = Waiter {
            spool: self,
            ids: ids.clone(),
            outcome,
        };
        self.0.groups.submit(Request {
            wish,
            files,
            ids,
            answer,
        });
        let outcome = (&mut waiter.outcome).await;
        waiter.ids.clear();
        outcome.unwrap_or(Err(StoreError::Full))
    }
}

impl Pulse {
    /// Returns when the thread that writes has turned once more: at once while there is nothing to write, not before the
    /// disk has answered otherwise, and never if the thread has ended. A disk that fails is one that answers.
    pub async fn beat(&self) {
        self.0.turn().await;
    }
}

/// A message that is ready to be written.
#[derive(Debug)]
struct Drafted {
    draft: Draft,
    file: Option<LargeFile>,
}

/// Waits for messages to be written. If it goes away, they are nobody's.
struct Waiter<'a> {
    spool: &'a Spool,
    ids: Vec<QueueId>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        // From here on the leader sees that nobody waits; what it has said before is still here.
        self.outcome.close();
        if matches!(self.outcome.try_recv(), Ok(Ok(()))) {
            for &id in &self.ids {
                self.spool.finish_all(id);
            }
        }
    }
}

/// What messages may take together while they are written.
const MEMORY_KIBIBYTES: u32 = 64 << 10;
const RANDOM: &str = "/dev/urandom";
