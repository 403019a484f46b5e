//! Letting the oldest rows of the trail go, so that what is left still proves itself.
//!
//! Rows go from the beginning of a chain, and its last one never does. In the same transaction the chain's anchor is
//! moved, number and hash of the last row that went, and a row `trail pruned` says so under the hashes of what follows:
//! an anchor of which no such row tells was made by somebody else ([`Prover`](super::Prover) finds it). Rows are proved
//! before they go; where they do not hold they stay, as evidence.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row as _;

use super::{Broken, Entry, FIRST, Head, Kind, Row, UNTOLD, append, read, verify_row};
use crate::store::{Store, StoreError, Transaction};

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows that went.
    pub rows: u64,
    /// Whether more would have to go: so many go at once that nobody waits for long.
    pub more: bool,
    /// Chains of which nothing goes, because they do not hold.
    pub broken: Vec<Broken>,
}

/// What `trail pruned` is about: the chain of which rows went, as a head of what went.
pub(super) fn subject(anchor: &Head) -> String {
    format!("{SUBJECT}{anchor}")
}

/// The anchor that a row tells of, if it is such a row.
pub(super) fn told_by(row: &Row) -> Option<Head> {
    let said = row.subject.strip_prefix(SUBJECT);
    let said = said.filter(|_| row.kind == Kind::TrailPruned.name())?;
    said.parse().ok()
}

impl Store {
    /// Lets rows go that are older, some thousands at once. One that stands behind a younger one is as young, because the
    /// clock may have been set back meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing has gone then.
    pub async fn prune_trail(
        &self,
        before: Timestamp,
        at: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let writers = self.writers().await?;
        let mut transaction = self.writer.begin().await?;
        // What somebody else has taken away must not be told of by us.
        pruned.broken = untold(&mut transaction).await?;
        if !pruned.broken.is_empty() {
            return Ok(pruned);
        }
        for writer in &writers {
            prune_chain(&mut transaction, writer, before, &mut pruned).await?;
        }
        if pruned.rows == 0 {
            return Ok(pruned);
        }
        // Of all of them, because the row that told of another's anchor may just have gone.
        for anchor in anchors(&mut transaction).await? {
            let payload = json!({ "before": before });
            let entry = Entry::by_outgated(Kind::TrailPruned, subject(&anchor), payload, at);
            append(&mut transaction, &self.name, entry).await?;
        }
        transaction.commit().await?;
        Ok(pruned)
    }

    /// Where chains begin that do not begin with their first row.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn anchors(&self) -> Result<Vec<Head>, StoreError> {
        anchors(&mut self.readers.begin().await?).await
    }

    /// The row after which a writer's chain begins, and its hash.
    pub(super) async fn beginning(&self, writer: &str) -> Result<(i64, String), StoreError> {
        beginning(&mut self.readers.begin().await?, writer).await
    }
}

/// Chains that begin after rows of which nobody says that they went.
async fn untold(transaction: &mut Transaction) -> Result<Vec<Broken>, StoreError> {
    let mut untold = Vec::new();
    for anchor in anchors(transaction).await? {
        let told = sqlx::query("SELECT 1 FROM audit WHERE subject = $1 AND kind = $2 LIMIT 1")
            .bind(subject(&anchor))
            .bind(Kind::TrailPruned.name())
            .fetch_optional(&mut **transaction)
            .await?;
        let chain = anchor.place.filter(|_| told.is_none());
        untold.extend(chain.map(|(writer, seq)| Broken {
            writer,
            seq: seq + 1,
            what: UNTOLD,
        }));
    }
    Ok(untold)
}

async fn prune_chain(
    transaction: &mut Transaction,
    writer: &str,
    before: Timestamp,
    pruned: &mut Pruned,
) -> Result<(), StoreError> {
    let (mut seq, mut last) = beginning(transaction, writer).await?;
    let from = seq;
    // One more than may go: the last row stays.
    let rows = sqlx::query("SELECT * FROM audit WHERE writer = $1 ORDER BY seq LIMIT $2")
        .bind(writer.to_owned())
        .bind(ROWS_AT_ONCE + 1)
        .fetch_all(&mut **transaction)
        .await?;
    let Some((_, rows)) = rows.split_last() else {
        return Ok(());
    };
    for row in rows {
        let row = read(row)?;
        if row.at_us >= before.as_microsecond() {
            break;
        }
        match verify_row(&row, seq + 1, &last) {
            Ok(hash) => (seq, last) = (row.seq, hash),
            Err(broken) => {
                pruned.broken.push(broken);
                return Ok(());
            }
        }
    }
    if seq == from {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO audit_anchors (writer, seq, hash) VALUES ($1, $2, $3) \
         ON CONFLICT (writer) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
    )
    .bind(writer.to_owned())
    .bind(seq)
    .bind(last)
    .execute(&mut **transaction)
    .await?;
    let gone = sqlx::query("DELETE FROM audit WHERE writer = $1 AND seq <= $2")
        .bind(writer.to_owned())
        .bind(seq)
        .execute(&mut **transaction)
        .await?;
    pruned.rows += gone.rows_affected();
    pruned.more |= seq - from == ROWS_AT_ONCE;
    Ok(())
}

async fn anchors(transaction: &mut Transaction) -> Result<Vec<Head>, StoreError> {
    let rows = sqlx::query("SELECT writer, seq, hash FROM audit_anchors ORDER BY writer")
        .fetch_all(&mut **transaction)
        .await?;
    let heads = rows.iter().map(|row| {
        Ok(Head {
            place: Some((row.try_get(0)?, row.try_get(1)?)),
            hash: row.try_get(2)?,
        })
    });
    heads.collect()
}

async fn beginning(
    transaction: &mut Transaction,
    writer: &str,
) -> Result<(i64, String), StoreError> {
    let row = sqlx::query("SELECT seq, hash FROM audit_anchors WHERE writer = $1")
        .bind(writer.to_owned())
        .fetch_optional(&mut **transaction)
        .await?;
    match row {
        Some(row) => Ok((row.try_get(0)?, row.try_get(1)?)),
        None => Ok((0, String::from(FIRST))),
    }
}

const SUBJECT: &str = "audit:";
/// Some tenths of a second of the one writer.
const ROWS_AT_ONCE: i64 = 5000;
