//! The store of record: what was decided, by whom, and the trail of it.
//!
//! Each change and its row of the trail are one transaction, durable before the call returns
//! (`synchronous = FULL` over a write-ahead log). One connection writes, so changes are in one order; a few
//! others read beside it.
//!
//! Statements are written in what SQLite and PostgreSQL share, and go through sqlx's `Any` driver: there is
//! one schema and one code path. Which it is, only `door`, `schema` and `shared` know, and what is about a file.
//!
//! With PostgreSQL several controllers have one store. What one of them changes, the others read in `changes`, and what
//! was judged without knowing of it is not stored ([`StoreError::Behind`]).
//!
//! # Diagnostics
//!
//! [`StoreError`] is sorted by who can mend it. A damaged file is refused at start, before anything is read.

pub mod audit;
pub mod bypasses;
mod cluster;
pub mod conduct;
mod door;
pub mod drains;
mod error;
pub mod events;
pub mod exemptions;
pub mod firings;
pub mod flags;
pub mod freezes;
pub mod life;
pub mod listings;
pub mod log;
pub mod notices;
mod open;
pub mod privacy;
pub mod requests;
pub mod rotations;
mod schema;
pub mod shared;
mod stopwatch;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod users;
pub mod webhooks;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::{join, sync::watch};

use crate::{
    metrics::Histogram,
    policy::{bypass::Bypasses, exemption::Exemptions, ledger::Ledger, rules::Conduct},
};
pub use error::StoreError;

use audit::{Entry, Kind};
use cluster::Cluster;
use door::{Door, Line, Transaction};
use open::{READERS, WHOLE_UP_TO, sqlite_url};
use schema::Unchecked;
use stopwatch::Stopwatch;

/// The store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
    /// Tables of it that nobody has looked at yet.
    unchecked: Unchecked,
    /// That its file is set aside if it is found damaged; with the directory of backups, if there is one.
    set_aside: Option<Option<PathBuf>>,
    writer: Door,
    readers: Door,
    /// This controller's name in the trail.
    name: String,
    /// Number of the newest event, for those who wait for the next.
    newest_event: watch::Sender<u64>,
    /// Who has what now.
    tenants: tenants::Shared,
    /// How long changes take.
    stopwatch: Stopwatch,
}

/// Which database it is.
#[derive(Clone, Debug)]
enum Engine {
    /// A file of this host.
    Sqlite(PathBuf),
    /// A server, and what is known of it.
    Postgres(Arc<Cluster>),
}

/// What the controller starts from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The last change of the store that is in it for certain, where several controllers have one.
    pub head: Option<shared::Seq>,
    /// State of the policy.
    pub generation: Generation,
    /// Every flag that has not ended, and those that a flag not yet in force has replaced.
    pub flags: Ledger,
    /// Drained relays by name.
    pub drained: BTreeMap<String, drains::Word>,
    /// Users of submission.
    pub submission: users::Standing,
    /// Customers that rules have flagged.
    pub conduct: BTreeMap<IpNetwork, Conduct>,
    /// Who has frozen the rules, if somebody has.
    pub frozen: Option<drains::Word>,
    /// Customers that cannot be flagged, or are to be.
    pub exemptions: Exemptions,
    /// Destinations that nobody is redirected away from.
    pub bypasses: Bypasses,
}

impl Store {
    /// The database's file, for what is done with a file.
    fn file(&self, what: &'static str) -> Result<&Path, StoreError> {
        match &self.engine {
            Engine::Sqlite(file) => Ok(file),
            Engine::Postgres(cluster) => Err(StoreError::NoFile {
                what,
                place: cluster.place().to_owned(),
            }),
        }
    }

    /// What the controller starts from.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`]; of a large store [`StoreError::Damaged`], or what
    /// [`Store::open_for_service`] says of such.
    pub async fn load(&self) -> Result<Loaded, StoreError> {
        let checking = self.check_tables(self.unchecked.at_load.as_slice());
        let (checked, read) = join!(checking, self.read());
        match checked {
            // Whatever was read of it.
            Err(error) => Err(self.found_damaged(error).await),
            Ok(()) => read,
        }
    }

    async fn read(&self) -> Result<Loaded, StoreError> {
        // Before what it numbers: what is newer is only read once more.
        let head = self.head().await?;
        let row = sqlx::query("SELECT generation FROM meta WHERE one = 1")
            .fetch_one(&self.readers)
            .await?;
        let generation = generation_of(row.try_get(0)?);
        if head.is_some() {
            self.read_tenants().await?;
        }
        Ok(Loaded {
            head,
            generation,
            flags: flags::standing(&self.readers).await?,
            drained: drains::standing(&self.readers).await?,
            submission: users::standing(&self.readers).await?,
            conduct: conduct::standing(&self.readers).await?,
            frozen: freezes::standing(&self.readers).await?,
            exemptions: exemptions::standing(&self.readers).await?,
            bypasses: bypasses::standing(&self.readers).await?,
        })
    }

    /// Writes a row of the trail for something that changes no table.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn record(&self, entry: Entry) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        audit::append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Notes what relays learn from the configuration; another text than the last one is a new generation.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn publish(
        &self,
        published: &Value,
        at: Timestamp,
    ) -> Result<Generation, StoreError> {
        let text = published.to_string();
        let mut transaction = self.writer.begin().await?;
        let row = sqlx::query("SELECT generation FROM meta WHERE one = 1")
            .fetch_one(&mut *transaction)
            .await?;
        let (table, own) = self.engine.own_row();
        // Words of ours, and the name of an edge, which has no quote.
        let before = format!("SELECT published FROM {table} WHERE {own}");
        let before = sqlx::query(AssertSqlSafe(before))
            .fetch_one(&mut *transaction)
            .await?;
        if before.try_get::<String, _>(0)? == text {
            return Ok(generation_of(row.try_get(0)?));
        }
        let note = format!("UPDATE {table} SET published = $1 WHERE {own}");
        sqlx::query(AssertSqlSafe(note))
            .bind(text)
            .execute(&mut *transaction)
            .await?;
        let generation = next_generation(&mut transaction).await?;
        let payload = json!({ "generation": generation, "published": published });
        let entry = Entry::by_outgated(
            Kind::ConfigurationPublished,
            String::from("configuration"),
            payload,
            at,
        );
        audit::append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(generation)
    }

    /// How long changes have taken, one by one.
    #[must_use]
    pub fn changes_took(&self) -> Histogram {
        self.stopwatch.took()
    }

    /// This controller's name in the trail.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the connections; what was committed is on disk already.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Placeholders of that many rows of values, as `($1, $2), ($3, $4)`.
fn placeholders(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let values = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", values.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// The same where there are no others in the statement. To SQLite a number is a name, which it looks up in a list for each
/// value: the cost of a statement would grow with the square of its length.
fn values(line: &Line, rows: usize, columns: usize) -> String {
    if !line.is_sqlite() {
        return placeholders(rows, columns);
    }
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row.as_str(); rows].join(", ")
}

/// Takes the next generation inside a change.
async fn next_generation(transaction: &mut Transaction) -> Result<Generation, StoreError> {
    let row = sqlx::query(
        "UPDATE meta SET generation = generation + 1 WHERE one = 1 RETURNING generation",
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(generation_of(row.try_get(0)?))
}

impl Engine {
    /// The table and the row of what is this controller's own.
    fn own_row(&self) -> (&'static str, String) {
        match self {
            Self::Sqlite(_) => ("meta", String::from("one = 1")),
            Self::Postgres(cluster) => ("edges", format!("name = '{}'", cluster.edge())),
        }
    }
}

/// Generations never reach 2^63.
fn generation_of(stored: i64) -> Generation {
    Generation(u64::try_from(stored).unwrap_or_default())
}
