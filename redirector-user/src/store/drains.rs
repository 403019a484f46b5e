//! Drained relays in the store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use sqlx::{Row as _, any::AnyRow};

use super::{
    Door, Store, StoreError,
    audit::{self, Entry, Kind},
};

/// A person's word about a relay: that it takes no new connections, or, taken back, that it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Notes that a relay is drained; of one that is already, only who and why change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn drain(&self, relay: &str, word: &Word) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query(
            "INSERT INTO drains (relay, reason, actor, since_us) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (relay) DO UPDATE SET reason = excluded.reason, actor = excluded.actor",
        )
        .bind(relay.to_owned())
        .bind(word.reason.clone())
        .bind(word.by.clone())
        .bind(word.at.as_microsecond())
        .execute(&mut *transaction)
        .await?;
        let entry = entry(Kind::RelayDrained, relay, word);
        audit::append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Notes that a relay is drained no more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn resume(&self, relay: &str, word: &Word) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query("DELETE FROM drains WHERE relay = $1")
            .bind(relay.to_owned())
            .execute(&mut *transaction)
            .await?;
        let entry = entry(Kind::RelayResumed, relay, word);
        audit::append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Drained relays by name, since when, by whom and why.
pub(super) async fn standing(readers: &Door) -> Result<BTreeMap<String, Word>, StoreError> {
    let rows = sqlx::query("SELECT relay, reason, actor, since_us FROM drains")
        .fetch_all(readers)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<(String, Word), StoreError> {
    let relay: String = row.try_get("relay")?;
    let at =
        Timestamp::from_microsecond(row.try_get("since_us")?).map_err(|error| StoreError::Row {
            table: "drains",
            key: relay.clone(),
            what: error.to_string(),
        })?;
    let word = Word {
        at,
        by: row.try_get("actor")?,
        reason: row.try_get("reason")?,
    };
    Ok((relay, word))
}

fn entry(kind: Kind, relay: &str, word: &Word) -> Entry {
    Entry {
        at: word.at,
        actor: word.by.clone(),
        kind,
        subject: format!("relay:{relay}"),
        payload: json!({ "reason": word.reason }),
    }
}
