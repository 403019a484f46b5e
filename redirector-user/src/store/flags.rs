//! Flags in the store.

mod bulk;
mod row;

use std::collections::BTreeMap;

use contract::Generation;
use futures_util::TryStreamExt as _;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Any, AnyPool, Row as _, Transaction};

pub use self::bulk::AddedAll;
use self::row::{flag_id, insert_all, payload, read};
use super::{
    Store, StoreError,
    audit::{Chain, Entry, Kind},
    events::Told,
    next_generation,
};
use crate::feed::Own;
use crate::policy::dial::{Ended, Flag, FlagId, Proposal};

/// What [`Store::add`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let mut transaction = self.writer.begin().await?;
        let generation = next_generation(&mut transaction).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM flags")
            .fetch_one(&mut *transaction)
            .await?;
        let id = flag_id(row.try_get(0)?)?;
        let standing = sqlx::query("SELECT * FROM flags WHERE prefix = $1 AND ended_us IS NULL")
            .bind(terms.prefix.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        let mut replaced = standing.as_ref().map(read).transpose()?;
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        if let Some(flag) = &mut replaced {
            let reason = format!("replaced by flag {id}");
            let ended = Ended {
                at: terms.created_at,
                by: terms.actor.clone(),
                reason,
            };
            self.write_end(
                &mut transaction,
                &mut chain,
                flag.id,
                Kind::FlagReplaced,
                &ended,
            )
            .await?;
            flag.ended = Some(ended);
        }
        let flag = Flag {
            id,
            terms: terms.clone(),
            generation,
            replaces: replaced.as_ref().map(|flag| flag.id),
            activated_at: None,
            ended: None,
        };
        insert_all(&mut transaction, std::slice::from_ref(&flag)).await?;
        let entry = Entry {
            at: terms.created_at,
            actor: terms.actor.clone(),
            kind: Kind::FlagAdded,
            subject: subject(id),
            payload: payload(&flag),
        };
        chain.append(&mut transaction, entry).await?;
        chain.finish(&mut transaction).await?;
        let mut told = Told::default();
        if let Some(flag) = &replaced
            && let Some(ended) = &flag.ended
        {
            told.note(Own::FlagReplaced(flag.id, ended).at(ended.at, Some(terms.prefix)));
        }
        told.note(Own::FlagAdded(&flag).at(terms.created_at, Some(terms.prefix)));
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(Added { flag, replaced })
    }

    /// Ends a flag, by hand or ([`Kind::FlagExpired`]) by time.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyEnded`], [`StoreError::Database`], [`StoreError::Random`].
    pub async fn end(
        &self,
        id: FlagId,
        kind: Kind,
        ended: &Ended,
    ) -> Result<Generation, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        self.write_end(&mut transaction, &mut chain, id, kind, ended)
            .await?;
        chain.finish(&mut transaction).await?;
        let generation = next_generation(&mut transaction).await?;
        let prefix = prefix_of(&mut transaction, id).await?;
        let own = if kind == Kind::FlagExpired {
            Own::FlagExpired(id, ended)
        } else {
            Own::FlagLifted(id, ended)
        };
        let mut told = Told::default();
        told.note(own.at(ended.at, prefix));
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(generation)
    }

    /// Notes that the kernel has these flags for the first time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn activate(&self, ids: &[FlagId], at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        bulk::mark_activated(&mut transaction, ids, at.as_microsecond()).await?;
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
                [id] => prefix_of(&mut transaction, *id).await?,
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

    async fn write_end(
        &self,
        transaction: &mut Transaction<'_, Any>,
        chain: &mut Chain,
        id: FlagId,
        kind: Kind,
        ended: &Ended,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE flags SET ended_us = $1, ended_by = $2, ended_reason = $3 WHERE id = $4 AND ended_us IS NULL",
        )
        .bind(ended.at.as_microsecond())
        .bind(ended.by.clone())
        .bind(ended.reason.clone())
        .bind(i64::from(id.0))
        .execute(&mut **transaction)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::AlreadyEnded(id));
        }
        let payload = json!({ "reason": ended.reason });
        let entry = Entry {
            at: ended.at,
            actor: ended.by.clone(),
            kind,
            subject: subject(id),
            payload,
        };
        chain.append(transaction, entry).await
    }
}

/// Whom a flag is about.
async fn prefix_of(
    transaction: &mut Transaction<'_, Any>,
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

/// Flags that have not ended, and the chain of those that a flag not yet in force has replaced.
pub(super) async fn standing(readers: &AnyPool) -> Result<BTreeMap<FlagId, Flag>, StoreError> {
    let mut rows = sqlx::query(
        "WITH RECURSIVE standing (id, replaces, activated_us) AS ( \
             SELECT id, replaces, activated_us FROM flags WHERE ended_us IS NULL \
             UNION \
             SELECT before.id, before.replaces, before.activated_us FROM flags before \
             JOIN standing ON standing.activated_us IS NULL AND before.id = standing.replaces \
         ) \
         SELECT flags.* FROM flags JOIN standing ON standing.id = flags.id",
    )
    .fetch(readers);
    // One by one: a million rows as the driver holds them are a gigabyte.
    let mut flags = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let flag = read(&row)?;
        flags.insert(flag.id, flag);
    }
    Ok(flags)
}

/// Flags that come into force together and have an event each; of more there is one for all.
const FLAGS_APART: usize = 100;
