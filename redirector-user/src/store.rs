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
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _, any::AnyPoolOptions};

use tokio::sync::watch;

use crate::{
    metrics::Histogram,
    policy::{bypass::Bypasses, exemption::Exemptions, ledger::Ledger, rules::Conduct},
};
pub use error::StoreError;

use audit::{Entry, Kind};
use cluster::Cluster;
use door::{Door, Line, Maker, Transaction};
use stopwatch::Stopwatch;

/// The store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
    /// Tables of it that nobody has looked at yet.
    unchecked: Vec<&'static str>,
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
    /// Opens the database in `file`, checks it, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was changed if the file is damaged or of a newer version.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        Self::open_looking(file, WHOLE_UP_TO).await
    }

    /// The same; of a file of more octets than that, what is only remembered is not looked at before
    /// [`Store::check_rest`].
    async fn open_looking(file: &Path, whole_up_to: u64) -> Result<Self, StoreError> {
        create(file)?;
        sqlx::any::install_default_drivers();
        let url = sqlite_url(file)?;
        // By itself first: a pool would try again until its time is out, and never say why.
        let mut first = match AnyConnection::connect(&url).await {
            Ok(connection) => connection,
            Err(error) => return Err(schema::opening_error(file, error)),
        };
        let looked = Self::look(file, &mut first, whole_up_to).await;
        // Whatever it is: what SQLite keeps beside a file goes with the last connection, and whoever is told may want to move it.
        let closed = first.close().await;
        let unchecked = looked?;
        closed?;
        let stopwatch = Stopwatch::new();
        let writer: Maker = {
            let (stopwatch, url) = (stopwatch.clone(), url.clone());
            Arc::new(move || {
                stopwatch
                    .on(AnyPoolOptions::new())
                    .max_connections(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .after_connect(|connection, _| {
                        Box::pin(async move {
                            for pragma in WRITER_PRAGMAS {
                                sqlx::query(pragma).execute(&mut *connection).await?;
                            }
                            Ok(())
                        })
                    })
                    .connect_lazy(&url)
            })
        };
        let readers: Maker = Arc::new(move || {
            AnyPoolOptions::new()
                .max_connections(READERS)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        sqlx::query("PRAGMA query_only = ON")
                            .execute(&mut *connection)
                            .await?;
                        Ok(())
                    })
                })
                .connect_lazy(&url)
        });
        let doors = (
            Door::new(writer, None, true)?,
            Door::new(readers, None, false)?,
        );
        let engine = Engine::Sqlite(file.to_owned());
        Self::over(engine, unchecked, doors, stopwatch).await
    }

    /// The store over a database whose schema is up to date.
    async fn over(
        engine: Engine,
        unchecked: Vec<&'static str>,
        (writer, readers): (Door, Door),
        stopwatch: Stopwatch,
    ) -> Result<Self, StoreError> {
        let name = name_of_writer(&engine, &writer).await?;
        users::prepare(&writer).await?;
        Ok(Self {
            engine,
            unchecked,
            newest_event: watch::Sender::new(events::newest(&writer).await?),
            tenants: tenants::standing(&writer).await?,
            writer,
            readers,
            name,
            stopwatch,
        })
    }

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

    /// Checks a database, and brings its schema up to date; answers with the tables that were not looked at.
    async fn look(
        file: &Path,
        connection: &mut AnyConnection,
        whole_up_to: u64,
    ) -> Result<Vec<&'static str>, StoreError> {
        let unchecked = schema::check_integrity(file, connection, whole_up_to).await?;
        schema::migrate(file, connection).await?;
        Ok(unchecked)
    }

    /// What the controller starts from.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn load(&self) -> Result<Loaded, StoreError> {
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

/// Makes directory and file, both for the owner alone: the store names customers and reasons.
fn create(file: &Path) -> Result<(), StoreError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Unusable { path, source }
    };
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(unusable(directory))?;
    let options = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(file);
    options.map(drop).map_err(unusable(file))
}

fn sqlite_url(file: &Path) -> Result<String, StoreError> {
    let path = file.to_str().ok_or_else(|| StoreError::Unusable {
        path: file.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"),
    })?;
    // What ends a path in a URL.
    let escaped = path
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    Ok(format!("sqlite://{escaped}"))
}

/// This controller's name in the trail, chosen when the store is made, or when its edge first comes to it.
async fn name_of_writer(engine: &Engine, writer: &Door) -> Result<String, StoreError> {
    let fresh = format!("outgated-{}", audit::random_hex::<6>()?);
    let choose = match engine {
        Engine::Sqlite(_) => sqlx::query(
            "INSERT INTO meta (one, generation, writer, published) VALUES (1, 0, $1, '') ON CONFLICT (one) DO NOTHING",
        )
        .bind(fresh),
        Engine::Postgres(cluster) => sqlx::query(
            "INSERT INTO edges (name, writer, published) VALUES ($2, $1, '') ON CONFLICT (name) DO NOTHING",
        )
        .bind(fresh)
        .bind(cluster.edge().to_owned()),
    };
    choose.execute(writer).await?;
    let (table, own) = engine.own_row();
    // Words of ours, and the name of an edge, which has no quote.
    let text = format!("SELECT writer FROM {table} WHERE {own}");
    let row = sqlx::query(AssertSqlSafe(text)).fetch_one(writer).await?;
    Ok(row.try_get(0)?)
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

/// FULL syncs the log at each commit: what a caller was told is decided survives a power cut.
const WRITER_PRAGMAS: [&str; 5] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    log::LONGEST,
    log::SHRINKS,
];
const READERS: u32 = 4;
/// A slow disk reads that in a second.
const WHOLE_UP_TO: u64 = 64 << 20;
