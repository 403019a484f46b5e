//! Flags that come and go together: one transaction, one generation, one wait for the disk.

use std::collections::{BTreeMap, BTreeSet};

use contract::Generation;
use ipnetwork::IpNetwork;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Added, flag_id, insert_all, payload, read, subject};
use crate::{
    feed::Own,
    policy::{
        dial::{Ended, Flag, FlagId, Proposal},
        rules::Conduct,
    },
    store::{
        Store, StoreError, Transaction,
        audit::{Chain, Entry, Kind},
        conduct,
        events::Told,
        next_generation, values,
    },
};

/// Changes that nobody sees before [`Change::commit`]. No prefix may be in one of them twice.
///
/// The database is asked for many at once: what it does for one costs it less than to be asked.
pub struct Change<'store> {
    store: &'store Store,
    pub(super) transaction: Transaction,
    pub(super) chain: Chain,
    pub(super) told: Told,
    generation: Generation,
    next_id: i64,
    /// What stands on prefixes that were looked at.
    standing: BTreeMap<IpNetwork, Option<Flag>>,
    /// Ends that are not written yet.
    ends: Vec<(FlagId, Ended)>,
    /// Flags that are not written yet.
    fresh: Vec<Flag>,
}

impl Store {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn change(&self) -> Result<Change<'_>, StoreError> {
        let mut transaction = self.writer.decide().await?;
        let generation = next_generation(&mut transaction).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM flags")
            .fetch_one(&mut *transaction)
            .await?;
        Ok(Change {
            store: self,
            chain: Chain::open(&mut transaction, &self.name).await?,
            transaction,
            told: Told::default(),
            generation,
            next_id: row.try_get(0)?,
            standing: BTreeMap::new(),
            ends: Vec::new(),
            fresh: Vec::new(),
        })
    }
}

impl Change<'_> {
    /// Looks at prefixes that flags are about to be added to.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn look_at(&mut self, prefixes: &[IpNetwork]) -> Result<(), StoreError> {
        for prefixes in prefixes.chunks(FLAGS_AT_ONCE) {
            let text = format!(
                "SELECT * FROM flags WHERE ended_us IS NULL AND prefix IN {}",
                values(&self.transaction, 1, prefixes.len())
            );
            // Only the number of prefixes went into the text.
            let mut query = sqlx::query(AssertSqlSafe(text));
            for prefix in prefixes {
                query = query.bind(prefix.to_string());
            }
            let rows = query.fetch_all(&mut *self.transaction).await?;
            self.standing.extend(prefixes.iter().map(|it| (*it, None)));
            for row in &rows {
                let flag = read(row)?;
                self.standing.insert(flag.terms.prefix, Some(flag));
            }
        }
        Ok(())
    }

    /// Adds a flag; an active one of the same prefix ends. `kind` is the trail's word for it, `actor` who does it, which
    /// need not be whose flag it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`], [`StoreError::Random`]; the whole change is to be dropped then.
    pub async fn add(
        &mut self,
        terms: &Proposal,
        kind: Kind,
        actor: &str,
    ) -> Result<Added, StoreError> {
        let id = flag_id(self.next_id)?;
        self.next_id += 1;
        if !self.standing.contains_key(&terms.prefix) {
            self.look_at(&[terms.prefix]).await?;
        }
        let mut replaced = self.standing.remove(&terms.prefix).flatten();
        if let Some(flag) = &mut replaced {
            let ended = Ended {
                at: terms.created_at.at(),
                by: terms.actor.to_string(),
                reason: format!("replaced by flag {id}"),
            };
            self.note_end(flag.id, Kind::FlagReplaced, &ended).await?;
            let own = Own::FlagReplaced(flag.id, &ended);
            self.told.note(own.at(ended.at, Some(terms.prefix)));
            flag.ended = Some(Box::new(ended));
        }
        let flag = Flag {
            id,
            terms: terms.clone(),
            generation: self.generation,
            tenant: self.store.tenant_of(terms.prefix).map(Box::new),
            replaces: replaced.as_ref().map(|flag| flag.id),
            activated_at: None,
            ended: None,
        };
        let entry = Entry {
            at: terms.created_at.at(),
            actor: actor.to_owned(),
            kind,
            subject: subject(id),
            payload: payload(&flag),
        };
        self.chain.append(&mut self.transaction, entry).await?;
        let own = Own::FlagAdded(&flag);
        self.told
            .note(own.at(terms.created_at.at(), Some(terms.prefix)));
        self.fresh.push(flag.clone());
        if self.fresh.len() == FLAGS_AT_ONCE {
            self.write().await?;
        }
        Ok(Added { flag, replaced })
    }

    /// One more row of the trail about a flag that was added by this change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; the whole change is to be dropped then.
    pub async fn remark(
        &mut self,
        flag: &Flag,
        kind: Kind,
        payload: serde_json::Value,
    ) -> Result<(), StoreError> {
        let entry = Entry {
            at: flag.terms.created_at.at(),
            actor: flag.terms.actor.to_string(),
            kind,
            subject: subject(flag.id),
            payload,
        };
        self.chain.append(&mut self.transaction, entry).await
    }

    /// Ends a flag, by hand or ([`Kind::FlagExpired`]) by time; with `conduct`, what is remembered of its customer
    /// from then on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; the whole change is to be dropped then.
    pub async fn end(
        &mut self,
        id: FlagId,
        prefix: Option<IpNetwork>,
        kind: Kind,
        ended: &Ended,
        conduct: Option<(IpNetwork, &Conduct)>,
    ) -> Result<(), StoreError> {
        if let Some((customer, conduct)) = conduct {
            conduct::write(&mut self.transaction, customer, conduct).await?;
        }
        self.note_end(id, kind, ended).await?;
        let own = if kind == Kind::FlagExpired {
            Own::FlagExpired(id, ended)
        } else {
            Own::FlagLifted(id, ended)
        };
        self.told.note(own.at(ended.at, prefix));
        Ok(())
    }

    /// Makes it durable; answers with its generation.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyEnded`], [`StoreError::Database`]; nothing is stored then.
    pub async fn commit(mut self) -> Result<Generation, StoreError> {
        self.write().await?;
        let mut transaction = self.transaction;
        self.chain.finish(&mut transaction).await?;
        let told = self.told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.store.announce(told);
        Ok(self.generation)
    }

    /// Writes what was noted; ends first, because a prefix has one flag at a time.
    async fn write(&mut self) -> Result<(), StoreError> {
        let ends = std::mem::take(&mut self.ends);
        for ends in ends.chunks(FLAGS_AT_ONCE) {
            write_ends(&mut self.transaction, ends).await?;
        }
        let fresh = std::mem::take(&mut self.fresh);
        insert_all(&mut self.transaction, &fresh).await
    }

    async fn note_end(&mut self, id: FlagId, kind: Kind, ended: &Ended) -> Result<(), StoreError> {
        self.ends.push((id, ended.clone()));
        let entry = entry_of_end(id, kind, ended);
        self.chain.append(&mut self.transaction, entry).await
    }
}

/// Writes into table and trail that a flag has ended.
pub(super) async fn mark_ended(
    transaction: &mut Transaction,
    chain: &mut Chain,
    id: FlagId,
    kind: Kind,
    ended: &Ended,
) -> Result<(), StoreError> {
    write_ends(transaction, &[(id, ended.clone())]).await?;
    chain
        .append(transaction, entry_of_end(id, kind, ended))
        .await
}

/// Writes into the table that flags have ended, which must not have.
async fn write_ends(
    transaction: &mut Transaction,
    ends: &[(FlagId, Ended)],
) -> Result<(), StoreError> {
    let text = format!(
        "UPDATE flags SET ended_us = done.column2, ended_by = done.column3, ended_reason = done.column4 \
         FROM (VALUES {}) AS done WHERE flags.id = done.column1 AND flags.ended_us IS NULL RETURNING flags.id",
        values(transaction, ends.len(), 4)
    );
    // Only the number of flags went into the text.
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (id, ended) in ends {
        query = query
            .bind(i64::from(id.0))
            .bind(ended.at.as_microsecond())
            .bind(ended.by.clone())
            .bind(ended.reason.clone());
    }
    let done = query.fetch_all(&mut **transaction).await?;
    if done.len() == ends.len() {
        return Ok(());
    }
    let done: Result<BTreeSet<_>, _> = done.iter().map(|row| flag_id(row.try_get(0)?)).collect();
    let done = done?;
    let missing = ends.iter().find(|(id, _)| !done.contains(id));
    missing.map_or(Ok(()), |(id, _)| Err(StoreError::AlreadyEnded(*id)))
}

fn entry_of_end(id: FlagId, kind: Kind, ended: &Ended) -> Entry {
    Entry {
        at: ended.at,
        actor: ended.by.clone(),
        kind,
        subject: subject(id),
        payload: json!({ "reason": ended.reason }),
    }
}

/// Flags of one statement.
const FLAGS_AT_ONCE: usize = 64;
