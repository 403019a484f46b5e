//! Appending to a writer's chain, one row or a million, inside the transaction of the change itself.

use sqlx::{AssertSqlSafe, Row as _};

use super::{Entry, FIRST, OUTGATED, Row, payload_hash, random_hex};
use crate::{
    caller,
    store::{StoreError, Transaction, values},
};

/// The end of a chain, and what is to be appended to it.
pub(in crate::store) struct Chain {
    writer: String,
    seq: i64,
    last: String,
    rows: Vec<Row>,
}

impl Chain {
    /// Finds the end of a writer's chain.
    pub(in crate::store) async fn open(
        transaction: &mut Transaction,
        writer: &str,
    ) -> Result<Self, StoreError> {
        let last =
            sqlx::query("SELECT seq, hash FROM audit WHERE writer = $1 ORDER BY seq DESC LIMIT 1")
                .bind(writer.to_owned())
                .fetch_optional(&mut **transaction)
                .await?;
        let (seq, last) = match last {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (0, String::from(FIRST)),
        };
        Ok(Self {
            writer: writer.to_owned(),
            seq,
            last,
            rows: Vec::new(),
        })
    }

    /// Appends a row; it is written with [`Chain::finish`] at the latest.
    pub(in crate::store) async fn append(
        &mut self,
        transaction: &mut Transaction,
        mut entry: Entry,
    ) -> Result<(), StoreError> {
        // What follows by itself from what somebody asked for is nobody's word.
        if entry.actor != OUTGATED
            && let (Some(payload), Some(caller)) =
                (entry.payload.as_object_mut(), caller::current())
        {
            payload.insert(String::from("caller"), caller.to_string().into());
        }
        let (salt, payload) = (random_hex::<16>()?, entry.payload.to_string());
        self.seq += 1;
        let mut row = Row {
            writer: self.writer.clone(),
            seq: self.seq,
            at_us: entry.at.as_microsecond(),
            actor: entry.actor,
            kind: entry.kind.name().to_owned(),
            subject: entry.subject,
            payload_hash: payload_hash(&salt, &payload),
            payload: Some(payload),
            salt: Some(salt),
            prev_hash: self.last.clone(),
            hash: String::new(),
        };
        row.hash = row.chained_hash();
        self.last.clone_from(&row.hash);
        self.rows.push(row);
        if self.rows.len() == ROWS_AT_ONCE {
            self.write(transaction).await?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(in crate::store) async fn finish(
        mut self,
        transaction: &mut Transaction,
    ) -> Result<(), StoreError> {
        self.write(transaction).await
    }

    async fn write(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let text = format!(
            "INSERT INTO audit (writer, seq, at_us, actor, kind, subject, payload, salt, payload_hash, prev_hash, \
             hash) VALUES {}",
            values(transaction, rows.len(), COLUMNS)
        );
        // Only the number of rows went into the text.
        let mut query = sqlx::query(AssertSqlSafe(text));
        for row in rows {
            query = query
                .bind(row.writer)
                .bind(row.seq)
                .bind(row.at_us)
                .bind(row.actor)
                .bind(row.kind)
                .bind(row.subject)
                .bind(row.payload)
                .bind(row.salt)
                .bind(row.payload_hash)
                .bind(row.prev_hash)
                .bind(row.hash);
        }
        query.execute(&mut **transaction).await?;
        Ok(())
    }
}

/// Columns of the table.
const COLUMNS: usize = 11;
/// Rows of one statement.
const ROWS_AT_ONCE: usize = 128;
