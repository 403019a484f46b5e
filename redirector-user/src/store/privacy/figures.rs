//! Figures of a customer, out of those of everybody.

use serde_json::{Value, json};
use sqlx::Row as _;

use super::{Store, StoreError, time};
use crate::policy::{
    extent::Extent,
    rules::{Rotation, decode, encode},
};

impl Store {
    /// Each rotation in which a customer was seen, with what was counted.
    pub(super) async fn figures_of(&self, extent: &Extent) -> Result<Vec<Value>, StoreError> {
        let (mut told, mut after) = (Vec::new(), 0);
        loop {
            let page = self.rotations_after(after).await?;
            let Some((last, _)) = page.last() else {
                return Ok(told);
            };
            after = *last;
            for (_, rotation) in &page {
                let of_it = rotation.seen.iter();
                let of_it = of_it.filter(|(source, _)| extent.holds(**source, rotation.until));
                told.extend(of_it.map(|(source, seen)| {
                    json!({
                        "from": rotation.from, "until": rotation.until, "source": source,
                        "syns": seen.syns, "packets": seen.packets, "octets": seen.octets, "ended": seen.ended,
                        "reset": seen.reset, "short": seen.short, "connections": seen.connections,
                        "messages": seen.messages, "recipients": seen.recipients,
                        "distinct_recipients": seen.distinct_recipients, "distinct_senders": seen.distinct_senders, "unknown": seen.unknown,
                        "refused": seen.refused, "spam": seen.spam, "limit_hits": seen.limit_hits,
                        "learnt": seen.learnt,
                    })
                }));
            }
        }
    }

    /// Takes a customer out of all figures; how often it was in them.
    pub(super) async fn erase_figures(&self, extent: &Extent) -> Result<u64, StoreError> {
        let (mut gone, mut after) = (0, 0);
        loop {
            let page = self.rotations_after(after).await?;
            let Some((last, _)) = page.last() else {
                return Ok(gone);
            };
            after = *last;
            for (id, mut rotation) in page {
                let before = rotation.seen.len();
                let until = rotation.until;
                rotation
                    .seen
                    .retain(|source, _| !extent.holds(*source, until));
                let fewer = before - rotation.seen.len();
                if fewer == 0 {
                    continue;
                }
                gone += fewer as u64;
                let octets = encode(&rotation.seen);
                let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
                sqlx::query(
                    "UPDATE rotations SET sources = $1, octets = $2, seen = $3 WHERE id = $4",
                )
                .bind(count(rotation.seen.len()))
                .bind(count(octets.len()))
                .bind(octets)
                .bind(id)
                .execute(&self.writer)
                .await?;
            }
        }
    }

    /// Some rotations by number; one that cannot be read names nobody, and is left to time.
    async fn rotations_after(&self, after: i64) -> Result<Vec<(i64, Rotation)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, from_us, until_us, seen FROM rotations WHERE id > $1 ORDER BY id LIMIT 100",
        )
        .bind(after)
        .fetch_all(&self.readers)
        .await?;
        let mut page = Vec::new();
        for row in rows {
            let (from, until) = (time(row.try_get(1)?), time(row.try_get(2)?));
            let seen: Vec<u8> = row.try_get(3)?;
            let rotation = decode(from, until, &seen)
                .unwrap_or_else(|_damaged| Rotation::between(from, until));
            page.push((row.try_get(0)?, rotation));
        }
        Ok(page)
    }
}
