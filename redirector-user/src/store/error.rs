//! What can go wrong with the store, sorted by who can mend it.

use std::{io, path::PathBuf};

use jiff::Timestamp;
use sqlx::migrate::MigrateError;

use super::life;
use crate::policy::dial::FlagId;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    // The operator can mend it.
    /// The directory or file cannot be made or opened.
    #[error("{}: {source}; state_dir must be a directory that outgated may write", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a sound database.
    #[error(
        "{}: damaged: {what}; keep the file as evidence, and put a backup or nothing in its place",
        file.display()
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What the check found.
        what: String,
    },
    /// A damaged file was set aside, now or at an earlier start.
    #[error("{}: {what}; {aside}", file.display())]
    SetAside {
        /// Which.
        file: PathBuf,
        /// What the check found.
        what: String,
        /// Where it is now, and what to do.
        aside: life::Aside,
    },
    /// The schema is of a newer version.
    #[error(
        "{}: written by a newer outgated: its schema has step {found}, and this one knows those up to {known}; run that \
         version again, or restore a backup from before the upgrade (`outgate store restore FILE`)",
        file.display()
    )]
    Newer {
        /// Which.
        file: PathBuf,
        /// Its last step.
        found: i64,
        /// The last one that is known.
        known: i64,
    },
    /// Somebody has changed the schema by hand.
    #[error(
        "{}: its schema was changed by hand: {what}. Put that back (sqlite3), or restore a backup (`outgate store restore \
         FILE`)",
        file.display()
    )]
    Meddled {
        /// Which.
        file: PathBuf,
        /// The first thing that is not as it should be.
        what: String,
    },
    /// Somebody else has the lock.
    #[error("{}: another outgated runs on this state_dir; stop it first", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A file that is to be made is there.
    #[error("{}: there is such a file already; name another one, or move it away", file.display())]
    Exists {
        /// Which.
        file: PathBuf,
    },
    /// The schema cannot be brought up to date.
    #[error("{}: {source}; run the version of outgated that wrote it, or restore a backup", file.display())]
    Schema {
        /// Which.
        file: PathBuf,
        /// What does not fit.
        source: MigrateError,
    },

    // The machine failed.
    /// The database did not do what it was told.
    #[error("store: {0}")]
    Database(sqlx::Error),
    /// PostgreSQL does not answer.
    #[error(
        "the store (PostgreSQL) is away since {since}: {why}. What is in force stays in force; ask again when it is back"
    )]
    Away {
        /// Since when.
        since: Timestamp,
        /// What was found last.
        why: String,
    },
    /// Another edge is the one that writes, for longer than can be waited for.
    #[error(
        "another edge is storing something that takes long, as an import; ask again when it is done"
    )]
    Taken,
    /// Other edges have changed something that this one has not heard of yet: judged by what it knew, it is not stored.
    #[error("another edge has changed something meanwhile; ask again")]
    Behind,
    /// Another process is this edge.
    #[error(
        "store.edge: another outgated is at this store as {edge}, or was until a moment ago; each edge needs a name of its own"
    )]
    EdgeTaken {
        /// Its name.
        edge: String,
    },
    /// PostgreSQL cannot be reached when outgated starts.
    #[error(
        "store.url: nobody can be asked at {place}; what is in the kernel stays in force, and outgated begins when somebody can"
    )]
    Unreachable {
        /// Where it is, without a password.
        place: String,
        /// Why.
        source: sqlx::Error,
    },
    /// What is asked for is done with a file.
    #[error(
        "{what} is about a file, and the store is PostgreSQL ({place}); use its own programs: pg_dump, or base backups and \
         the archived log (point-in-time recovery)"
    )]
    NoFile {
        /// What was asked for.
        what: &'static str,
        /// Where the store is.
        place: String,
    },
    /// No randomness for a salt.
    #[error("no randomness from the kernel: {0}")]
    Random(#[source] io::Error),

    // Somebody wrote what this version would not.
    /// A row that cannot be read back.
    #[error("store: {table} {key}: {what}; the row was not written by outgated")]
    Row {
        /// Which table.
        table: &'static str,
        /// Which row.
        key: String,
        /// What cannot be read.
        what: String,
    },
    /// The flag ended in the meantime.
    #[error("flag {0} has ended already")]
    AlreadyEnded(FlagId),
}

impl StoreError {
    /// Whether the same may be stored a little later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Taken | Self::Behind)
    }
}
