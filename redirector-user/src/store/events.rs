//! Events in the store: numbered as they come, taken from relays once each, and thrown away in time.
//!
//! Numbers have no gap when they are given, and are never given twice; who follows the feed asks for what comes after the
//! number that it has seen last, and hears of the next by [`Store::newest_event`].

mod intake;
mod read;
mod retain;

use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::watch;

pub use self::intake::TakenIn;
pub use self::read::{Seen, Stored, Wanted};
use super::{Door, Store, StoreError, Transaction, values};
use crate::feed::{self, Item};

/// Events of one change, to be stored with it.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<Item>);

impl Told {
    pub(super) fn note(&mut self, item: Item) {
        self.0.push(item);
    }

    /// Stores them inside of the change; the number of the last, if there is one.
    pub(super) async fn store(
        self,
        transaction: &mut Transaction,
    ) -> Result<Option<u64>, StoreError> {
        let Ok(many @ 1..) = i64::try_from(self.0.len()) else {
            return Ok(None);
        };
        let row = sqlx::query(
            "UPDATE event_numbers SET last_seq = last_seq + $1 WHERE one = 1 RETURNING last_seq",
        )
        .bind(many)
        .fetch_one(&mut **transaction)
        .await?;
        let last: i64 = row.try_get(0)?;
        let mut seq = last - many;
        for items in self.0.chunks(ITEMS_AT_ONCE) {
            insert(transaction, seq, items).await?;
            seq += i64::try_from(items.len()).unwrap_or_default();
        }
        Ok(u64::try_from(last).ok())
    }
}

impl Store {
    /// Stores events of the controller itself that go with no change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn tell(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let told = Told(items).store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// Changes with each new event, and has the number of the newest.
    #[must_use]
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.newest_event.subscribe()
    }

    /// Tells those who wait that a change has brought events; it is committed.
    pub(super) fn announce(&self, told: Option<u64>) {
        if let Some(last) = told {
            // Changes are committed in order, but those who announce them may overtake each other.
            self.newest_event.send_if_modified(|newest| {
                let newer = last > *newest;
                *newest = last.max(*newest);
                newer
            });
        }
    }
}

/// The number that was given last.
pub(super) async fn newest(pool: &Door) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT last_seq FROM event_numbers WHERE one = 1")
        .fetch_one(pool)
        .await?;
    Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
}

/// Writes events with the numbers after `before`.
async fn insert(
    transaction: &mut Transaction,
    before: i64,
    items: &[Item],
) -> Result<(), StoreError> {
    let text = format!(
        "INSERT INTO events ({COLUMNS}) VALUES {}",
        values(transaction, items.len(), 12)
    );
    // Only the number of events went into the text.
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (item, seq) in items.iter().zip(before + 1..) {
        let (first, last) = item.customer.map(feed::keys).unzip();
        let count = |of: fn(&feed::Counts) -> u64| {
            let counts = item.counts.as_ref();
            counts.map(|counts| i64::try_from(of(counts)).unwrap_or(i64::MAX))
        };
        query = query
            .bind(seq)
            .bind(item.at.as_microsecond())
            .bind(item.relay.clone())
            .bind(item.kind.clone())
            .bind(item.customer.map(|customer| customer.to_string()))
            .bind(first)
            .bind(last)
            .bind(item.flag.map(|flag| i64::from(flag.0)))
            .bind(count(|counts| counts.messages))
            .bind(count(|counts| counts.refused))
            .bind(count(|counts| counts.spam))
            .bind(item.detail.to_string());
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

const COLUMNS: &str = "seq, at_us, relay, kind, customer, first_key, last_key, flag_id, messages, refused, spam, detail";
/// Events of one statement.
const ITEMS_AT_ONCE: usize = 128;
