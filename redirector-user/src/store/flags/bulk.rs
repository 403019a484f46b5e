//! Many flags in one transaction: stored all or none, under one generation.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::{change::mark_ended, flag_id, insert_all, payload, subject};
use crate::{
    feed::Own,
    policy::dial::{Ended, Flag, FlagId, Proposal},
    store::{
        Store, StoreError,
        audit::{Chain, Entry, Kind},
        events::Told,
        next_generation, placeholders,
    },
};

/// What [`Store::add_all`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddedAll {
    /// The new flags; their numbers follow on each other.
    pub flags: Vec<Flag>,
    /// The flags of the same prefixes that they ended.
    pub replaced: Vec<(FlagId, Ended)>,
}

impl Store {
    /// Stores flags; active ones of the same prefixes end in the same transaction. No prefix may be there
    /// twice. `progress` hears how many of them are written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`], [`StoreError::Random`]; nothing is stored then.
    pub async fn add_all(
        &self,
        terms: Vec<Proposal>,
        progress: impl Fn(usize) + Send,
    ) -> Result<AddedAll, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let generation = next_generation(&mut transaction).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM flags")
            .fetch_one(&mut *transaction)
            .await?;
        let mut next: i64 = row.try_get(0)?;
        let standing = standing(&mut transaction).await?;
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        let mut added = AddedAll::default();
        for terms in terms {
            let id = flag_id(next)?;
            next += 1;
            let replaces = standing.get(&terms.prefix).copied();
            if let Some(replaced) = replaces {
                let ended = Ended {
                    at: terms.created_at,
                    by: terms.actor.clone(),
                    reason: format!("replaced by flag {id}"),
                };
                mark_ended(
                    &mut transaction,
                    &mut chain,
                    replaced,
                    Kind::FlagReplaced,
                    &ended,
                )
                .await?;
                added.replaced.push((replaced, ended));
            }
            let flag = Flag {
                id,
                terms,
                generation,
                replaces,
                activated_at: None,
                ended: None,
            };
            let entry = Entry {
                at: flag.terms.created_at,
                actor: flag.terms.actor.clone(),
                kind: Kind::FlagAdded,
                subject: subject(id),
                payload: payload(&flag),
            };
            chain.append(&mut transaction, entry).await?;
            added.flags.push(flag);
            let unwritten = added.flags.len() % FLAGS_AT_ONCE;
            if unwritten == 0 {
                let fresh = added.flags.len() - FLAGS_AT_ONCE;
                insert_all(&mut transaction, added.flags.get(fresh..).unwrap_or(&[])).await?;
                progress(added.flags.len());
            }
        }
        let fresh = added.flags.len() - added.flags.len() % FLAGS_AT_ONCE;
        insert_all(&mut transaction, added.flags.get(fresh..).unwrap_or(&[])).await?;
        chain.finish(&mut transaction).await?;
        let mut told = Told::default();
        if let (Some(first), Some(last)) = (added.flags.first(), added.flags.last()) {
            let imported = Own::FlagsImported {
                flags: added.flags.len(),
                first: first.id,
                last: last.id,
                actor: &first.terms.actor,
            };
            told.note(imported.at(first.terms.created_at, None));
        }
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        progress(added.flags.len());
        Ok(added)
    }

    /// Which of the flags between two numbers have ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn ended_between(
        &self,
        first: FlagId,
        last: FlagId,
    ) -> Result<Vec<FlagId>, StoreError> {
        let rows =
            sqlx::query("SELECT id FROM flags WHERE id BETWEEN $1 AND $2 AND ended_us IS NOT NULL")
                .bind(i64::from(first.0))
                .bind(i64::from(last.0))
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(|row| flag_id(row.try_get(0)?)).collect()
    }
}

/// Notes in the table that flags are in force.
pub(super) async fn mark_activated(
    transaction: &mut Transaction<'_, Any>,
    ids: &[FlagId],
    at_us: i64,
) -> Result<(), StoreError> {
    for ids in ids.chunks(IDS_AT_ONCE) {
        let text = format!(
            "UPDATE flags SET activated_us = $1 WHERE activated_us IS NULL AND id IN {}",
            // The first placeholder is the time's.
            placeholders(1, ids.len() + 1).replacen("$1, ", "", 1)
        );
        // Only the number of flags went into the text.
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(at_us);
        for id in ids {
            query = query.bind(i64::from(id.0));
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

/// The active flag of every prefix that has one.
async fn standing(
    transaction: &mut Transaction<'_, Any>,
) -> Result<BTreeMap<IpNetwork, FlagId>, StoreError> {
    let rows = sqlx::query("SELECT id, prefix FROM flags WHERE ended_us IS NULL")
        .fetch_all(&mut **transaction)
        .await?;
    let mut standing = BTreeMap::new();
    for row in rows {
        let id = flag_id(row.try_get(0)?)?;
        let prefix: String = row.try_get(1)?;
        let prefix = prefix.parse().map_err(|_malformed| StoreError::Row {
            table: "flags",
            key: id.to_string(),
            what: format!("prefix {prefix}"),
        })?;
        standing.insert(prefix, id);
    }
    Ok(standing)
}

/// Flags of one statement. SQLite looks each value's name up in a list, so that the cost of a statement grows
/// with the square of its length.
const FLAGS_AT_ONCE: usize = 32;
const IDS_AT_ONCE: usize = 256;
