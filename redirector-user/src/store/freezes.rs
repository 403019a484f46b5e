//! What may not act by itself, by a person's word.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row as _;

use super::{
    Door, Store, StoreError,
    audit::{self, Entry, Kind},
    drains::Word,
};

impl Store {
    /// Notes that rules may do nothing; if they may not already, who and why change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn freeze_rules(&self, word: &Word) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query(
            "INSERT INTO freezes (what, reason, actor, since_us) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (what) DO UPDATE SET reason = excluded.reason, actor = excluded.actor",
        )
        .bind(RULES)
        .bind(word.reason.clone())
        .bind(word.by.clone())
        .bind(word.at.as_microsecond())
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, &self.name, entry(Kind::RulesFrozen, word)).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Notes that rules may act again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn thaw_rules(&self, word: &Word) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query("DELETE FROM freezes WHERE what = $1")
            .bind(RULES)
            .execute(&mut *transaction)
            .await?;
        audit::append(&mut transaction, &self.name, entry(Kind::RulesThawed, word)).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Who has frozen the rules, if somebody has.
pub(super) async fn standing(readers: &Door) -> Result<Option<Word>, StoreError> {
    let row = sqlx::query("SELECT reason, actor, since_us FROM freezes WHERE what = $1")
        .bind(RULES)
        .fetch_optional(readers)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let at = Timestamp::from_microsecond(row.try_get("since_us")?);
    let at = at.map_err(|error| StoreError::Row {
        table: "freezes",
        key: String::from(RULES),
        what: error.to_string(),
    })?;
    Ok(Some(Word {
        at,
        by: row.try_get("actor")?,
        reason: row.try_get("reason")?,
    }))
}

fn entry(kind: Kind, word: &Word) -> Entry {
    Entry {
        at: word.at,
        actor: word.by.clone(),
        kind,
        subject: String::from(RULES),
        payload: json!({ "reason": word.reason }),
    }
}

/// What is frozen, and how the trail names it.
pub(crate) const RULES: &str = "rules";
