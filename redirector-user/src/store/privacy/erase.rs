//! Erasing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row as _;
use utoipa::ToSchema;

use super::{Rows, Scanned, rows_of};
use crate::{
    feed,
    policy::{
        dial::FlagId,
        extent::{Extent, Span},
    },
    store::{
        Engine, Line, Store, StoreError, Transaction, WHOLE_UP_TO,
        audit::{self, Entry, Kind},
        drains::Word,
    },
};

/// How much was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gone {
    /// Flags that have ended, whose texts are gone.
    pub flags: u64,
    /// Events.
    pub events: u64,
    /// Times that a rule wanted something.
    pub firings: u64,
    /// Customers whose conduct was remembered.
    pub conduct: u64,
    /// Assignments that have ended.
    pub assignments: u64,
    /// Exemptions that have ended, whose texts are gone.
    #[serde(default)]
    pub exemptions: u64,
    /// Notices to the customer.
    #[serde(default)]
    pub notices: u64,
    /// Listings that are over, and open ones of which is gone what was sent from there.
    #[serde(default)]
    pub listings: u64,
    /// Customers whose name and contact are gone.
    #[serde(default)]
    pub customers: u64,
    /// Turns of the radar with figures.
    pub figures: u64,
    /// Payloads of the trail.
    pub trail: u64,
    /// Answers that were kept for those who ask again.
    pub answers: u64,
}

impl Store {
    /// Erases what is held about a customer; the trail says who did it, when, why, and how much it was. `Err` inside: flags
    /// that have not ended, and nothing was erased.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; figures may be gone then, and nothing else.
    pub async fn erase(
        &self,
        extent: &Extent,
        word: &Word,
    ) -> Result<Result<Gone, Vec<FlagId>>, StoreError> {
        match self.scan_held(extent).await? {
            Ok(scanned) => {
                let figures = self.erase_figures(extent).await?;
                let erased = self.erase_scanned(extent, word, &scanned, figures).await?;
                self.forget_pages().await;
                Ok(erased)
            }
            Err(standing) => Ok(Err(standing)),
        }
    }

    /// Takes a customer out of all figures, which nothing else refers to; how often it was in them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn erase_figures_of(&self, extent: &Extent) -> Result<u64, StoreError> {
        self.erase_figures(extent).await
    }

    /// Erases what a look has found, and what came after it; whoever calls keeps flags from coming meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is erased then, but for figures.
    pub async fn erase_scanned(
        &self,
        extent: &Extent,
        word: &Word,
        scanned: &Scanned,
        figures: u64,
    ) -> Result<Result<Gone, Vec<FlagId>>, StoreError> {
        let mut transaction = self.writer.begin().await?;
        if let Engine::Postgres(_) = self.engine {
            // Its rows are gone for whoever asks; the pages are the server's (VACUUM), and its log is.
            return self
                .erase_rows(transaction, extent, word, scanned, figures)
                .await;
        }
        // Should nobody come to write the file anew, at least what is deleted itself is not in it.
        sqlx::query("PRAGMA secure_delete = ON")
            .fetch_all(&mut *transaction)
            .await?;
        let erased = self
            .erase_rows(transaction, extent, word, scanned, figures)
            .await;
        sqlx::query("PRAGMA secure_delete = OFF")
            .fetch_all(&self.writer)
            .await?;
        erased
    }

    /// Begins the log anew, and writes the file anew unless it is large: nothing of what was erased is in them then. Deleting
    /// alone, even with `secure_delete`, leaves what pages held before they were split. Answers whether that was done: of a large
    /// file it would take minutes, for which every change would wait, and a server's pages are its own.
    pub async fn forget_pages(&self) -> bool {
        self.forget_pages_up_to(WHOLE_UP_TO).await
    }

    /// The same; a file of more octets than that is large.
    pub(in crate::store) async fn forget_pages_up_to(&self, whole_up_to: u64) -> bool {
        let Engine::Sqlite(file) = &self.engine else {
            return false;
        };
        let forgotten = async {
            let small = std::fs::metadata(file)?.len() <= whole_up_to;
            if small {
                sqlx::query("VACUUM").execute(&self.writer).await?;
            }
            let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .fetch_one(&self.writer)
                .await?;
            Ok::<_, sqlx::Error>((small, row.try_get::<i64, _>(0)? == 0))
        };
        match forgotten.await {
            Ok((small, true)) => small,
            Ok((_, false)) => {
                tracing::warn!(
                    "somebody reads the store: its log still has what was erased, until it is begun anew"
                );
                false
            }
            Err(error) => {
                tracing::error!(
                    %error, "the store's file still has octets of what was erased; erase again when this is mended"
                );
                false
            }
        }
    }

    async fn erase_rows(
        &self,
        mut transaction: Transaction,
        extent: &Extent,
        word: &Word,
        scanned: &Scanned,
        figures: u64,
    ) -> Result<Result<Gone, Vec<FlagId>>, StoreError> {
        let rows = rows_of(&mut transaction, extent, Some(scanned)).await?;
        if !rows.standing.is_empty() {
            return Ok(Err(rows.standing));
        }
        let mut gone = Gone {
            figures,
            flags: rows.flags.len() as u64,
            ..Gone::default()
        };
        erase_by_keys(&mut transaction, extent, scanned, &mut gone).await?;
        erase_found(&mut transaction, &rows, &mut gone).await?;
        let entry = Entry {
            at: word.at,
            actor: word.by.clone(),
            kind: Kind::Erased,
            subject: String::from("privacy"),
            payload: json!({ "reason": word.reason, "gone": gone }),
        };
        audit::append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(Ok(gone))
    }
}

async fn erase_by_keys(
    connection: &mut Line,
    extent: &Extent,
    scanned: &Scanned,
    gone: &mut Gone,
) -> Result<(), StoreError> {
    for (caller, key) in &scanned.answers {
        let query = sqlx::query("DELETE FROM requests WHERE caller = $1 AND key = $2");
        let query = query.bind(caller.clone()).bind(key.clone());
        gone.answers += query.execute(&mut *connection).await?.rows_affected();
    }
    for span in extent.spans() {
        let (from, to, first, last) = bounds(span);
        let text = "DELETE FROM events WHERE first_key >= $1 AND last_key <= $2 AND at_us >= $3 AND at_us < $4";
        let query = sqlx::query(text).bind(first).bind(last).bind(from).bind(to);
        gone.events += query.execute(&mut *connection).await?.rows_affected();
        // Those that came after the look.
        let text = "DELETE FROM requests WHERE at_us >= $2 AND body LIKE '%\"' || $1 || '\"%'";
        let query = sqlx::query(text).bind(span.prefix.to_string());
        let query = query.bind(scanned.marks.at_us);
        gone.answers += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(())
}

async fn erase_found(
    connection: &mut Line,
    rows: &Rows,
    gone: &mut Gone,
) -> Result<(), StoreError> {
    for id in &rows.flags {
        sqlx::query(
            "UPDATE flags SET reason = $1, ticket = NULL, cause = NULL, ended_reason = $1, despite_exemption = NULL WHERE id = $2 \
             AND ended_us IS NOT NULL",
        )
        .bind(ERASED)
        .bind(i64::from(id.0))
        .execute(&mut *connection)
        .await?;
    }
    for id in &rows.ended_exemptions {
        let query = sqlx::query(
            "UPDATE exemptions SET reference = $1, reason = $1, ended_reason = $1 WHERE id = $2 AND ended_us IS NOT NULL",
        );
        let query = query.bind(ERASED).bind(*id);
        gone.exemptions += query.execute(&mut *connection).await?.rows_affected();
    }
    for id in &rows.notices {
        let query = sqlx::query("DELETE FROM notices WHERE id = $1").bind(*id);
        gone.notices += query.execute(&mut *connection).await?.rows_affected();
    }
    for id in &rows.listings {
        for text in [
            "DELETE FROM listings WHERE id = $1 AND closed_us IS NOT NULL",
            "UPDATE listings SET evidence = NULL WHERE id = $1 AND evidence IS NOT NULL",
        ] {
            let query = sqlx::query(text).bind(*id);
            gone.listings += query.execute(&mut *connection).await?.rows_affected();
        }
    }
    for number in &rows.customers {
        let text = "UPDATE customers SET name = NULL, contact = NULL WHERE number = $1";
        let query = sqlx::query(text).bind(*number);
        gone.customers += query.execute(&mut *connection).await?.rows_affected();
    }
    for id in &rows.firings {
        let query = sqlx::query("DELETE FROM firings WHERE id = $1").bind(*id);
        gone.firings += query.execute(&mut *connection).await?.rows_affected();
    }
    for customer in &rows.conduct {
        let query = sqlx::query("DELETE FROM conduct WHERE customer = $1").bind(customer.clone());
        gone.conduct += query.execute(&mut *connection).await?.rows_affected();
    }
    for (prefix, from) in &rows.assignments {
        let query = sqlx::query("DELETE FROM assignments WHERE prefix = $1 AND from_us = $2");
        let query = query.bind(prefix.clone()).bind(*from);
        gone.assignments += query.execute(&mut *connection).await?.rows_affected();
    }
    for (writer, seq) in &rows.trail {
        let query = sqlx::query(
            "UPDATE audit SET payload = NULL, salt = NULL WHERE writer = $1 AND seq = $2 AND payload IS NOT NULL",
        );
        let query = query.bind(writer.clone()).bind(*seq);
        gone.trail += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(())
}

/// Times and keys between which a span's rows are: from, until (exclusive), first key, last key.
pub(super) fn bounds(span: &Span) -> (i64, i64, String, String) {
    let (first, last) = feed::keys(span.prefix);
    let from = span.from.map_or(i64::MIN, Timestamp::as_microsecond);
    let to = span.to.map_or(i64::MAX, Timestamp::as_microsecond);
    (from, to, first, last)
}

/// In the place of texts that must be there.
const ERASED: &str = "(erased)";
