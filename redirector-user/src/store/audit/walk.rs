//! Reading the trail: what people look for, and all of it for whoever proves it.

use std::time::Instant;

use jiff::Timestamp;
use sqlx::Row as _;
use tokio::time::sleep;

use super::{
    Broken, Row, UNTOLD, anchor,
    proof::{From, Head, Proof, Prover},
    read, verify_row,
};
use crate::store::{Store, StoreError};

/// Which rows; what is `None` or empty is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// About this, as `flag:12`.
    pub subject: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// Of this kind, as it is spelt in the table.
    pub kind: Option<String>,
    /// Not older.
    pub since: Option<Timestamp>,
    /// The newest ones, at most so many.
    pub limit: u32,
}

impl Store {
    /// Rows by time, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trail(&self, wanted: &Wanted) -> Result<Vec<Row>, StoreError> {
        // What is not asked for is a parameter that lets everything through: one text, one plan.
        let text = match wanted.subject {
            Some(_) => OF_SUBJECT,
            None => OF_ALL,
        };
        let since = wanted.since.map_or(i64::MIN, Timestamp::as_microsecond);
        let rows = sqlx::query(text)
            .bind(wanted.subject.clone().unwrap_or_default())
            .bind(since)
            .bind(wanted.actor.clone().unwrap_or_default())
            .bind(wanted.kind.clone().unwrap_or_default())
            .bind(i64::from(wanted.limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().rev().map(read).collect()
    }

    /// Proves the chains of all writers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn prove_trail(&self, heads: Vec<Head>) -> Result<Proof, StoreError> {
        loop {
            let anchors = self.anchors().await?;
            let proof = self.prove_after(&anchors, heads.clone()).await?;
            // What was about to be read may have gone meanwhile.
            if proof.holds() || self.anchors().await? == anchors {
                return Ok(proof);
            }
        }
    }

    async fn prove_after(&self, anchors: &[Head], heads: Vec<Head>) -> Result<Proof, StoreError> {
        let mut prover = Prover::new(From::First, heads).after(anchors.iter().cloned());
        for writer in self.writers().await? {
            let mut after = i64::MIN;
            loop {
                let page = self.trail_page(&writer, after).await?;
                let Some(last) = page.last() else {
                    break;
                };
                after = last.seq;
                page.iter().for_each(|row| prover.take(row));
            }
        }
        Ok(prover.finish())
    }

    /// Everybody who has written to the trail, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn writers(&self) -> Result<Vec<String>, StoreError> {
        // One look-up for each; DISTINCT would go through every row.
        let rows = sqlx::query(
            "WITH RECURSIVE writers (writer) AS ( \
                 SELECT MIN(writer) FROM audit \
                 UNION ALL \
                 SELECT (SELECT MIN(audit.writer) FROM audit WHERE audit.writer > writers.writer) \
                 FROM writers WHERE writers.writer IS NOT NULL \
             ) \
             SELECT writer FROM writers WHERE writer IS NOT NULL ORDER BY writer",
        )
        .fetch_all(&self.readers)
        .await?;
        let names = rows.iter().map(|row| Ok(row.try_get(0)?));
        names.collect()
    }

    /// The next rows of a writer, in order; none at the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trail_page(&self, writer: &str, after: i64) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE writer = $1 AND seq > $2 ORDER BY seq LIMIT 1000",
        )
        .bind(writer.to_owned())
        .bind(after)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Verifies this controller's own chain, from where it begins; answers with the number of the last row and its hash.
    /// It takes its time: of a long chain it is at work a tenth of it, for whoever has waited for the start has more urgent things
    /// for the disk and the processor.
    ///
    /// # Errors
    ///
    /// The outer error is the store's, the inner one the chain's.
    pub async fn verify_trail(&self) -> Result<Result<(i64, String), Broken>, StoreError> {
        loop {
            let (begin, hash) = self.beginning(&self.name).await?;
            let verified = self.verify_after(begin, hash).await?;
            // What was about to be read may have gone meanwhile.
            if verified.is_ok() || self.beginning(&self.name).await?.0 == begin {
                return Ok(verified);
            }
        }
    }

    async fn verify_after(
        &self,
        begin: i64,
        hash: String,
    ) -> Result<Result<(i64, String), Broken>, StoreError> {
        let (mut seq, mut last, mut is_told) = (begin, hash, begin == 0);
        loop {
            let begun = Instant::now();
            let page = self.trail_page(&self.name, seq).await?;
            if page.is_empty() {
                return Ok(match is_told {
                    true => Ok((seq, last)),
                    false => Err(Broken {
                        writer: self.name.clone(),
                        seq: begin + 1,
                        what: UNTOLD,
                    }),
                });
            }
            for row in &page {
                last = match verify_row(row, seq + 1, &last) {
                    Ok(hash) => hash,
                    Err(broken) => return Ok(Err(broken)),
                };
                seq += 1;
                let of_it = anchor::told_by(row).and_then(|anchor| anchor.place);
                is_told |= of_it.is_some_and(|(writer, at)| writer == self.name && at == begin);
            }
            sleep(begun.elapsed() * REST).await;
        }
    }

    /// The number before a writer's first row that is not older; the clock may have been set back meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trail_before(&self, writer: &str, since: Timestamp) -> Result<i64, StoreError> {
        let row = sqlx::query(
            "SELECT COALESCE(MIN(CASE WHEN at_us >= $1 THEN seq END), MAX(seq) + 1) - 1 FROM audit WHERE writer = $2",
        )
        .bind(since.as_microsecond())
        .bind(writer.to_owned())
        .fetch_one(&self.readers)
        .await?;
        Ok(row.try_get(0)?)
    }
}

const OF_SUBJECT: &str = "SELECT * FROM audit WHERE subject = $1 AND at_us >= $2 AND ($3 = '' OR actor = $3) \
                          AND ($4 = '' OR kind = $4) ORDER BY at_us DESC, writer DESC, seq DESC LIMIT $5";
/// The subject is bound all the same, so that both have the same values.
const OF_ALL: &str = "SELECT * FROM audit WHERE $1 = '' AND at_us >= $2 AND ($3 = '' OR actor = $3) \
                      AND ($4 = '' OR kind = $4) ORDER BY at_us DESC, writer DESC, seq DESC LIMIT $5";

/// So many times as long as it has worked it rests.
const REST: u32 = 9;
