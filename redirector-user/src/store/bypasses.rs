//! Bypasses in the store.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Row as _, any::AnyRow};

use super::{
    Door, Store, StoreError, Transaction,
    audit::{self, Entry, Kind},
    drains::Word,
    events::Told,
};
use crate::{
    feed::Life,
    policy::{
        bypass::{Bypass, BypassId, Bypasses},
        dial::Ended,
    },
};

impl Store {
    /// Stores a bypass; answers with it and its number.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], also if the prefix has one, [`StoreError::Random`]; nothing is stored then.
    pub async fn add_bypass(&self, asked: &Bypass) -> Result<Bypass, StoreError> {
        let mut transaction = self.writer.decide().await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM bypasses")
            .fetch_one(&mut *transaction)
            .await?;
        let bypass = Bypass {
            id: id_of(row.try_get(0)?)?,
            ..asked.clone()
        };
        sqlx::query(
            "INSERT INTO bypasses (id, prefix, family, why, actor, created_us, until_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(i64::from(bypass.id.0))
        .bind(bypass.prefix.to_string())
        .bind(if bypass.prefix.is_ipv4() { 4_i32 } else { 6 })
        .bind(bypass.why.clone())
        .bind(bypass.actor.clone())
        .bind(bypass.created_at.as_microsecond())
        .bind(bypass.until.map(Timestamp::as_microsecond))
        .execute(&mut *transaction)
        .await?;
        let word = Word {
            at: bypass.created_at,
            by: bypass.actor.clone(),
            reason: bypass.why.clone(),
        };
        self.finish_bypass(transaction, Kind::BypassAdded, &bypass, &word)
            .await?;
        Ok(bypass)
    }

    /// Stores that a bypass has ended, by hand or ([`Kind::BypassEnded`]) by time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn end_bypass(
        &self,
        bypass: &Bypass,
        kind: Kind,
        word: &Word,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query(
            "UPDATE bypasses SET ended_us = $1, ended_by = $2, ended_reason = $3 WHERE id = $4 AND ended_us IS NULL",
        )
        .bind(word.at.as_microsecond())
        .bind(word.by.clone())
        .bind(word.reason.clone())
        .bind(i64::from(bypass.id.0))
        .execute(&mut *transaction)
        .await?;
        self.finish_bypass(transaction, kind, bypass, word).await
    }

    /// The newest bypasses, at most so many; with `ended`, the ended ones too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn bypasses(&self, ended: bool, at_most: u32) -> Result<Vec<Bypass>, StoreError> {
        let text =
            "SELECT * FROM bypasses WHERE ($1 = 1 OR ended_us IS NULL) ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(text)
            .bind(i32::from(ended))
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn finish_bypass(
        &self,
        mut transaction: Transaction,
        kind: Kind,
        bypass: &Bypass,
        word: &Word,
    ) -> Result<(), StoreError> {
        let entry = Entry {
            at: word.at,
            actor: word.by.clone(),
            kind,
            subject: format!("bypass:{}", bypass.id),
            payload: json!({
                "destination": bypass.prefix,
                "until": bypass.until,
                "reason": word.reason,
            }),
        };
        audit::append(&mut transaction, &self.name, entry).await?;
        let mut told = Told::default();
        // Whom it is about is nobody in particular: the prefix is a destination.
        told.note(Life::Bypass { kind, bypass, word }.at(word.at, None));
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }
}

/// All that stand.
pub(super) async fn standing(readers: &Door) -> Result<Bypasses, StoreError> {
    let rows = sqlx::query("SELECT * FROM bypasses WHERE ended_us IS NULL")
        .fetch_all(readers)
        .await?;
    rows.iter().map(read).collect()
}

fn id_of(stored: i64) -> Result<BypassId, StoreError> {
    let id = u32::try_from(stored).ok().filter(|id| *id != 0);
    let wrong = || StoreError::Row {
        table: "bypasses",
        key: stored.to_string(),
        what: String::from("its number"),
    };
    id.map(BypassId).ok_or_else(wrong)
}

fn read(row: &AnyRow) -> Result<Bypass, StoreError> {
    let id = id_of(row.try_get("id")?)?;
    let wrong = |what: String| StoreError::Row {
        table: "bypasses",
        key: id.to_string(),
        what,
    };
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|error| wrong(error.to_string()));
    let prefix: String = row.try_get("prefix")?;
    let prefix: IpNetwork = prefix
        .parse()
        .map_err(|_malformed| wrong(format!("prefix {prefix}")))?;
    let ended = match row.try_get::<Option<i64>, _>("ended_us")? {
        None => None,
        Some(at) => Some(Ended {
            at: time(at)?,
            by: row.try_get("ended_by")?,
            reason: row.try_get("ended_reason")?,
        }),
    };
    Ok(Bypass {
        id,
        prefix,
        why: row.try_get("why")?,
        actor: row.try_get("actor")?,
        created_at: time(row.try_get("created_us")?)?,
        until: row
            .try_get::<Option<i64>, _>("until_us")?
            .map(time)
            .transpose()?,
        ended,
    })
}
