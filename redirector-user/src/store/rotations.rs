//! Figures of rotations, for as long as the operator wants to be able to try rules on them.

use jiff::Timestamp;
use sqlx::{Row as _, any::AnyRow};

use super::{Store, StoreError};
use crate::policy::rules::{Rotation, decode};

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many rotations.
    pub rotations: u64,
    /// Octets of all of them.
    pub octets: u64,
    /// When the first of them ended.
    pub since: Option<Timestamp>,
}

impl Store {
    /// Keeps one, as [`crate::policy::rules::encode`] has written it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn keep_rotation(
        &self,
        from: Timestamp,
        until: Timestamp,
        sources: usize,
        octets: Vec<u8>,
    ) -> Result<(), StoreError> {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO rotations (from_us, until_us, sources, octets, seen) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(from.as_microsecond())
        .bind(until.as_microsecond())
        .bind(count(sources))
        .bind(count(octets.len()))
        .bind(octets)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Those that ended after `after` and not after `to`, the oldest first, at most so many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn rotations(
        &self,
        after: Timestamp,
        to: Timestamp,
        at_most: u32,
    ) -> Result<Vec<Rotation>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, from_us, until_us, seen FROM rotations WHERE until_us > $1 AND until_us <= $2 \
             ORDER BY until_us, id LIMIT $3",
        )
        .bind(after.as_microsecond())
        .bind(to.as_microsecond())
        .bind(i64::from(at_most))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// What is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn kept_rotations(&self) -> Result<Kept, StoreError> {
        let row = sqlx::query(
            "SELECT COUNT(*), CAST(COALESCE(SUM(octets), 0) AS BIGINT), MIN(until_us) FROM rotations",
        )
        .fetch_one(&self.readers)
        .await?;
        let (rotations, octets): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let since: Option<i64> = row.try_get(2)?;
        Ok(Kept {
            rotations: u64::try_from(rotations).unwrap_or_default(),
            octets: u64::try_from(octets).unwrap_or_default(),
            since: since.and_then(|us| Timestamp::from_microsecond(us).ok()),
        })
    }

    /// Forgets those from before then, and the oldest of the others while they take more than `octets_max`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_rotations(
        &self,
        before: Timestamp,
        octets_max: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM rotations WHERE until_us < $1")
            .bind(before.as_microsecond())
            .execute(&self.writer)
            .await?;
        let mut over = self
            .kept_rotations()
            .await?
            .octets
            .saturating_sub(octets_max);
        while over > 0 {
            let oldest = sqlx::query(
                "SELECT until_us, octets FROM rotations ORDER BY until_us, id LIMIT 1000",
            )
            .fetch_all(&self.readers)
            .await?;
            let mut up_to = None;
            for row in &oldest {
                let octets: i64 = row.try_get(1)?;
                over = over.saturating_sub(u64::try_from(octets).unwrap_or_default());
                up_to = Some(row.try_get::<i64, _>(0)?);
                if over == 0 {
                    break;
                }
            }
            let Some(up_to) = up_to else {
                break;
            };
            sqlx::query("DELETE FROM rotations WHERE until_us <= $1")
                .bind(up_to)
                .execute(&self.writer)
                .await?;
        }
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<Rotation, StoreError> {
    let id: i64 = row.try_get("id")?;
    let wrong = |what: String| StoreError::Row {
        table: "rotations",
        key: id.to_string(),
        what,
    };
    let time = |column| -> Result<Timestamp, StoreError> {
        let us: i64 = row.try_get(column)?;
        Timestamp::from_microsecond(us).map_err(|error| wrong(error.to_string()))
    };
    let seen: Vec<u8> = row.try_get("seen")?;
    let rotation = decode(time("from_us")?, time("until_us")?, &seen);
    rotation.map_err(|damaged| wrong(damaged.to_string()))
}
