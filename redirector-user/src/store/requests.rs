//! Requests that have a key of their own, and how they were answered: for a day, so that none is done twice.

use jiff::Timestamp;
use sqlx::Row as _;

use super::{Store, StoreError};

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is this request's from now on.
    Fresh,
    /// It was another request's.
    Other,
    /// This request is being answered, or was when the controller ended.
    Begun,
    /// This request was answered.
    Answered {
        /// HTTP status.
        status: u16,
        /// JSON.
        body: String,
    },
    /// The caller has used too many keys in a day.
    TooMany,
}

impl Store {
    /// Takes a key for a request, or says what it was taken for. Keys that are older than a day are forgotten.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn begin_request(
        &self,
        caller: &str,
        key: &str,
        digest: &str,
        at: Timestamp,
    ) -> Result<Known, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let oldest = at.as_microsecond().saturating_sub(KEPT_US);
        sqlx::query("DELETE FROM requests WHERE at_us < $1")
            .bind(oldest)
            .execute(&mut *transaction)
            .await?;
        let row =
            sqlx::query("SELECT digest, status, body FROM requests WHERE caller = $1 AND key = $2")
                .bind(caller.to_owned())
                .bind(key.to_owned())
                .fetch_optional(&mut *transaction)
                .await?;
        let known = match row {
            Some(row) if row.try_get::<String, _>(0)? != digest => Known::Other,
            Some(row) => match (row.try_get::<Option<i64>, _>(1)?, row.try_get(2)?) {
                (Some(status), Some(body)) => Known::Answered {
                    status: u16::try_from(status).unwrap_or_default(),
                    body,
                },
                _ => Known::Begun,
            },
            None => {
                let row = sqlx::query("SELECT COUNT(*) FROM requests WHERE caller = $1")
                    .bind(caller.to_owned())
                    .fetch_one(&mut *transaction)
                    .await?;
                if row.try_get::<i64, _>(0)? >= KEYS_MAX {
                    Known::TooMany
                } else {
                    sqlx::query(
                        "INSERT INTO requests (caller, key, digest, at_us) VALUES ($1, $2, $3, $4)",
                    )
                    .bind(caller.to_owned())
                    .bind(key.to_owned())
                    .bind(digest.to_owned())
                    .bind(at.as_microsecond())
                    .execute(&mut *transaction)
                    .await?;
                    Known::Fresh
                }
            }
        };
        transaction.commit().await?;
        Ok(known)
    }

    /// Keeps how a request was answered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn answer_request(
        &self,
        caller: &str,
        key: &str,
        status: u16,
        body: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE requests SET status = $1, body = $2 WHERE caller = $3 AND key = $4")
            .bind(i64::from(status))
            .bind(body.to_owned())
            .bind(caller.to_owned())
            .bind(key.to_owned())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Gives a key back whose request changed nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_request(&self, caller: &str, key: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM requests WHERE caller = $1 AND key = $2")
            .bind(caller.to_owned())
            .bind(key.to_owned())
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

/// How long a key is known.
const KEPT_US: i64 = 24 * 60 * 60 * 1_000_000;
/// Keys of one caller in that time.
const KEYS_MAX: i64 = 10_000;
