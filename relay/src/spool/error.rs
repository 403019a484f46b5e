//! What a spool cannot do, and why.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// A later version of this program wrote it. It stays in the spool.
    #[error("the message was written by a later version of outgate-relay")]
    Newer,
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
