//! Looking at a database without changing it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Connection as _, Row as _};
use utoipa::ToSchema;

use super::{Store, StoreError, unusable};
use crate::store::{audit::Proof, schema, sqlite_url};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// Which file.
    pub file: String,
    /// Its octets.
    pub octets: u64,
    /// The last step of its schema.
    pub schema: i64,
    /// What is wrong with it, at most some twenty things; none = it is sound.
    pub faults: Vec<String>,
    /// Whether its trail holds; of a controller's own store only, and of a file that is sound.
    pub trail: Option<Proof>,
}

impl Checked {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.trail.as_ref().is_none_or(Proof::holds)
    }
}

impl Store {
    /// Whether [`Store::check_rest`] has anything to look at.
    #[must_use]
    pub const fn has_rest(&self) -> bool {
        !self.unchecked.later.is_empty()
    }

    /// Looks at what [`Store::open`] has left for later, of a large store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`]; what cannot be looked at is [`StoreError::Database`].
    pub async fn check_rest(&self) -> Result<(), StoreError> {
        self.check_tables(&self.unchecked.later).await
    }

    pub(in crate::store) async fn check_tables(&self, tables: &[&str]) -> Result<(), StoreError> {
        if tables.is_empty() {
            return Ok(());
        }
        let file = self.file("a check")?;
        let mut connection = apart(file).await?;
        for table in tables {
            schema::check_table(file, &mut connection, table).await?;
        }
        Ok(())
    }

    /// Looks at every page, every index and every reference, and proves the trail. It reads all of the file, while changes
    /// go on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if that cannot be done; what is found wrong is no error.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        let file =
            self.file("a check of the database (`outgate audit verify` proves the trail)")?;
        let checked = checked(file, &mut apart(file).await?).await?;
        let trail = self.prove_trail(Vec::new()).await?;
        Ok(Checked {
            trail: Some(trail),
            ..checked
        })
    }
}

/// A connection of its own: what takes a disk minutes is not waited for when the store is closed.
async fn apart(file: &Path) -> Result<AnyConnection, StoreError> {
    let mut connection = AnyConnection::connect(&sqlite_url(file)?).await?;
    sqlx::query("PRAGMA query_only = ON")
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// The same of a file that no controller has open, as a backup.
///
/// # Errors
///
/// [`StoreError::Damaged`] for a file that is no database at all, [`StoreError::Newer`], [`StoreError::Unusable`].
pub async fn check_file(file: &Path) -> Result<Checked, StoreError> {
    std::fs::File::open(file).map_err(unusable(file))?;
    sqlx::any::install_default_drivers();
    // Nothing is written beside it, whatever journal it says that it has.
    let url = format!("{}?mode=ro&immutable=true", sqlite_url(file)?);
    let opened = AnyConnection::connect(&url).await;
    let mut connection = opened.map_err(|error| schema::opening_error(file, error))?;
    let looked = checked(file, &mut connection).await;
    connection.close().await?;
    looked
}

async fn checked(file: &Path, connection: &mut AnyConnection) -> Result<Checked, StoreError> {
    let octets = std::fs::metadata(file).map_err(unusable(file))?.len();
    let mut faults = Vec::new();
    let answer = sqlx::query("PRAGMA integrity_check(20)")
        .fetch_all(&mut *connection)
        .await;
    match answer {
        Ok(rows) => {
            for row in rows {
                let said: String = row.try_get(0)?;
                faults.extend((said != "ok").then_some(said));
            }
        }
        Err(error) => return Err(schema::opening_error(file, error)),
    }
    let schema = schema::version(file, &mut *connection).await?;
    if faults.is_empty() {
        let dangling = sqlx::query("SELECT COUNT(*) FROM pragma_foreign_key_check")
            .fetch_one(&mut *connection)
            .await?;
        let dangling: i64 = dangling.try_get(0)?;
        if dangling > 0 {
            faults.push(format!(
                "{dangling} rows refer to others that are not there"
            ));
        }
        faults.extend(schema::differences(&mut *connection).await?);
    }
    Ok(Checked {
        file: file.display().to_string(),
        octets,
        schema,
        faults,
        trail: None,
    })
}
