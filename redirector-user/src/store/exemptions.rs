//! Exemptions in the store.

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
        dial::Ended,
        exemption::{Exemption, ExemptionId, Exemptions},
    },
};

impl Store {
    /// Stores an exemption that somebody asks for; answers with it and its number.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], also if the prefix has one, [`StoreError::Random`]; nothing is stored then.
    pub async fn add_exemption(&self, asked: &Exemption) -> Result<Exemption, StoreError> {
        let mut transaction = self.writer.decide().await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM exemptions")
            .fetch_one(&mut *transaction)
            .await?;
        let exemption = Exemption {
            id: id_of(row.try_get(0)?)?,
            ..asked.clone()
        };
        sqlx::query(
            "INSERT INTO exemptions (id, prefix, family, reference, reason, actor, created_us, until_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(i64::from(exemption.id.0))
        .bind(exemption.prefix.to_string())
        .bind(if exemption.prefix.is_ipv4() { 4_i32 } else { 6 })
        .bind(exemption.reference.clone())
        .bind(exemption.reason.clone())
        .bind(exemption.actor.clone())
        .bind(exemption.created_at.as_microsecond())
        .bind(exemption.until.as_microsecond())
        .execute(&mut *transaction)
        .await?;
        let word = Word {
            at: exemption.created_at,
            by: exemption.actor.clone(),
            reason: exemption.reason.clone(),
        };
        self.finish(transaction, Kind::ExemptionAsked, &exemption, &word)
            .await?;
        Ok(exemption)
    }

    /// Stores that an exemption was approved.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn approve_exemption(
        &self,
        exemption: &Exemption,
        word: &Word,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query(
            "UPDATE exemptions SET approved_us = $1, approved_by = $2 WHERE id = $3 AND ended_us IS NULL",
        )
        .bind(word.at.as_microsecond())
        .bind(word.by.clone())
        .bind(i64::from(exemption.id.0))
        .execute(&mut *transaction)
        .await?;
        self.finish(transaction, Kind::ExemptionApproved, exemption, word)
            .await
    }

    /// Stores that an exemption has ended, by hand or ([`Kind::ExemptionEnded`]) by time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn end_exemption(
        &self,
        exemption: &Exemption,
        kind: Kind,
        word: &Word,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query(
            "UPDATE exemptions SET ended_us = $1, ended_by = $2, ended_reason = $3 WHERE id = $4 AND ended_us IS NULL",
        )
        .bind(word.at.as_microsecond())
        .bind(word.by.clone())
        .bind(word.reason.clone())
        .bind(i64::from(exemption.id.0))
        .execute(&mut *transaction)
        .await?;
        self.finish(transaction, kind, exemption, word).await
    }

    /// One exemption, ended or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn exemption(&self, id: ExemptionId) -> Result<Option<Exemption>, StoreError> {
        let row = sqlx::query("SELECT * FROM exemptions WHERE id = $1")
            .bind(i64::from(id.0))
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The newest exemptions, at most so many; with `ended`, the ended ones too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn exemptions(
        &self,
        ended: bool,
        at_most: u32,
    ) -> Result<Vec<Exemption>, StoreError> {
        let text =
            "SELECT * FROM exemptions WHERE ($1 = 1 OR ended_us IS NULL) ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(text)
            .bind(i32::from(ended))
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn finish(
        &self,
        mut transaction: Transaction,
        kind: Kind,
        exemption: &Exemption,
        word: &Word,
    ) -> Result<(), StoreError> {
        let entry = Entry {
            at: word.at,
            actor: word.by.clone(),
            kind,
            subject: subject(exemption.id),
            payload: json!({
                "prefix": exemption.prefix,
                "reference": exemption.reference,
                "until": exemption.until,
                "reason": word.reason,
            }),
        };
        audit::append(&mut transaction, &self.name, entry).await?;
        let mut told = Told::default();
        let life = Life::Exemption {
            kind,
            exemption,
            word,
        };
        told.note(life.at(word.at, Some(exemption.prefix)));
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }
}

/// How the trail names an exemption.
#[must_use]
pub fn subject(id: ExemptionId) -> String {
    format!("exemption:{id}")
}

/// All that stand.
pub(super) async fn standing(readers: &Door) -> Result<Exemptions, StoreError> {
    let rows = sqlx::query("SELECT * FROM exemptions WHERE ended_us IS NULL")
        .fetch_all(readers)
        .await?;
    rows.iter().map(read).collect()
}

fn id_of(stored: i64) -> Result<ExemptionId, StoreError> {
    let id = u32::try_from(stored).ok().filter(|id| *id != 0);
    let wrong = || StoreError::Row {
        table: "exemptions",
        key: stored.to_string(),
        what: String::from("its number"),
    };
    id.map(ExemptionId).ok_or_else(wrong)
}

fn read(row: &AnyRow) -> Result<Exemption, StoreError> {
    let id = id_of(row.try_get("id")?)?;
    let wrong = |what: String| StoreError::Row {
        table: "exemptions",
        key: id.to_string(),
        what,
    };
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|error| wrong(error.to_string()));
    let prefix: String = row.try_get("prefix")?;
    let prefix: IpNetwork = prefix
        .parse()
        .map_err(|_malformed| wrong(format!("prefix {prefix}")))?;
    let approved = match row.try_get::<Option<i64>, _>("approved_us")? {
        None => None,
        Some(at) => Some((row.try_get("approved_by")?, time(at)?)),
    };
    let ended = match row.try_get::<Option<i64>, _>("ended_us")? {
        None => None,
        Some(at) => Some(Ended {
            at: time(at)?,
            by: row.try_get("ended_by")?,
            reason: row.try_get("ended_reason")?,
        }),
    };
    Ok(Exemption {
        id,
        prefix,
        reference: row.try_get("reference")?,
        reason: row.try_get("reason")?,
        actor: row.try_get("actor")?,
        created_at: time(row.try_get("created_us")?)?,
        until: time(row.try_get("until_us")?)?,
        approved,
        ended,
    })
}
