//! How far each webhook has been told.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{Row as _, any::AnyRow};

use super::{
    Store, StoreError, Transaction,
    audit::{self, Entry, Kind},
    drains::Word,
    events::Told,
};
use crate::{feed::Item, webhook::Progress};

impl Store {
    /// The progress of a webhook; one that there was not before begins with the next event.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn begin_webhook(&self, name: &str) -> Result<Progress, StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query(
            "INSERT INTO webhooks (name, through, failures) \
             SELECT $1, last_seq, 0 FROM event_numbers WHERE one = 1 ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.to_owned())
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query("SELECT * FROM webhooks WHERE name = $1")
            .bind(name.to_owned())
            .fetch_one(&mut *transaction)
            .await?;
        let progress = read(&row)?;
        transaction.commit().await?;
        Ok(progress)
    }

    /// Keeps how far a webhook is, with what is told of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn save_webhook(
        &self,
        name: &str,
        progress: &Progress,
        told: Option<Item>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        write(&mut transaction, name, progress).await?;
        let mut items = Told::default();
        told.into_iter().for_each(|item| items.note(item));
        let told = items.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// Keeps that a person wants a webhook asked now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn retry_webhook(
        &self,
        name: &str,
        progress: &Progress,
        word: &Word,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        write(&mut transaction, name, progress).await?;
        let entry = Entry {
            at: word.at,
            actor: word.by.clone(),
            kind: Kind::WebhookRetried,
            subject: format!("webhook:{name}"),
            payload: json!({ "reason": word.reason, "through": progress.through }),
        };
        audit::append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets webhooks that are configured no more: under a name that comes back, nobody is told of old times.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_webhooks(&self, configured: &[&str]) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT name FROM webhooks")
            .fetch_all(&self.readers)
            .await?;
        for row in rows {
            let name: String = row.try_get(0)?;
            if !configured.contains(&name.as_str()) {
                sqlx::query("DELETE FROM webhooks WHERE name = $1")
                    .bind(name)
                    .execute(&self.writer)
                    .await?;
            }
        }
        Ok(())
    }
}

async fn write(
    transaction: &mut Transaction,
    name: &str,
    progress: &Progress,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhooks SET through = $1, taken_us = $2, failures = $3, failing_us = $4, next_us = $5, error = $6, \
         stopped = $7 WHERE name = $8",
    )
    .bind(i64::try_from(progress.through).unwrap_or(i64::MAX))
    .bind(progress.taken_at.map(Timestamp::as_microsecond))
    .bind(i64::from(progress.failures))
    .bind(progress.failing_since.map(Timestamp::as_microsecond))
    .bind(progress.next_at.map(Timestamp::as_microsecond))
    .bind(progress.error.clone())
    .bind(progress.stopped.clone())
    .bind(name.to_owned())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Progress, StoreError> {
    let name: String = row.try_get("name")?;
    let time = |column: &str| {
        let at: Option<i64> = row.try_get(column)?;
        let at = at.map(Timestamp::from_microsecond).transpose();
        at.map_err(|error| StoreError::Row {
            table: "webhooks",
            key: name.clone(),
            what: error.to_string(),
        })
    };
    let (through, failures): (i64, i64) = (row.try_get("through")?, row.try_get("failures")?);
    Ok(Progress {
        through: through.unsigned_abs(),
        taken_at: time("taken_us")?,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        failing_since: time("failing_us")?,
        next_at: time("next_us")?,
        error: row.try_get("error")?,
        stopped: row.try_get("stopped")?,
    })
}
