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

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use relay_proto::queued::{QueueId, Queued, UnixMillis};

use crate::config::SpoolConfig;
use crate::message::Message;

/// A spool directory that this process has for itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner;

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

/// Why a message is not in the spool.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk, or within `spool.max_octets`. The sender is told 452 4.3.1.
    #[error("the spool is full")]
    Full,
    /// The disk failed, perhaps after the message was written: it must not be taken for stored. The sender is told
    /// 452 4.3.1.
    #[error("the spool's disk failed: {0}")]
    Io(Arc<io::Error>),
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not in the spool, or all of its recipients are done.
    #[error("no such message in the spool")]
    NotFound,
    /// What is on disk is not what was written; a copy is in `corrupt`.
    #[error("the message is damaged on disk")]
    Damaged,
    /// The disk failed.
    #[error("the spool's disk failed: {0}")]
    Io(#[from] io::Error),
}

/// Why there is no spool.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{}: another process has this spool open", dir.display())]
    Locked {
        /// The spool.
        dir: PathBuf,
    },
    /// It was written by a later version of this program.
    #[error("{}: written by a later version of outgate-relay", file.display())]
    Newer {
        /// The first such file.
        file: PathBuf,
    },
    /// The disk failed.
    #[error("{}: {source}", file.display())]
    Io {
        /// What was to be read or written.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Whether the spool takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// It does.
    Yes,
    /// There is no room; what is done is still written down.
    Full,
    /// The disk failed at the last attempt to write.
    Broken,
}

/// State of a spool and what it has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes messages.
    pub accepting: Accepting,
    /// Messages that are to be delivered.
    pub messages: u64,
    /// Octets that it occupies on the disk.
    pub octets: u64,
    /// Octets that it may occupy.
    pub max_octets: u64,
    /// Messages that it has taken since the start.
    pub stored: u64,
    /// Messages that it could not take.
    pub refused: u64,
    /// Groups that were committed, each with one sync.
    pub groups: u64,
    /// Writes and syncs that failed.
    pub write_errors: u64,
    /// Damaged records that were copied to `corrupt`.
    pub damaged: u64,
}

/// What an earlier run has left, oldest first. While this lives, the spool frees nothing.
#[derive(Debug)]
pub struct Recovered(());

impl Iterator for Recovered {
    type Item = Result<Living, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

impl Recovered {
    /// How many there are.
    #[must_use]
    pub fn messages(&self) -> usize {
        0
    }
}

impl Spool {
    /// Opens or makes the spool, and finds what is in it. Blocks.
    pub fn open(_config: &SpoolConfig) -> Result<(Self, Recovered), OpenError> {
        Ok((Self(Arc::new(Inner)), Recovered(())))
    }

    /// A name that no message of this spool has or had.
    #[must_use]
    pub fn next_id(&self, now: UnixMillis) -> QueueId {
        QueueId::after(None, now)
    }

    /// Keeps a message; durable when it returns `Ok`. A caller that goes away does not take it back.
    pub async fn store(&self, queued: &Queued, content: &Message) -> Result<Kept, StoreError> {
        let _ = (queued, content);
        Err(StoreError::Full)
    }

    /// Keeps messages and ends others, all of it or nothing: a notification, and the end of what it is about.
    /// `None` for the recipients = all of them.
    pub async fn store_and_finish(
        &self,
        new: &[(Queued, Message)],
        done: &[(QueueId, Option<&[usize]>)],
    ) -> Result<Vec<Kept>, StoreError> {
        let _ = (new, done);
        Err(StoreError::Full)
    }

    /// These recipients need no more attempts. Written with the next group, or a moment later without one; a crash
    /// before makes another attempt at them. What is unknown or already done is passed over.
    pub fn finish(&self, id: QueueId, recipients: &[usize]) {
        let _ = (id, recipients);
    }

    /// All recipients need no more attempts.
    pub fn finish_all(&self, id: QueueId) {
        let _ = id;
    }

    /// Returns when everything that was said to be done before is durable, or cannot be made so.
    pub async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// A message with its content, which is read once to prove it whole.
    pub async fn read(&self, id: QueueId) -> Result<Opened, ReadError> {
        let _ = id;
        Err(ReadError::NotFound)
    }

    /// A message without its content, and its pending recipients: cheaper.
    pub async fn envelope(&self, id: QueueId) -> Result<(Queued, Vec<usize>), ReadError> {
        let _ = id;
        Err(ReadError::NotFound)
    }

    /// State and counts.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            accepting: Accepting::Yes,
            messages: 0,
            octets: 0,
            max_octets: 0,
            stored: 0,
            refused: 0,
            groups: 0,
            write_errors: 0,
            damaged: 0,
        }
    }
}
