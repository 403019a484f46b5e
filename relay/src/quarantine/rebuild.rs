//! Reading the store at the start: what is there goes into the index, and what is half there out of the way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;
use tracing::{error, info, warn};

use super::record::{Part, Record, RecordId};
use super::{Quarantine, lock};

impl Quarantine {
    /// Reads all of it, beside what is kept and asked meanwhile.
    pub(crate) async fn rebuild(self: Arc<Self>) {
        let read = async {
            let (store, before) = (self.store.clone(), self.opened_at.into());
            let unfinished = move || store.set_aside_unfinished(before);
            let unfinished = tokio::task::spawn_blocking(unfinished).await??;
            let aside = unfinished + self.read_metadata().await?;
            let half = self.find_parts(Part::Headers).await? + self.find_parts(Part::Body).await?;
            Ok::<_, io::Error>(aside + half)
        };
        match read.await {
            Ok(aside) => {
                self.is_complete.store(true, Ordering::Release);
                info!(
                    records = self.index().len(),
                    aside, "the quarantine was read"
                );
            }
            Err(error) => {
                error!(%error, "the quarantine cannot be read to its end; what was not read cannot be found");
            }
        }
    }

    /// All metadata; how many of them nobody can read.
    async fn read_metadata(&self) -> io::Result<usize> {
        let listed = self.store.list(Part::Metadata.folder());
        let read = listed.map_ok(|object| async move {
            let octets = self.store.get(&object.location).await;
            Ok::<_, io::Error>((object.location, octets))
        });
        let mut read = read.try_buffer_unordered(AT_ONCE);
        let mut aside = 0;
        while let Some((path, octets)) = read.try_next().await? {
            let record = match octets {
                Ok(octets) => Record::from_json(&octets),
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            let lies_here = |record: &Record| Part::Metadata.path(&record.id, record.at) == path;
            match record {
                Ok(record) if lies_here(&record) => self.take_in(&record),
                Ok(_) => {
                    aside += self
                        .aside(&path, "it lies where another record should")
                        .await;
                }
                Err(problem) => aside += self.aside(&path, &problem).await,
            }
        }
        Ok(aside)
    }

    fn take_in(&self, record: &Record) {
        let state = lock(&self.states).of.get(&record.id).copied();
        let mut index = self.index_mut();
        if index.len() < self.config.max_records {
            index.recover(record, state.unwrap_or_default());
        }
    }

    /// Other parts of records; how many belong to none.
    async fn find_parts(&self, part: Part) -> io::Result<usize> {
        let mut listed = self.store.list(part.folder());
        let mut aside = 0;
        while let Some(object) = listed.try_next().await? {
            let id = part.id_of(&object.location);
            let known = id.is_some_and(|id| self.index_mut().found(part, &id, object.size));
            if !known && self.is_left_over(&object) {
                aside += self
                    .aside(&object.location, "a crash has left it without metadata")
                    .await;
            }
        }
        Ok(aside)
    }

    /// Whether nobody can be about to write its metadata.
    fn is_left_over(&self, object: &ObjectMeta) -> bool {
        // A record beyond max_records has metadata that was passed over; then nothing is known of what has none.
        self.index().len() < self.config.max_records
            && object.last_modified.timestamp_millis() < self.opened_at.as_millisecond()
    }

    async fn aside(&self, path: &Path, problem: &str) -> usize {
        match self.store.set_aside(path).await {
            Ok(()) => warn!(object = %path, problem, "set aside in the quarantine"),
            Err(error) => {
                warn!(object = %path, problem, %error, "cannot be set aside in the quarantine");
            }
        }
        1
    }

    /// The metadata of a record that is known.
    pub(super) async fn read_record(&self, id: &RecordId) -> io::Result<Option<Record>> {
        let Some(at) = self.index().get(id).map(|entry| entry.at) else {
            return Ok(None);
        };
        let octets = self.store.get(&Part::Metadata.path(id, at)).await?;
        let record = Record::from_json(&octets);
        record.map(Some).map_err(io::Error::other)
    }
}

const AT_ONCE: usize = 16;
