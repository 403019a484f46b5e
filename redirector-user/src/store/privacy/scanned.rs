//! A look at all that is held about a customer, before anything of it is erased.
//!
//! The trail of a year takes a while to read. Meanwhile everybody else goes on, so that what came after the look is looked at
//! once more, in the change that erases; there it is little.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::Row as _;

use super::{Line, Rows, Store, StoreError, rows_of};
use crate::policy::{dial::FlagId, extent::Extent};

/// What was found.
#[derive(Clone, Debug)]
pub struct Scanned {
    pub(super) rows: Rows,
    pub(super) marks: Marks,
    /// Answers that are kept, by who has asked, and the key.
    pub(super) answers: Vec<(String, String)>,
}

/// Up to where was looked, in the tables that only grow.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    /// When, and a while before: what has this time may have come since.
    pub(super) at_us: i64,
    /// Number of the newest flag.
    pub(super) flags: i64,
    /// Number of the newest firing.
    pub(super) firings: i64,
    /// Number of the newest notice.
    pub(super) notices: i64,
    /// Number of the newest row of the trail, by writer; this controller is among them.
    pub(super) trail: BTreeMap<String, i64>,
}

/// Before everything.
impl Default for Marks {
    fn default() -> Self {
        Self {
            at_us: i64::MIN,
            flags: i64::MIN,
            firings: i64::MIN,
            notices: i64::MIN,
            trail: BTreeMap::new(),
        }
    }
}

impl Store {
    /// Looks at what is held about a customer, while everybody else goes on. `Err` inside: flags that have not ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn scan_held(
        &self,
        extent: &Extent,
    ) -> Result<Result<Scanned, Vec<FlagId>>, StoreError> {
        let mut connection = self.readers.begin().await?;
        // Before the look itself: what comes in between is seen twice, not never.
        let marks = marks(&mut connection, &self.name).await?;
        let rows = rows_of(&mut connection, extent, None).await?;
        Ok(match rows.standing.is_empty() {
            true => Ok(Scanned {
                answers: answers(&mut connection, extent).await?,
                rows,
                marks,
            }),
            false => Err(rows.standing),
        })
    }
}

/// As a flag's prefix stands in an answer; those of others inside of it go with their time, in a day.
async fn answers(
    connection: &mut Line,
    extent: &Extent,
) -> Result<Vec<(String, String)>, StoreError> {
    let mut found = Vec::new();
    for span in extent.spans() {
        let text = "SELECT caller, key FROM requests WHERE body LIKE '%\"' || $1 || '\"%'";
        let query = sqlx::query(text).bind(span.prefix.to_string());
        for row in query.fetch_all(&mut *connection).await? {
            found.push((row.try_get(0)?, row.try_get(1)?));
        }
    }
    Ok(found)
}

async fn marks(connection: &mut Line, name: &str) -> Result<Marks, StoreError> {
    let mut newest = async |text| -> Result<i64, StoreError> {
        Ok(sqlx::query(text)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?)
    };
    let flags = newest("SELECT COALESCE(MAX(id), 0) FROM flags").await?;
    let firings = newest("SELECT COALESCE(MAX(id), 0) FROM firings").await?;
    let notices = newest("SELECT COALESCE(MAX(id), 0) FROM notices").await?;
    let mut trail = BTreeMap::from([(name.to_owned(), 0)]);
    let writers = sqlx::query("SELECT writer, MAX(seq) FROM audit GROUP BY writer")
        .fetch_all(&mut *connection)
        .await?;
    for row in writers {
        trail.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(Marks {
        at_us: Timestamp::now().as_microsecond() - A_WHILE_US,
        flags,
        firings,
        notices,
        trail,
    })
}

/// An hour: longer than any request, or a clock that is set.
const A_WHILE_US: i64 = 3_600_000_000;
