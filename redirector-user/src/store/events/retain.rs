//! Throwing events away: the old ones, and the oldest where there are too many.

use jiff::Timestamp;
use sqlx::Row as _;

use super::{Store, StoreError};

impl Store {
    /// Throws away what happened before `before`, and the oldest beyond `at_most`, a part at a time; how many went. What
    /// runs of relays that were not heard since then have told is forgotten, too: they will not tell it again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trim_events(&self, before: Timestamp, at_most: u64) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COUNT(*) FROM events")
            .fetch_one(&self.readers)
            .await?;
        let there: i64 = row.try_get(0)?;
        let too_many = there
            .saturating_sub(i64::try_from(at_most).unwrap_or(i64::MAX))
            .max(0);
        // Everything up to this number goes.
        let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM events ORDER BY seq LIMIT $1) oldest")
            .bind(too_many)
            .fetch_one(&self.readers)
            .await?;
        let through: i64 = row.try_get(0)?;
        let mut gone = 0;
        loop {
            // Writers wait for each other: nobody for long.
            let done = sqlx::query(
                "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= $1 OR at_us < $2 LIMIT 1000)",
            )
            .bind(through)
            .bind(before.as_microsecond())
            .execute(&self.writer)
            .await?
            .rows_affected();
            gone += done;
            if done == 0 {
                break;
            }
        }
        sqlx::query("DELETE FROM event_runs WHERE last_us < $1")
            .bind(before.as_microsecond())
            .execute(&self.writer)
            .await?;
        Ok(gone)
    }
}
