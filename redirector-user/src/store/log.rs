//! The write-ahead log goes into the database's file beside the writer, not between two of its changes.
//!
//! By itself, SQLite lets whoever commits the thousandth page copy all of them, and everybody who waits for the writer waits
//! for that: with a million flags in the file that took up to half a second. The writer still does so if the log grows beyond
//! [`LONGEST`] pages, which it does only if this has fallen behind.

use sqlx::{AnyConnection, Connection as _};

use super::{Engine, Store, StoreError, sqlite_url};

/// Keeps the log short; has a connection of its own.
#[derive(Debug)]
pub struct Checkpoints(AnyConnection);

impl Store {
    /// Begins to keep the log short; `None` where that is another program's work.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn checkpoints(&self) -> Result<Option<Checkpoints>, StoreError> {
        let Engine::Sqlite(file) = &self.engine else {
            return Ok(None);
        };
        let connection = AnyConnection::connect(&sqlite_url(file)?).await?;
        Ok(Some(Checkpoints(connection)))
    }
}

impl Checkpoints {
    /// Copies what stands in the log, without keeping anybody waiting. If nothing does, the disk is not touched.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn make(&mut self) -> Result<(), StoreError> {
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .execute(&mut self.0)
            .await?;
        Ok(())
    }
}

/// Pages of 4 KiB.
pub(super) const LONGEST: &str = "PRAGMA wal_autocheckpoint = 16384";
/// What an import has needed is given back.
pub(super) const SHRINKS: &str = "PRAGMA journal_size_limit = 67108864";
