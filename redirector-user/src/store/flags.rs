//! Flags in the store.

mod bulk;
mod change;
mod past;
mod row;
mod stored;
mod term;

use std::io;

use contract::Generation;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::task::spawn_blocking;

pub use self::{bulk::AddedAll, change::Change};
pub(super) use self::{row::flag_id, stored::read};
use self::{
    row::{insert_all, payload},
    stored::{COLUMNS, read_all},
};
use super::{
    Door, Store, StoreError, Transaction,
    audit::{Chain, Entry, Kind},
    events::Told,
    placeholders,
};
use crate::{
    feed::Own,
    policy::{
        dial::{Ended, Flag, FlagId, Proposal},
        ledger::{Gathered, Ledger},
        rules::Conduct,
    },
};

/// What [`Store::add`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// The new flag.
    pub flag: Flag,
    /// The flag of the same prefix that it ended.
    pub replaced: Option<Flag>,
}

impl Store {
    /// Stores a flag; an active one of the same prefix ends in the same transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`], [`StoreError::Random`]; nothing is stored then.
    pub async fn add(&self, terms: &Proposal) -> Result<Added, StoreError> {
        self.add_as(terms, Kind::FlagAdded, &terms.actor).await
    }

    /// The same, with another word for it in the trail, and by somebody else than whose flag it is.
    ///
    /// # Errors
    ///
    /// As [`Store::add`].
    pub async fn add_as(
        &self,
        terms: &Proposal,
        kind: Kind,
        actor: &str,
    ) -> Result<Added, StoreError> {
        let mut change = self.change().await?;
        let added = change.add(terms, kind, actor).await?;
        change.commit().await?;
        Ok(added)
    }

    /// Ends a flag, by hand or ([`Kind::FlagExpired`]) by time; with `conduct`, what is remembered of its customer
    /// from then on.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyEnded`], [`StoreError::Database`], [`StoreError::Random`].
    pub async fn end(
        &self,
        id: FlagId,
        kind: Kind,
        ended: &Ended,
        conduct: Option<(IpNetwork, &Conduct)>,
    ) -> Result<Generation, StoreError> {
        let mut change = self.change().await?;
        let prefix = prefix_of(&mut change.transaction, id).await?;
        change.end(id, prefix, kind, ended, conduct).await?;
        change.commit().await
    }

    /// Notes that the kernel has these flags for the first time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn activate(&self, ids: &[FlagId], at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let prefixes = bulk::mark_activated(&mut transaction, ids, at.as_microsecond()).await?;
        // Of several edges the first one to have a flag notes it.
        let first: Vec<FlagId> = prefixes.keys().copied().collect();
        let ids = if self.is_shared() { &first } else { ids };
        if ids.is_empty() {
            return Ok(());
        }
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        for id in ids {
            let entry = Entry::by_outgated(Kind::FlagActivated, subject(*id), json!({}), at);
            chain.append(&mut transaction, entry).await?;
        }
        chain.finish(&mut transaction).await?;
        let mut told = Told::default();
        for ids in ids.chunks(if ids.len() > FLAGS_APART {
            ids.len()
        } else {
            1
        }) {
            let prefix = match ids {
                [id] => prefixes.get(id).copied(),
                _ => None,
            };
            told.note(Own::FlagsInForce(ids).at(at, prefix));
        }
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// One flag, ended or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flag(&self, id: FlagId) -> Result<Option<Flag>, StoreError> {
        let row = sqlx::query("SELECT * FROM flags WHERE id = $1")
            .bind(i64::from(id.0))
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Flags by number, from the one after `after` (0 = the first), at most so many; with `ended`, the ended
    /// ones too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flags(
        &self,
        ended: bool,
        after: u32,
        at_most: u32,
    ) -> Result<Vec<Flag>, StoreError> {
        let text = "SELECT * FROM flags WHERE id > $1 AND ($2 = 1 OR ended_us IS NULL) ORDER BY id LIMIT $3";
        let rows = sqlx::query(text)
            .bind(i64::from(after))
            .bind(i32::from(ended))
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Flags that were there at any time between two moments, by number.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flags_between(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Flag>, StoreError> {
        let text = "SELECT * FROM flags WHERE created_us <= $1 AND (ended_us IS NULL OR ended_us >= $2) ORDER BY id";
        let rows = sqlx::query(text)
            .bind(to.as_microsecond())
            .bind(from.as_microsecond())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Flags by their numbers, ended or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flags_numbered(&self, ids: &[FlagId]) -> Result<Vec<Flag>, StoreError> {
        of_numbers(&self.readers, ids).await
    }

    /// The newest flag of exactly this prefix, ended or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn newest(&self, prefix: IpNetwork) -> Result<Option<Flag>, StoreError> {
        let row = sqlx::query("SELECT * FROM flags WHERE prefix = $1 ORDER BY id DESC LIMIT 1")
            .bind(prefix.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }
}

/// Whom a flag is about.
async fn prefix_of(
    transaction: &mut Transaction,
    id: FlagId,
) -> Result<Option<IpNetwork>, StoreError> {
    let row = sqlx::query("SELECT prefix FROM flags WHERE id = $1")
        .bind(i64::from(id.0))
        .fetch_one(&mut **transaction)
        .await?;
    Ok(row.try_get::<String, _>(0)?.parse().ok())
}

/// How the trail names a flag.
#[must_use]
pub fn subject(id: FlagId) -> String {
    format!("flag:{id}")
}

/// Flags by number, ended or not.
pub(super) async fn of_numbers(readers: &Door, ids: &[FlagId]) -> Result<Vec<Flag>, StoreError> {
    let mut flags = Vec::with_capacity(ids.len());
    for ids in ids.chunks(NUMBERS_AT_ONCE) {
        let text = format!(
            "SELECT * FROM flags WHERE id IN {} ORDER BY id",
            placeholders(1, ids.len())
        );
        // Only the number of flags went into the text.
        let mut query = sqlx::query(AssertSqlSafe(text));
        for id in ids {
            query = query.bind(i64::from(id.0));
        }
        for row in query.fetch_all(readers).await? {
            flags.push(read(&row)?);
        }
    }
    Ok(flags)
}

/// Flags that have not ended, and the chain of those that a flag not yet in force has replaced.
pub(super) async fn standing(readers: &Door) -> Result<Ledger, StoreError> {
    let row = sqlx::query("SELECT MAX(id) FROM flags")
        .fetch_one(readers)
        .await?;
    let newest: Option<i64> = row.try_get(0)?;
    // While some are gathered here, others are read of their JSON, and SQLite is at those after them.
    let starts = (0..newest.unwrap_or_default()).step_by(FLAGS_AT_ONCE.into());
    let mut pages = stream::iter(starts.map(|after| some_standing(readers, after))).buffered(PAGES);
    let mut flags = Gathered::default();
    while let Some(page) = pages.try_next().await? {
        page.into_iter().for_each(|flag| flags.push(flag));
    }
    if !flags.any_waits_for_another() {
        return Ok(flags.into_ledger());
    }
    let replaced = sqlx::query(
        "WITH RECURSIVE waited (id, replaces, activated_us) AS ( \
             SELECT id, replaces, activated_us FROM flags \
             WHERE ended_us IS NULL AND activated_us IS NULL AND replaces IS NOT NULL \
             UNION \
             SELECT before.id, before.replaces, before.activated_us FROM flags before \
             JOIN waited ON waited.activated_us IS NULL AND before.id = waited.replaces \
         ) \
         SELECT flags.* FROM flags JOIN waited ON waited.id = flags.id WHERE flags.ended_us IS NOT NULL",
    );
    for row in replaced.fetch_all(readers).await? {
        flags.push(read(&row)?);
    }
    Ok(flags.into_ledger())
}

/// Flags after that number that have not ended, out of [`FLAGS_AT_ONCE`].
async fn some_standing(readers: &Door, after: i64) -> Result<Vec<Flag>, StoreError> {
    let as_json = readers.as_json(&COLUMNS);
    // By their numbers, which is nearly the order in which they lie in the file; the sign keeps SQLite from the order of
    // prefixes, in which each is on another page.
    let text =
        format!("SELECT {as_json} FROM flags WHERE id > $1 AND id <= $2 AND +ended_us IS NULL");
    // Names of columns went into the text.
    let row = sqlx::query(AssertSqlSafe(text))
        .bind(after)
        .bind(after.saturating_add(i64::from(FLAGS_AT_ONCE)))
        .fetch_one(readers)
        .await?;
    let json: Option<String> = row.try_get(0)?;
    let read = spawn_blocking(move || json.as_deref().map_or_else(|| Ok(Vec::new()), read_all));
    read.await
        .map_err(|error| sqlx::Error::Io(io::Error::other(error)))?
}

const NUMBERS_AT_ONCE: usize = 256;
/// Pages of flags that are asked for, read, or wait to be gathered.
const PAGES: usize = 3;
/// At most half a megabyte of JSON. Of more, the memory that a start needs would grow, and its time would not shrink.
const FLAGS_AT_ONCE: u16 = 1024;
/// Flags that come into force together and have an event each; of more there is one for all.
const FLAGS_APART: usize = 100;
