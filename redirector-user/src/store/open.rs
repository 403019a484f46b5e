//! A store is opened: its file made and checked, its schema brought up to date, its connections configured.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _, any::AnyPoolOptions};
use tokio::sync::watch;

use super::{
    Engine, Store, StoreError, audit,
    door::{Door, Maker},
    events, log,
    schema::{self, Unchecked},
    stopwatch::Stopwatch,
    tenants, users,
};

impl Store {
    /// Opens the database in `file`, checks it, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was changed if the file is damaged or of a newer version.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        Self::open_looking(file, WHOLE_UP_TO).await
    }

    /// The same; of a file of more octets than that, flags are not looked at before [`Store::load`], and what is only
    /// remembered not before [`Store::check_rest`].
    pub(super) async fn open_looking(file: &Path, whole_up_to: u64) -> Result<Self, StoreError> {
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
                        for pragma in READER_PRAGMAS {
                            sqlx::query(pragma).execute(&mut *connection).await?;
                        }
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
    pub(super) async fn over(
        engine: Engine,
        unchecked: Unchecked,
        (writer, readers): (Door, Door),
        stopwatch: Stopwatch,
    ) -> Result<Self, StoreError> {
        let name = name_of_writer(&engine, &writer).await?;
        users::prepare(&writer).await?;
        Ok(Self {
            engine,
            unchecked,
            set_aside: None,
            newest_event: watch::Sender::new(events::newest(&writer).await?),
            tenants: tenants::standing(&writer).await?,
            writer,
            readers,
            name,
            stopwatch,
        })
    }

    /// Checks a database, and brings its schema up to date; answers with the tables that were not looked at.
    async fn look(
        file: &Path,
        connection: &mut AnyConnection,
        whole_up_to: u64,
    ) -> Result<Unchecked, StoreError> {
        let unchecked = schema::check_integrity(file, connection, whole_up_to).await?;
        schema::migrate(file, connection).await?;
        Ok(unchecked)
    }
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

pub(super) fn sqlite_url(file: &Path) -> Result<String, StoreError> {
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

/// FULL syncs the log at each commit: what a caller was told is decided survives a power cut.
const WRITER_PRAGMAS: [&str; 5] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    log::LONGEST,
    log::SHRINKS,
];
/// Pages that readers need again are in the system's cache; 2 MB more for each of them is memory for nothing.
const READER_PRAGMAS: [&str; 2] = ["PRAGMA query_only = ON", "PRAGMA cache_size = -512"];
pub(super) const READERS: u32 = 4;
/// A slow disk reads that in a second.
pub(super) const WHOLE_UP_TO: u64 = 64 << 20;
