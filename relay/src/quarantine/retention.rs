//! What is too old to be kept, by the days that the configuration has for each part.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::index::Entry;
use super::record::{Part, RecordId};
use super::store::ASIDE;
use super::{Quarantine, lock};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) bodies: usize,
    pub(crate) headers: usize,
    pub(crate) records: usize,
    pub(crate) lines: usize,
    pub(crate) aside: usize,
}

impl Quarantine {
    /// Reads the store, and removes what becomes too old by this clock, for ever.
    pub(crate) async fn tend(self: Arc<Self>, clock: impl Fn() -> Timestamp + Send) {
        Arc::clone(&self).rebuild().await;
        loop {
            let removed = self.expire(clock()).await;
            if removed != Removed::default() {
                info!(?removed, "too old to be kept in the quarantine");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Removes what is too old now. What cannot be removed is tried again the next time.
    pub(crate) async fn expire(&self, now: Timestamp) -> Removed {
        let keep = self.config.keep;
        let mut removed = Removed::default();
        for (id, at, part) in self.expired(now) {
            let gone = self.remove_part(&id, at, part).await;
            match (gone, part) {
                (Ok(()), Part::Body) => removed.bodies += 1,
                (Ok(()), Part::Headers) => removed.headers += 1,
                (Ok(()), Part::Metadata) => {
                    self.index_mut().remove(&id);
                    removed.records += 1;
                }
                (Err(error), _) => {
                    warn!(record.id = %id, %error, "cannot remove from the quarantine what is too old");
                }
            }
        }
        match self.expire_aside(before(now, keep.bodies)).await {
            Ok(aside) => removed.aside = aside,
            Err(error) => warn!(%error, "cannot remove from the quarantine what was set aside"),
        }
        let (audit, oldest) = (Arc::clone(&self.audit), before(now, keep.audit));
        let forgetting = tokio::task::spawn_blocking(move || match lock(&audit).as_mut() {
            Some(audit) => audit.forget_before(oldest),
            None => Ok(0),
        });
        match forgetting.await.map_err(io::Error::from).flatten() {
            Ok(lines) => removed.lines = lines,
            Err(error) => warn!(%error, "cannot shorten the audit log of the quarantine"),
        }
        removed
    }

    /// All parts that are too old, those of a record before its metadata.
    fn expired(&self, now: Timestamp) -> Vec<(RecordId, Timestamp, Part)> {
        let keep = self.config.keep;
        let bodies = before(now, keep.bodies);
        let headers = before(now, keep.headers);
        let metadata = before(now, keep.metadata);
        let mut expired = Vec::new();
        for (id, entry) in self.index().iter() {
            let mut add = |part| expired.push((id.clone(), entry.at, part));
            let Entry {
                at,
                has_body,
                has_headers,
                ..
            } = *entry;
            if has_body && at < bodies {
                add(Part::Body);
            }
            if has_headers && at < headers {
                add(Part::Headers);
            }
            if at < metadata {
                add(Part::Metadata);
            }
        }
        expired
    }

    /// Removes a part, which then is not there for anybody.
    pub(super) async fn remove_part(
        &self,
        id: &RecordId,
        at: Timestamp,
        part: Part,
    ) -> io::Result<()> {
        let path = part.path(id, at);
        let octets = match part {
            Part::Metadata => 0,
            Part::Headers | Part::Body => self.store.octets(&path).await?,
        };
        self.store.remove(&path).await?;
        self.index_mut().lost(part, id, octets);
        Ok(())
    }

    async fn expire_aside(&self, oldest: Timestamp) -> io::Result<usize> {
        let mut listed = self.store.list(ASIDE);
        let mut removed = 0;
        while let Some(object) = listed.try_next().await? {
            if object.last_modified.timestamp() < oldest.as_second() {
                self.store.remove(&object.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// So many days ago.
fn before(now: Timestamp, days: u32) -> Timestamp {
    let ago = SignedDuration::from_hours(24 * i64::from(days));
    now.saturating_sub(ago).unwrap_or(Timestamp::MIN)
}

const EVERY: Duration = Duration::from_secs(3600);
