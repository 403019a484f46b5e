//! The way to the database: a pool that looks the same whichever database is behind it.
//!
//! With SQLite it is sqlx's pool and nothing else. PostgreSQL may be far away, or gone: each statement has its time
//! there, a connection that breaks says so to the [`Cluster`], and while that knows the database to be away nobody waits for
//! it. So whoever holds the controller's lock holds it for a bounded time, and what needs no store goes on.
//!
//! A transaction of the door that writes is the only one of all edges ([`Door::begin`]).

use std::{
    fmt,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, AnyConnection, AnyPool, Either, Execute, Executor, Row as _, SqlStr,
    any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
    pool::PoolConnection,
};
use tokio::{runtime::Handle, time::timeout};

use super::{
    StoreError,
    cluster::{Cluster, Seq},
};

/// Connections, and what is known of the database behind them; cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    pool: Arc<RwLock<AnyPool>>,
    make: Maker,
    cluster: Option<Arc<Cluster>>,
    /// Whether a transaction of it keeps all other writers out.
    alone: bool,
}

/// Columns of a table, for [`Door::as_json`].
pub(super) struct Columns {
    /// Those that nearly every row needs.
    pub(super) usual: &'static str,
    /// Those that come after them, each behind a comma. A row in which all of them are NULL ends before the first.
    pub(super) rare: &'static str,
    /// Which rows these are.
    pub(super) without_rare: &'static str,
}

/// Makes the pool, the first time and after the database was away.
pub(super) type Maker = Arc<dyn Fn() -> Result<AnyPool, sqlx::Error> + Send + Sync>;

/// A transaction: rolled back unless it is committed. An executor by `&mut *transaction`.
#[derive(Debug)]
pub(super) struct Transaction {
    line: Line,
    /// The last change before it, if it keeps others out.
    after: Option<Seq>,
}

/// One connection.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing is between.
    Sqlite(sqlx::Transaction<'static, Any>),
    /// Every answer has its time.
    Postgres(PgLine),
}

#[derive(Debug)]
pub(super) struct PgLine {
    connection: Option<PoolConnection<Any>>,
    cluster: Arc<Cluster>,
    /// A transaction is open.
    open: bool,
    /// Nothing is known against it.
    sound: bool,
}

type Rows<'e> = BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>>;

impl Door {
    pub(super) fn new(
        make: Maker,
        cluster: Option<Arc<Cluster>>,
        alone: bool,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self {
            pool: Arc::new(RwLock::new(make()?)),
            make,
            cluster,
            alone,
        })
    }

    /// Begins a transaction. One that writes to PostgreSQL holds the row that numbers changes, so that it is the only one
    /// of all edges until it ends.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        self.begin_after(None).await
    }

    /// The same, for what was judged by what this edge knows: others must not have changed anything that it has not heard
    /// of yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Behind`], and nothing has begun.
    pub(super) async fn decide(&self) -> Result<Transaction, StoreError> {
        let known = self.cluster.as_ref().map(|cluster| cluster.applied());
        self.begin_after(known).await
    }

    async fn begin_after(&self, known: Option<Seq>) -> Result<Transaction, StoreError> {
        let Some(cluster) = &self.cluster else {
            let line = Line::Sqlite(self.pool().begin().await?);
            return Ok(Transaction { line, after: None });
        };
        let mut line = self.line(cluster).await?;
        line.command("BEGIN").await?;
        line.open = true;
        let mut transaction = Transaction {
            line: Line::Postgres(line),
            after: None,
        };
        if !self.alone {
            return Ok(transaction);
        }
        let row = sqlx::query("SELECT head FROM feed WHERE one = 1 FOR UPDATE")
            .fetch_one(&mut *transaction)
            .await?;
        let head = Seq(row.try_get(0)?);
        if known.is_some_and(|known| known != head) {
            return Err(StoreError::Behind);
        }
        transaction.after = Some(head);
        Ok(transaction)
    }

    /// Rows as one text, a line for each, which is an array of its columns; to be put before `FROM`.
    pub(super) fn as_json(&self, columns: &Columns) -> String {
        let Columns {
            usual,
            rare,
            without_rare,
        } = columns;
        match self.cluster {
            None => format!(
                "group_concat(CASE WHEN {without_rare} THEN json_array({usual}) \
                 ELSE json_array({usual}{rare}) END, char(10))"
            ),
            Some(_) => format!(
                "string_agg(CAST(CASE WHEN {without_rare} THEN json_build_array({usual}) \
                 ELSE json_build_array({usual}{rare}) END AS TEXT), chr(10))"
            ),
        }
    }

    /// Begins anew with connections: those from before may never answer.
    pub(super) fn renew(&self) -> Result<(), sqlx::Error> {
        let fresh = (self.make)()?;
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(super) async fn close(&self) {
        let pool = self.pool();
        if self.cluster.is_none() {
            return pool.close().await;
        }
        // Whoever does not answer is not waited for.
        drop(timeout(ANSWER, pool.close()).await);
    }

    fn pool(&self) -> AnyPool {
        self.pool
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn line(&self, cluster: &Arc<Cluster>) -> Result<PgLine, sqlx::Error> {
        cluster.there()?;
        let connection = within(self.pool().acquire()).await;
        let connection = connection.map_err(|error| cluster.heard(error).0)?;
        Ok(PgLine {
            connection: Some(connection),
            cluster: Arc::clone(cluster),
            open: false,
            sound: true,
        })
    }
}

impl Transaction {
    /// Makes it durable.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let after = self.after;
        let head = match after {
            Some(_) => {
                let row = sqlx::query("SELECT head FROM feed WHERE one = 1")
                    .fetch_one(&mut self.line)
                    .await?;
                Some(Seq(row.try_get(0)?))
            }
            None => None,
        };
        match self.line {
            Line::Sqlite(transaction) => transaction.commit().await?,
            Line::Postgres(mut line) => {
                line.command("COMMIT").await?;
                line.open = false;
                // What this edge has changed it knows; but not what came before, if it had not heard of that.
                if let Some((after, head)) = after.zip(head) {
                    line.cluster.advance(after, head);
                }
            }
        }
        Ok(())
    }
}

impl std::ops::Deref for Transaction {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl std::ops::DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Line {
        &mut self.line
    }
}

impl<'c> Executor<'c> for &'c mut Line {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self {
            Line::Sqlite(transaction) => (&mut **transaction).fetch_many(query),
            Line::Postgres(line) => line.rows(query),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self {
            Line::Sqlite(transaction) => (&mut **transaction).fetch_optional(query),
            Line::Postgres(line) => first(line.rows(query)),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        match self {
            Line::Sqlite(transaction) => (&mut **transaction).prepare_with(sql, parameters),
            Line::Postgres(line) => match &mut line.connection {
                Some(connection) => (&mut **connection).prepare_with(sql, parameters),
                None => std::future::ready(Err(sqlx::Error::PoolClosed)).boxed(),
            },
        }
    }
}

impl<'p> Executor<'p> for &'p Door {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let Some(cluster) = &self.cluster else {
            let pool = self.pool();
            return (&pool).fetch_many(query);
        };
        let rows = async move {
            let mut line = self.line(cluster).await?;
            let rows: Vec<_> = line.rows(query).try_collect().await?;
            Ok::<_, sqlx::Error>(stream::iter(rows.into_iter().map(Ok)))
        };
        rows.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match &self.cluster {
            None => {
                let pool = self.pool();
                (&pool).fetch_optional(query)
            }
            Some(_) => first(self.fetch_many(query)),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let pool = self.pool();
        (&pool).prepare_with(sql, parameters)
    }
}

impl Line {
    pub(super) const fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

impl PgLine {
    fn rows<'e, 'q: 'e, E>(&'e mut self, query: E) -> Rows<'e>
    where
        E: 'q + Execute<'q, Any>,
    {
        let Self {
            connection: Some(connection),
            cluster,
            sound,
            ..
        } = self
        else {
            return stream::once(async { Err(sqlx::Error::PoolClosed) }).boxed();
        };
        let connection: &mut AnyConnection = connection;
        let rows = connection.fetch_many(query);
        let next = move |state: Option<(Rows<'e>, &'e Arc<Cluster>, &'e mut bool)>| async move {
            let (mut rows, cluster, sound) = state?;
            let answer = match timeout(ANSWER, rows.next()).await {
                Ok(answer) => answer?,
                Err(_elapsed) => Err(no_answer()),
            };
            match answer {
                Ok(row) => Some((Ok(row), Some((rows, cluster, sound)))),
                Err(error) => {
                    let (error, broken) = cluster.heard(error);
                    *sound &= !broken;
                    Some((Err(error), None))
                }
            }
        };
        stream::unfold(Some((rows, &*cluster, sound)), next).boxed()
    }

    async fn command(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.rows(sqlx::raw_sql(text))
            .try_for_each(|_done| async { Ok(()) })
            .await
    }
}

impl Drop for PgLine {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if self.sound && !self.open {
            return;
        }
        // The pool would wait for an answer that may never come; closed, it is rolled back by the server.
        let (true, Ok(runtime)) = (self.sound, Handle::try_current()) else {
            return drop(connection.detach());
        };
        runtime.spawn(async move {
            let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
            match timeout(ANSWER, rolled_back).await {
                Ok(Ok(_done)) => drop(connection),
                Ok(Err(_)) | Err(_) => drop(connection.detach()),
            }
        });
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("cluster", &self.cluster)
            .field("alone", &self.alone)
            .finish_non_exhaustive()
    }
}

fn first(mut rows: Rows<'_>) -> BoxFuture<'_, Result<Option<AnyRow>, sqlx::Error>> {
    Box::pin(async move {
        while let Some(row) = rows.try_next().await? {
            if let Either::Right(row) = row {
                return Ok(Some(row));
            }
        }
        Ok(None)
    })
}

/// Waits for PostgreSQL, but not for ever.
pub(super) async fn within<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(ANSWER, answer)
        .await
        .unwrap_or_else(|_elapsed| Err(no_answer()))
}

fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "no answer in time",
    ))
}

/// Longer than a commit takes where the disk is slow, and than [`super::cluster`]'s `lock_timeout`.
const ANSWER: Duration = Duration::from_secs(5);
