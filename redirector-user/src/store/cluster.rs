//! The PostgreSQL behind several controllers: where it is, whether it answers, and which change this edge knows last.
//!
//! Whoever finds the database away says so by [`Cluster::heard`]; from then on nobody waits for it, until a [`Watch`] has
//! connected again. What is kept here is memory: the truth about the cluster stands in the tables `feed` and `changes`.

use std::{
    fmt, io,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;

use super::StoreError;
use crate::config::SharedStore;

/// The number of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub(super) i64);

/// What is known of the database; shared by every clone of the store.
pub(super) struct Cluster {
    /// With the settings of a session. It may have a password.
    url: String,
    /// Where the database is, without a secret.
    place: String,
    edge: String,
    applied: AtomicI64,
    away: watch::Sender<Option<Timestamp>>,
}

/// The database does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the store (PostgreSQL) is away since {since}: {why}")]
pub(super) struct Away {
    pub(super) since: Timestamp,
    why: String,
}

impl Cluster {
    pub(super) fn new(at: &SharedStore) -> Arc<Self> {
        Arc::new(Self {
            url: with_settings(at),
            place: at.place(),
            edge: at.edge.clone(),
            applied: AtomicI64::new(0),
            away: watch::Sender::new(None),
        })
    }

    /// With a password, perhaps.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        PgConnectOptions::from_str(&self.url)
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn edge(&self) -> &str {
        &self.edge
    }

    /// The last change that this edge knows, with all before it.
    pub(super) fn applied(&self) -> Seq {
        Seq(self.applied.load(Ordering::Acquire))
    }

    /// This edge knows all up to there now.
    pub(super) fn apply(&self, head: Seq) {
        self.applied.store(head.0, Ordering::Release);
    }

    /// What this edge has changed itself it knows, if it knew all before.
    pub(super) fn advance(&self, after: Seq, head: Seq) {
        let order = (Ordering::AcqRel, Ordering::Acquire);
        // Else the feed brings it, with what came before.
        let _known = self
            .applied
            .compare_exchange(after.0, head.0, order.0, order.1);
    }

    /// Since when the database is away.
    pub(super) fn away(&self) -> Option<Timestamp> {
        *self.away.borrow()
    }

    /// Nobody waits for a database that is away.
    pub(super) fn there(&self) -> Result<(), sqlx::Error> {
        match *self.away.borrow() {
            None => Ok(()),
            Some(since) => Err(gone(since, String::from("not asked"))),
        }
    }

    /// It answers again.
    pub(super) fn is_back(&self) {
        self.away.send_replace(None);
    }

    /// Looks at an error: one that ends a connection is told to everybody. Answers with what to say of it, and whether the
    /// connection is of no use any more.
    pub(super) fn heard(&self, error: sqlx::Error) -> (sqlx::Error, bool) {
        if !breaks(&error) {
            return (error, false);
        }
        let now = Timestamp::now();
        let first = self.away.send_if_modified(|since| {
            let first = since.is_none();
            since.get_or_insert(now);
            first
        });
        if first {
            tracing::error!(
                store = self.place, %error,
                "the store is away; what is in the kernel stays in force, and nothing can be changed until it is back"
            );
        }
        let since = self.away.borrow().unwrap_or(now);
        (gone(since, error.to_string()), true)
    }

    /// Becomes ready when the database is away: what was found before it was back says nothing any more.
    pub(super) async fn lost(&self) {
        let mut away = self.away.subscribe();
        // The sender lives in `self`.
        let _since = away.wait_for(Option::is_some).await;
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("place", &self.place)
            .field("edge", &self.edge)
            .field("applied", &self.applied)
            .field("away", &*self.away.borrow())
            .finish_non_exhaustive()
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Io(inner) = &error
            && let Some(away) = inner.get_ref().and_then(|it| it.downcast_ref::<Away>())
        {
            return Self::Away {
                since: away.since,
                why: away.why.clone(),
            };
        }
        match code(&error).as_deref() {
            Some(LOCK_NOT_AVAILABLE) => Self::Taken,
            Some(_) | None => Self::Database(error),
        }
    }
}

fn gone(since: Timestamp, why: String) -> sqlx::Error {
    sqlx::Error::Io(io::Error::other(Away { since, why }))
}

/// Whether an error is the connection's, or the server's as a whole, and not the statement's.
fn breaks(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(_) => code(error).is_some_and(|code| {
            code.starts_with(CONNECTION_EXCEPTION) || ENDS.contains(&code.as_str())
        }),
        _ => false,
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    error.code().map(|code| code.into_owned())
}

/// The URL with what every session is to be like. An edge that vanishes must not keep the others out: its transaction
/// ends, and a connection that does not answer is closed, within seconds.
fn with_settings(at: &SharedStore) -> String {
    let mut url = at.url.reveal().to_owned();
    let edge = ("outgate.edge", at.edge.as_str());
    for (name, value) in SETTINGS.into_iter().chain([edge]) {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("options[{name}]={value}"));
    }
    url.push_str(&format!("&application_name=outgated@{}", at.edge));
    // The driver takes an IPv6 address in brackets (RFC 3986, section 3.2.2) for a name, and one that is named so for what it is.
    let options = PgConnectOptions::from_str(&url).unwrap_or_default();
    let host = options.get_host();
    if let Some(address) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        url.push_str(&format!("&host={address}"));
    }
    url
}

/// PostgreSQL's names and values.
const SETTINGS: [(&str, &str); 8] = [
    ("synchronous_commit", "on"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("lock_timeout", "3s"),
    ("client_min_messages", "warning"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10s"),
];
const LOCK_NOT_AVAILABLE: &str = "55P03";
const CONNECTION_EXCEPTION: &str = "08";
/// The server is stopped, has crashed, or starts; has no place; has ended the session; is the one that is only read.
const ENDS: [&str; 7] = [
    "57P01", "57P02", "57P03", "53300", "25P03", "57P05", "25006",
];

#[cfg(test)]
mod tests;
