//! A content that is large has a file of its own: its data synced, then its name, then a record that says so.
//!
//! A crash on the way leaves a file that no record names; the next start removes it.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use relay_proto::queued::QueueId;
use relay_proto::record::{Extent, checksum};
use tokio::task::spawn_blocking;
use tracing::warn;

use super::StoreError;
use super::engine::{Engine, Outcome};
use super::life::unfinished;
use super::storage::{Directory, Medium, remove_if_there};
use crate::message::Message;

/// A file that is written and named, but in no record. It goes with this.
#[derive(Debug)]
pub(super) struct LargeFile {
    engine: Arc<Engine>,
    id: QueueId,
    octets: u64,
    settled: bool,
}

impl LargeFile {
    /// Writes the file; all but the name is durable then.
    pub(super) async fn write(
        engine: &Arc<Engine>,
        id: QueueId,
        content: &Message,
    ) -> Result<(Self, Extent), StoreError> {
        let file = Self::charge(engine, id, content.octets())?;
        match file.fill(content).await {
            Ok(checksum) => {
                let octets = file.octets;
                Ok((file, Extent { octets, checksum }))
            }
            Err(error) => Err(engine.failed(error)),
        }
    }

    fn charge(engine: &Arc<Engine>, id: QueueId, octets: u64) -> Result<Self, StoreError> {
        engine.reserve_for_messages(octets)?;
        engine.catalogue().large_octets += octets;
        Ok(Self {
            engine: Arc::clone(engine),
            id,
            octets,
            settled: false,
        })
    }

    async fn fill(&self, content: &Message) -> io::Result<u32> {
        let (engine, id, octets) = (Arc::clone(&self.engine), self.id, self.octets);
        let created = spawn_blocking(move || {
            let name = unfinished(id);
            engine.storage.create(Directory::Large, &name, octets)
        });
        let medium = created.await??;
        let mut reader = content.reader();
        let (mut sum, mut at) = (0, 0);
        let mut pending = BytesMut::new();
        while let Some(block) = reader.next().await? {
            sum = checksum(sum, &block);
            pending.extend_from_slice(&block);
            if pending.len() >= WRITE_OCTETS {
                at = write(&medium, pending.split(), at).await?;
            }
        }
        write(&medium, pending, at).await?;
        let (engine, id) = (Arc::clone(&self.engine), self.id);
        spawn_blocking(move || {
            medium.sync()?;
            let (from, to) = (unfinished(id), id.to_string());
            engine
                .storage
                .rename((Directory::Large, &from), (Directory::Large, &to))
        })
        .await??;
        Ok(sum)
    }

    /// Its record has been written, or not.
    pub(super) fn settle(mut self, outcome: &Outcome) {
        // After an I/O error the record may be there in spite of it, and would be nothing without its file. If it is
        // not, the next start removes the file.
        self.settled = match outcome {
            Ok(()) | Err(StoreError::Io(_)) => true,
            Err(StoreError::Full) => false,
        };
    }
}

impl Drop for LargeFile {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        for name in [unfinished(self.id), self.id.to_string()] {
            let storage = &*self.engine.storage;
            if let Err(error) = remove_if_there(storage, Directory::Large, &name) {
                warn!(queue.id = %self.id, %error, "a file that nobody needs stays behind until the next start");
            }
        }
        let mut catalogue = self.engine.catalogue();
        catalogue.large_octets = catalogue.large_octets.saturating_sub(self.octets);
    }
}

async fn write(medium: &Arc<dyn Medium>, octets: BytesMut, at: u64) -> io::Result<u64> {
    let medium = Arc::clone(medium);
    let end = at + octets.len() as u64;
    spawn_blocking(move || medium.write_at(&octets, at)).await??;
    Ok(end)
}

const WRITE_OCTETS: usize = 256 << 10;
