//! The queue of notices: what customers are to be told, and what came of it.
//!
//! Notices are made of events, and each event is gone through once: how far is kept with what came of it. One that has not
//! been tried yet takes further steps in; after that it stays as it is, so that each attempt says the same.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Row as _, any::AnyRow};

use super::{
    Store, StoreError, Transaction,
    audit::{self, Entry, Kind},
    events::Told,
    flags::subject,
};
use crate::{feed::Item, notice::Step};

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number.
    pub id: u64,
    /// About whom.
    pub prefix: IpNetwork,
    /// To whom.
    pub mail: String,
    /// What it tells of, oldest first.
    pub steps: Vec<Step>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Not before then is it tried, or tried again.
    pub next_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Whether it was taken in the end, and when that was known; `None` = it waits.
    pub done: Option<(bool, Timestamp)>,
}

/// A turn of the dial that somebody is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// About whom.
    pub prefix: IpNetwork,
    /// To whom.
    pub mail: String,
    /// What.
    pub step: Step,
}

impl Store {
    /// Up to which event notices have been made; the first time after [`Store::no_notices`], up to the newest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn begin_notices(&self) -> Result<u64, StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query(
            "UPDATE notice_state SET through = (SELECT last_seq FROM event_numbers WHERE one = 1) \
             WHERE one = 1 AND through IS NULL",
        )
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query("SELECT through FROM notice_state WHERE one = 1")
            .fetch_one(&mut *transaction)
            .await?;
        let through: i64 = row.try_get(0)?;
        transaction.commit().await?;
        Ok(through.unsigned_abs())
    }

    /// Says that none are made: whoever wants some later does not mean what happens until then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn no_notices(&self) -> Result<(), StoreError> {
        sqlx::query("UPDATE notice_state SET through = NULL WHERE one = 1")
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Queues what came of the events up to `through`, not to be tried before `next_at`, and tells `items`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is queued then.
    pub async fn queue_notices(
        &self,
        through: u64,
        dues: &[Due],
        items: Vec<Item>,
        now: Timestamp,
        next_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query("UPDATE notice_state SET through = $1 WHERE one = 1")
            .bind(i64::try_from(through).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
        for due in dues {
            queue(&mut transaction, due, now, next_at).await?;
        }
        let mut told = Told::default();
        items.into_iter().for_each(|item| told.note(item));
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// The notice that waits for its next attempt; the one that does so for longest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn next_notice(&self) -> Result<Option<Notice>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM notices WHERE outcome IS NULL ORDER BY next_us, id LIMIT 1")
                .fetch_optional(&self.readers)
                .await?;
        row.as_ref().map(read).transpose()
    }

    /// When that prefix was last written about; and number and next attempt of the oldest notice about it that waits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn last_notice(
        &self,
        prefix: IpNetwork,
    ) -> Result<(Option<Timestamp>, Option<(u64, Timestamp)>), StoreError> {
        let row =
            sqlx::query("SELECT MAX(done_us) FROM notices WHERE prefix = $1 AND outcome = 'sent'")
                .bind(prefix.to_string())
                .fetch_one(&self.readers)
                .await?;
        let sent: Option<i64> = row.try_get(0)?;
        let sent = sent.map(|us| time(us, 0)).transpose()?;
        let row = sqlx::query(
            "SELECT * FROM notices WHERE prefix = $1 AND outcome IS NULL ORDER BY id LIMIT 1",
        )
        .bind(prefix.to_string())
        .fetch_optional(&self.readers)
        .await?;
        let waiting = row.as_ref().map(read).transpose()?;
        Ok((sent, waiting.map(|notice| (notice.id, notice.next_at))))
    }

    /// Puts a notice off without an attempt.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn postpone_notice(&self, id: u64, next_at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE notices SET next_us = $1 WHERE id = $2")
            .bind(next_at.as_microsecond())
            .bind(i64::try_from(id).unwrap_or(i64::MAX))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Says that a notice is about to be tried: from now on it stays as it is. Answers with it, unless it is done.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn try_notice(&self, id: u64) -> Result<Option<Notice>, StoreError> {
        let row = sqlx::query(
            "UPDATE notices SET attempts = attempts + 1 WHERE id = $1 AND outcome IS NULL RETURNING *",
        )
        .bind(i64::try_from(id).unwrap_or(i64::MAX))
        .fetch_optional(&self.writer)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Keeps that an attempt has failed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn notice_failed(
        &self,
        id: u64,
        error: &str,
        next_at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE notices SET error = $1, next_us = $2 WHERE id = $3")
            .bind(error.to_owned())
            .bind(next_at.as_microsecond())
            .bind(i64::try_from(id).unwrap_or(i64::MAX))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Keeps that a notice was taken, or was given up for the reason `lost`, and tells it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn notice_done(
        &self,
        notice: &Notice,
        lost: Option<&str>,
        item: Item,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query(
            "UPDATE notices SET outcome = $1, done_us = $2, error = COALESCE($3, error) WHERE id = $4",
        )
        .bind(if lost.is_some() { "lost" } else { "sent" })
        .bind(item.at.as_microsecond())
        .bind(lost.map(str::to_owned))
        .bind(i64::try_from(notice.id).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
        if let Some(flag) = item.flag {
            let kind = match lost {
                Some(_) => Kind::NoticeLost,
                None => Kind::NoticeSent,
            };
            let payload = json!({ "notice": notice.id, "mail": notice.mail, "error": lost });
            let entry = Entry::by_outgated(kind, subject(flag), payload, item.at);
            audit::append(&mut transaction, &self.name, entry).await?;
        }
        let mut told = Told::default();
        told.note(item);
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// The newest notices, the newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn notices(&self, at_most: u32) -> Result<Vec<Notice>, StoreError> {
        let rows = sqlx::query("SELECT * FROM notices ORDER BY id DESC LIMIT $1")
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Forgets notices that were done before then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trim_notices(&self, before: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM notices WHERE done_us < $1")
            .bind(before.as_microsecond())
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

async fn queue(
    transaction: &mut Transaction,
    due: &Due,
    now: Timestamp,
    next_at: Timestamp,
) -> Result<(), StoreError> {
    let open = sqlx::query(
        "SELECT * FROM notices WHERE prefix = $1 AND mail = $2 AND outcome IS NULL AND attempts = 0 \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(due.prefix.to_string())
    .bind(due.mail.clone())
    .fetch_optional(&mut **transaction)
    .await?;
    if let Some(open) = open {
        let mut notice = read(&open)?;
        notice.steps.push(due.step.clone());
        sqlx::query("UPDATE notices SET steps = $1 WHERE id = $2")
            .bind(json!(notice.steps).to_string())
            .bind(i64::try_from(notice.id).unwrap_or(i64::MAX))
            .execute(&mut **transaction)
            .await?;
        return Ok(());
    }
    let row = sqlx::query(
        "UPDATE notice_state SET last_id = last_id + 1 WHERE one = 1 RETURNING last_id",
    )
    .fetch_one(&mut **transaction)
    .await?;
    sqlx::query(
        "INSERT INTO notices (id, prefix, mail, steps, created_us, next_us, attempts) VALUES ($1, $2, $3, $4, $5, $6, 0)",
    )
    .bind(row.try_get::<i64, _>(0)?)
    .bind(due.prefix.to_string())
    .bind(due.mail.clone())
    .bind(json!([due.step]).to_string())
    .bind(now.as_microsecond())
    .bind(next_at.as_microsecond())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Notice, StoreError> {
    let id: i64 = row.try_get("id")?;
    let (prefix, steps): (String, String) = (row.try_get("prefix")?, row.try_get("steps")?);
    let attempts: i64 = row.try_get("attempts")?;
    let outcome: Option<String> = row.try_get("outcome")?;
    let done_us: Option<i64> = row.try_get("done_us")?;
    let done = outcome.zip(done_us);
    let done =
        done.map(|(outcome, at_us)| Ok::<_, StoreError>((outcome == "sent", time(at_us, id)?)));
    Ok(Notice {
        id: id.unsigned_abs(),
        prefix: prefix
            .parse()
            .map_err(|_malformed| wrong(id, format!("prefix {prefix}")))?,
        mail: row.try_get("mail")?,
        steps: serde_json::from_str(&steps).map_err(|error| wrong(id, error.to_string()))?,
        created_at: time(row.try_get("created_us")?, id)?,
        next_at: time(row.try_get("next_us")?, id)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        error: row.try_get("error")?,
        done: done.transpose()?,
    })
}

fn time(at_us: i64, id: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(at_us).map_err(|error| wrong(id, error.to_string()))
}

fn wrong(id: i64, what: String) -> StoreError {
    StoreError::Row {
        table: "notices",
        key: id.to_string(),
        what,
    }
}
