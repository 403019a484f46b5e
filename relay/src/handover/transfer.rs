//! A hand-over of a spool that no relay has open: by the program itself, which takes the spool's lock.
//!
//! # Diagnostics
//! Returned: [`TransferError`].

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::warn;

use super::desk::conclude;
use super::doubts::Doubts;
use super::giver::Giver;
use super::{Cancelling, Peers, Progress, Source, Taken, Target, in_file, shown};
use crate::clock::unix_now;
use crate::config::Config;
use crate::spool::{OpenError, Spool};

/// Why a spool cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It cannot be opened; perhaps a relay has it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file beside it cannot be used.
    #[error(transparent)]
    File(#[from] io::Error),
    /// There is nothing to be handed over from, or nobody to hand it to.
    #[error("the configuration has no table {0}")]
    NoTable(&'static str),
    /// Files would be made that the relay cannot open.
    #[error("{}: belongs to user {owner}; run this as that user, as the relay does", dir.display())]
    Owner {
        /// The spool.
        dir: PathBuf,
        /// Number of the user.
        owner: u32,
    },
}

/// A spool that is open for a hand-over.
pub struct Directly {
    relay: String,
    peers: Peers,
    source: Source,
    doubts: Doubts,
}

impl Directly {
    /// Opens the spool of the configuration. Blocks on the disk.
    pub fn open(config: &Config, peers: Peers) -> Result<Self, TransferError> {
        let spool = config.spool.as_ref();
        let spool_config = spool.ok_or(TransferError::NoTable("[spool]"))?;
        let dir = &spool_config.dir;
        let owner = std::fs::metadata(dir)
            .map_err(|error| in_file(dir, &error))?
            .uid();
        if owner != rustix::process::geteuid().as_raw() {
            let dir = dir.clone();
            return Err(TransferError::Owner { dir, owner });
        }
        let (spool, recovered) = Spool::open(spool_config)?;
        drop(recovered);
        // What was being taken when the relay ended must be whole before it is given to the next.
        drop(Taken::open(dir, &spool, unix_now())?);
        let mut doubts = Doubts::open(dir)?;
        for (target, ids) in doubts.expire(unix_now())? {
            warn!(
                relay = target.name,
                ids = shown(&ids),
                "another relay may have these, and was not asked for an hour: they may arrive twice"
            );
        }
        Ok(Self {
            relay: config.name.clone(),
            peers,
            source: Source::stopped(spool, dir, &config.state_dir)?,
            doubts,
        })
    }

    /// Hands everything over, unless it is to stop before; how it has ended stands in `progress`.
    pub async fn hand_over(
        self,
        target: &Target,
        progress: &watch::Sender<Progress>,
        cancelling: &Cancelling,
    ) {
        let giver = Giver {
            relay: &self.relay,
            peers: &self.peers,
            source: &self.source,
            target,
            doubts: Arc::new(tokio::sync::Mutex::new(self.doubts)),
            progress,
            cancelling,
        };
        conclude(progress, giver.give().await);
    }
}
