//! Flags that come and go together: one transaction, one generation, one wait for the disk.

use contract::Generation;
use ipnetwork::IpNetwork;
use serde_json::json;
use sqlx::{Any, Row as _, Transaction};

use super::{Added, flag_id, insert_all, payload, prefix_of, read, subject};
use crate::{
    feed::Own,
    policy::{
        dial::{Ended, Flag, FlagId, Proposal},
        rules::Conduct,
    },
    store::{
        Store, StoreError,
        audit::{Chain, Entry, Kind},
        conduct,
        events::Told,
        next_generation,
    },
};

/// Changes that nobody sees before [`Change::commit`]. No prefix may be in one of them twice.
pub struct Change<'store> {
    store: &'store Store,
    pub(super) transaction: Transaction<'static, Any>,
    pub(super) chain: Chain,
    pub(super) told: Told,
    generation: Generation,
    next_id: i64,
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
        let mut transaction = self.writer.begin().await?;
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
            fresh: Vec::new(),
        })
    }
}

impl Change<'_> {
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
        let standing = sqlx::query("SELECT * FROM flags WHERE prefix = $1 AND ended_us IS NULL")
            .bind(terms.prefix.to_string())
            .fetch_optional(&mut *self.transaction)
            .await?;
        let mut replaced = standing.as_ref().map(read).transpose()?;
        if let Some(flag) = &mut replaced {
            let ended = Ended {
                at: terms.created_at,
                by: terms.actor.clone(),
                reason: format!("replaced by flag {id}"),
            };
            self.write_end(flag.id, Kind::FlagReplaced, &ended).await?;
            let own = Own::FlagReplaced(flag.id, &ended);
            self.told.note(own.at(ended.at, Some(terms.prefix)));
            flag.ended = Some(ended);
        }
        let flag = Flag {
            id,
            terms: terms.clone(),
            generation: self.generation,
            tenant: self.store.tenant_of(terms.prefix),
            replaces: replaced.as_ref().map(|flag| flag.id),
            activated_at: None,
            ended: None,
        };
        let entry = Entry {
            at: terms.created_at,
            actor: actor.to_owned(),
            kind,
            subject: subject(id),
            payload: payload(&flag),
        };
        self.chain.append(&mut self.transaction, entry).await?;
        let own = Own::FlagAdded(&flag);
        self.told.note(own.at(terms.created_at, Some(terms.prefix)));
        self.fresh.push(flag.clone());
        if self.fresh.len() == FLAGS_AT_ONCE {
            self.write_fresh().await?;
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
            at: flag.terms.created_at,
            actor: flag.terms.actor.clone(),
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
    /// [`StoreError::AlreadyEnded`], [`StoreError::Database`], [`StoreError::Random`]; the whole change is to be dropped
    /// then.
    pub async fn end(
        &mut self,
        id: FlagId,
        kind: Kind,
        ended: &Ended,
        conduct: Option<(IpNetwork, &Conduct)>,
    ) -> Result<(), StoreError> {
        if let Some((customer, conduct)) = conduct {
            conduct::write(&mut self.transaction, customer, conduct).await?;
        }
        self.write_end(id, kind, ended).await?;
        let prefix = prefix_of(&mut self.transaction, id).await?;
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
    /// [`StoreError::Database`]; nothing is stored then.
    pub async fn commit(mut self) -> Result<Generation, StoreError> {
        self.write_fresh().await?;
        let mut transaction = self.transaction;
        self.chain.finish(&mut transaction).await?;
        let told = self.told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.store.announce(told);
        Ok(self.generation)
    }

    async fn write_fresh(&mut self) -> Result<(), StoreError> {
        let fresh = std::mem::take(&mut self.fresh);
        insert_all(&mut self.transaction, &fresh).await
    }

    async fn write_end(&mut self, id: FlagId, kind: Kind, ended: &Ended) -> Result<(), StoreError> {
        mark_ended(&mut self.transaction, &mut self.chain, id, kind, ended).await
    }
}

/// Writes into table and trail that a flag has ended.
pub(super) async fn mark_ended(
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

/// Flags of one statement, as in `bulk`.
const FLAGS_AT_ONCE: usize = 32;
