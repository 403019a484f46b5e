//! Reading events back: by number, by customer, by kind; and what relays saw of a customer, added up.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Row as _, any::AnyRow};

use super::{Store, StoreError};
use crate::{
    feed::{self, Counts},
    policy::dial::FlagId,
};

/// One event as it stands in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// When, by the clock of whoever saw it.
    pub at: Timestamp,
    /// Which relay; `None` = the controller.
    pub relay: Option<String>,
    /// What kind.
    pub kind: String,
    /// Whom it is about.
    pub customer: Option<IpNetwork>,
    /// By which flag.
    pub flag: Option<FlagId>,
    /// The rest.
    pub detail: Value,
}

/// Which events.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Those after this number; `None` = the newest.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: u32,
    /// Of this kind.
    pub kind: Option<String>,
    /// About this address or prefix, or what is in it, or what it is in.
    pub customer: Option<IpNetwork>,
    /// Not older.
    pub since: Option<Timestamp>,
}

/// What relays saw of a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// In the last hour.
    pub hour: Counts,
    /// In the last 24.
    pub day: Counts,
}

impl Store {
    /// Events by number, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn events(&self, wanted: &Wanted) -> Result<Vec<Stored>, StoreError> {
        // What is not asked for is a parameter that lets everything through: one text, one plan.
        let text = match wanted.after {
            Some(_) => AFTER,
            None => NEWEST,
        };
        let (first, last) = wanted.customer.map(feed::keys).unwrap_or_default();
        let since = wanted.since.map_or(i64::MIN, Timestamp::as_microsecond);
        let rows = sqlx::query(text)
            .bind(i64::try_from(wanted.after.unwrap_or_default()).unwrap_or(i64::MAX))
            .bind(wanted.kind.clone().unwrap_or_default())
            .bind(first)
            .bind(last)
            .bind(since)
            .bind(i64::from(wanted.limit))
            .fetch_all(&self.readers)
            .await?;
        let events = rows.iter().map(read);
        match wanted.after {
            Some(_) => events.collect(),
            None => events.rev().collect(),
        }
    }

    /// What relays saw of the customers of a prefix until `now`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn seen(&self, customer: IpNetwork, now: Timestamp) -> Result<Seen, StoreError> {
        let (first, last) = feed::keys(customer);
        let text = "SELECT CAST(COALESCE(SUM(messages), 0) AS BIGINT), CAST(COALESCE(SUM(refused), 0) AS BIGINT), \
                    CAST(COALESCE(SUM(spam), 0) AS BIGINT) \
                    FROM events WHERE first_key >= $1 AND first_key <= $2 AND at_us > $3 AND messages IS NOT NULL";
        let mut counts = [Counts::default(); 2];
        for (counts, hours) in counts.iter_mut().zip([1, 24]) {
            let from = now.as_microsecond() - hours * 3_600_000_000;
            let row = sqlx::query(text)
                .bind(first.clone())
                .bind(last.clone())
                .bind(from)
                .fetch_one(&self.readers)
                .await?;
            let sum = |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
            *counts = Counts {
                messages: sum(0)?,
                refused: sum(1)?,
                spam: sum(2)?,
            };
        }
        let [hour, day] = counts;
        Ok(Seen { hour, day })
    }
}

fn read(row: &AnyRow) -> Result<Stored, StoreError> {
    let seq: i64 = row.try_get("seq")?;
    let wrong = |what: String| StoreError::Row {
        table: "events",
        key: seq.to_string(),
        what,
    };
    let customer: Option<String> = row.try_get("customer")?;
    let customer = customer.map(|customer| customer.parse());
    let flag: Option<i64> = row.try_get("flag_id")?;
    let detail: String = row.try_get("detail")?;
    Ok(Stored {
        seq: seq.unsigned_abs(),
        at: Timestamp::from_microsecond(row.try_get("at_us")?)
            .map_err(|error| wrong(error.to_string()))?,
        relay: row.try_get("relay")?,
        kind: row.try_get("kind")?,
        customer: customer
            .transpose()
            .map_err(|_malformed| wrong(String::from("customer")))?,
        flag: flag.and_then(|flag| u32::try_from(flag).ok()).map(FlagId),
        detail: serde_json::from_str(&detail).map_err(|error| wrong(error.to_string()))?,
    })
}

/// Those after a number.
const AFTER: &str = concat!(
    "SELECT seq, at_us, relay, kind, customer, flag_id, detail FROM events WHERE seq > $1 AND ($2 = '' OR kind = $2) \
     AND ($3 = '' OR (first_key <= $4 AND last_key >= $3)) AND at_us >= $5 ",
    "ORDER BY seq LIMIT $6"
);
/// The newest ones, the newest first.
const NEWEST: &str = concat!(
    "SELECT seq, at_us, relay, kind, customer, flag_id, detail FROM events WHERE seq > $1 AND ($2 = '' OR kind = $2) \
     AND ($3 = '' OR (first_key <= $4 AND last_key >= $3)) AND at_us >= $5 ",
    "ORDER BY seq DESC LIMIT $6"
);
