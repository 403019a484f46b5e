//! One store of several controllers: opening it, hearing what the other edges have changed, and being the one that does what
//! is done once.
//!
//! Every change of what controllers remember has a number and is noted in the table `changes` by triggers, in its own
//! transaction: no statement can forget it, and none of SQLite's needs it. An edge reads what came after the number that it
//! knows ([`Store::news`]), and reads anew what that names ([`Store::fresh`]).
//!
//! # Diagnostics
//!
//! While PostgreSQL does not answer, everything is [`StoreError::Away`], at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use sqlx::{
    AnyConnection, Connection as _, Row as _,
    any::AnyPoolOptions,
    postgres::{PgListener, PgPoolOptions},
};

pub use super::cluster::Seq;
use super::{
    Engine, Loaded, READERS, Store, StoreError, bypasses,
    cluster::Cluster,
    conduct,
    door::{Door, Maker, within},
    drains, events, exemptions, flags, freezes, generation_of,
    schema::{self, Unchecked},
    stopwatch::Stopwatch,
    tenants, users,
};
use crate::{
    config::SharedStore,
    policy::{
        bypass::Bypasses,
        dial::{Flag, FlagId},
        exemption::Exemptions,
        rules::Conduct,
        token::Token,
    },
};

/// What has changed since this edge has looked.
#[derive(Debug)]
pub struct News {
    /// The last change.
    pub head: Seq,
    /// State of the policy that it has led to.
    pub generation: Generation,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Too much, or nobody knows any more.
    Everything,
    /// These flags, and whatever these tables have.
    Named(Vec<FlagId>, BTreeSet<String>),
}

/// What has changed, as it is now; `None` = it has not.
#[derive(Debug, Default)]
pub struct Fresh {
    /// All of it; then nothing else is named.
    pub all: Option<Loaded>,
    /// Flags, ended or not.
    pub flags: Vec<Flag>,
    /// Drained relays.
    pub drained: Option<BTreeMap<String, drains::Word>>,
    /// Users of submission.
    pub submission: Option<users::Standing>,
    /// Customers that rules have flagged.
    pub conduct: Option<BTreeMap<IpNetwork, Conduct>>,
    /// Who has frozen the rules, if somebody has.
    pub frozen: Option<Option<drains::Word>>,
    /// Who is not flagged.
    pub exemptions: Option<Exemptions>,
    /// Destinations that nobody is redirected away from.
    pub bypasses: Option<Bypasses>,
    /// Who may ask.
    pub tokens: Option<Vec<Token>>,
}

/// The connection that hears of changes, and by which an edge is the steward.
#[derive(Debug)]
pub struct Watch {
    listener: PgListener,
    cluster: Arc<Cluster>,
}

impl Store {
    /// Opens the store that several controllers share, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], or that the schema is not what it should be.
    pub async fn open_shared(at: &SharedStore) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let cluster = Cluster::new(at);
        let url = cluster.url().to_owned();
        // By itself first: a pool would try again until its time is out, and never say why.
        let mut first = within(AnyConnection::connect(&url))
            .await
            .map_err(|source| {
                let place = cluster.place().to_owned();
                StoreError::Unreachable { place, source }
            })?;
        schema::migrate(Path::new(cluster.place()), &mut first).await?;
        first.close().await?;
        let stopwatch = Stopwatch::new();
        let writer: Maker = {
            let (stopwatch, url) = (stopwatch.clone(), url.clone());
            Arc::new(move || stopwatch.on(patient(1)).connect_lazy(&url))
        };
        let readers: Maker = Arc::new(move || {
            let pool = patient(READERS).after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query("SET default_transaction_read_only = on")
                        .execute(&mut *connection)
                        .await?;
                    Ok(())
                })
            });
            pool.connect_lazy(&url)
        });
        let doors = (
            Door::new(writer, Some(Arc::clone(&cluster)), true)?,
            Door::new(readers, Some(Arc::clone(&cluster)), false)?,
        );
        Self::over(
            Engine::Postgres(cluster),
            Unchecked::default(),
            doors,
            stopwatch,
        )
        .await
    }

    /// Whether other controllers have the same store.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// The last change that this edge knows; `None` where nobody else could change anything.
    #[must_use]
    pub fn known(&self) -> Option<Seq> {
        self.cluster().map(|cluster| cluster.applied())
    }

    /// This edge has taken in all up to there.
    pub fn know(&self, head: Seq) {
        if let Some(cluster) = self.cluster() {
            cluster.apply(head);
        }
    }

    /// Where it is, without a secret, and this edge's name there; `None` where nobody else has it.
    #[must_use]
    pub fn place(&self) -> Option<(&str, &str)> {
        self.cluster()
            .map(|cluster| (cluster.place(), cluster.edge()))
    }

    /// Since when the store is away, if it is.
    #[must_use]
    pub fn is_away_since(&self) -> Option<Timestamp> {
        self.cluster().and_then(|cluster| cluster.away())
    }

    /// What others have changed, or this edge itself where it never heard that it was stored; `None` = nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Away`], [`StoreError::Database`].
    pub async fn news(&self) -> Result<Option<News>, StoreError> {
        let Some(cluster) = self.cluster() else {
            return Ok(None);
        };
        let known = cluster.applied();
        // Head and generation before what they stand for: what is newer is only read once more.
        let row = sqlx::query("SELECT feed.head, feed.gone, meta.generation FROM feed, meta")
            .fetch_one(&self.readers)
            .await?;
        let (head, gone) = (Seq(row.try_get(0)?), Seq(row.try_get(1)?));
        let generation = generation_of(row.try_get(2)?);
        // Another number behind ours is another database, as one that was restored.
        if head == known {
            return Ok(None);
        }
        let mut what = What::Everything;
        if gone <= known && known < head {
            let text =
                "SELECT DISTINCT what, key FROM changes WHERE seq > $1 AND seq <= $2 LIMIT $3";
            let rows = sqlx::query(text)
                .bind(known.0)
                .bind(head.0)
                .bind(NAMED_MOST + 1)
                .fetch_all(&self.readers)
                .await?;
            if i64::try_from(rows.len()).is_ok_and(|many| many <= NAMED_MOST) {
                let (mut flags, mut tables) = (Vec::new(), BTreeSet::new());
                for row in rows {
                    match row.try_get::<String, _>(0)? {
                        name if name == "flag" => flags.push(flags::flag_id(row.try_get(1)?)?),
                        name => drop(tables.insert(name)),
                    }
                }
                flags.sort_unstable();
                what = What::Named(flags, tables);
            }
        }
        Ok(Some(News {
            head,
            generation,
            what,
        }))
    }

    /// Reads what news are about, as it is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Away`], [`StoreError::Database`], [`StoreError::Row`].
    pub async fn fresh(&self, news: &News) -> Result<Fresh, StoreError> {
        let (numbers, tables) = match &news.what {
            What::Named(flags, tables) => (flags, tables),
            What::Everything => {
                let tokens = Some(self.tokens().await?);
                return Ok(Fresh {
                    all: Some(self.load().await?),
                    tokens,
                    ..Fresh::default()
                });
            }
        };
        let readers = &self.readers;
        let mut fresh = Fresh {
            flags: flags::of_numbers(readers, numbers).await?,
            ..Fresh::default()
        };
        for table in tables {
            match table.as_str() {
                "drains" => fresh.drained = Some(drains::standing(readers).await?),
                "users" | "submission" => fresh.submission = Some(users::standing(readers).await?),
                "conduct" => fresh.conduct = Some(conduct::standing(readers).await?),
                "freezes" => fresh.frozen = Some(freezes::standing(readers).await?),
                "exemptions" => fresh.exemptions = Some(exemptions::standing(readers).await?),
                "bypasses" => fresh.bypasses = Some(bypasses::standing(readers).await?),
                "tokens" => fresh.tokens = Some(self.tokens().await?),
                "assignments" => self.read_tenants().await?,
                // The generation alone, or something that only a newer version remembers.
                _ => {}
            }
        }
        Ok(fresh)
    }

    /// Who has what now, as it stands in the table.
    pub(super) async fn read_tenants(&self) -> Result<(), StoreError> {
        let fresh = tenants::standing(&self.readers).await?;
        let fresh = fresh.read().unwrap_or_else(PoisonError::into_inner).clone();
        *self.tenants.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The number of the last change, for whoever is about to read everything.
    pub(super) async fn head(&self) -> Result<Option<Seq>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let row = sqlx::query("SELECT head FROM feed WHERE one = 1")
            .fetch_one(&self.readers)
            .await?;
        Ok(Some(Seq(row.try_get(0)?)))
    }

    /// Tells those who follow the events here of those that happened at other edges.
    ///
    /// # Errors
    ///
    /// [`StoreError::Away`], [`StoreError::Database`].
    pub async fn hear_events(&self) -> Result<(), StoreError> {
        let newest = events::newest(&self.readers).await?;
        self.announce(Some(newest));
        Ok(())
    }

    /// Forgets what changes were about, but for the last ones: who is further behind reads everything.
    ///
    /// # Errors
    ///
    /// [`StoreError::Away`], [`StoreError::Database`].
    pub async fn trim_feed(&self) -> Result<(), StoreError> {
        if !self.is_shared() {
            return Ok(());
        }
        let text = "SELECT seq FROM changes ORDER BY seq DESC LIMIT 1 OFFSET $1";
        let row = sqlx::query(text)
            .bind(CHANGES_KEPT)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else {
            return Ok(());
        };
        let gone: i64 = row.try_get(0)?;
        let mut transaction = self.writer.begin().await?;
        for text in [
            "UPDATE feed SET gone = $1 WHERE one = 1 AND gone < $1",
            "DELETE FROM changes WHERE seq <= $1",
        ] {
            let query = sqlx::query(text).bind(gone);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Connects anew, after which the store is there again; `None` where there is nothing to hear.
    ///
    /// # Errors
    ///
    /// [`StoreError::Away`].
    pub async fn watch(&self) -> Result<Option<Watch>, StoreError> {
        let Some(cluster) = self.cluster() else {
            return Ok(None);
        };
        let connected = async {
            let options = cluster.options()?;
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(PATIENCE)
                .connect_lazy_with(options);
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        let connected = within(connected).await;
        let mut listener = connected.map_err(|error| cluster.heard(error).0)?;
        // Two of one name would write one chain of the trail.
        let alone = sqlx::query("SELECT pg_try_advisory_lock($1::int, hashtext($2))")
            .bind(EDGES)
            .bind(cluster.edge());
        let alone = within(alone.fetch_one(&mut listener)).await;
        let alone = alone.map_err(|error| cluster.heard(error).0)?;
        if !alone.try_get::<bool, _>(0)? {
            let edge = cluster.edge().to_owned();
            return Err(StoreError::EdgeTaken { edge });
        }
        // Those from before may hang on a network that has lost them.
        if cluster.there().is_err() {
            self.writer.renew()?;
            self.readers.renew()?;
            cluster.is_back();
        }
        Ok(Some(Watch {
            listener,
            cluster: Arc::clone(cluster),
        }))
    }

    fn cluster(&self) -> Option<&Arc<Cluster>> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(cluster) => Some(cluster),
        }
    }
}

impl Watch {
    /// Waits until another edge has changed something, or somebody finds the store away.
    ///
    /// # Errors
    ///
    /// [`StoreError::Away`].
    pub async fn heard(&mut self) -> Result<(), StoreError> {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into());
        let heard = tokio::select! {
            heard = self.listener.try_recv() => heard.and_then(|it| it.map(drop).ok_or_else(lost)),
            () = self.cluster.lost() => Err(lost()),
        };
        heard.map_err(|error| self.cluster.heard(error).0)?;
        // A burst is one reason to look.
        while self.listener.next_buffered().is_some() {}
        Ok(())
    }

    /// Sees that the connection holds, and whether this edge is the steward: the one that has a lock, for as long as it is
    /// connected.
    ///
    /// # Errors
    ///
    /// [`StoreError::Away`].
    pub async fn is_steward(&mut self) -> Result<bool, StoreError> {
        let text = "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted \
                    AND pid = pg_backend_pid() AND classid::bigint = $1 AND objid::bigint = $2) THEN true \
                    ELSE pg_try_advisory_lock($1::int, $2::int) END";
        let query = sqlx::query(text).bind(STEWARD.0).bind(STEWARD.1);
        let row = within(query.fetch_one(&mut self.listener)).await;
        let row = row.map_err(|error| self.cluster.heard(error).0)?;
        Ok(row.try_get(0)?)
    }
}

fn patient(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Beyond that, everything is read as fast.
const NAMED_MOST: i64 = 20_000;
/// Rows of changes that are kept.
const CHANGES_KEPT: i64 = 100_000;
/// As the triggers name it.
const CHANNEL: &str = "outgate";
/// "outg" as octets, and a number of our own: other programs may have locks in the same database.
const STEWARD: (i64, i64) = (0x6f75_7467, 1);
/// The same for names of edges.
const EDGES: i64 = 0x6f75_7468;
