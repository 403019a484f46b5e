//! What rules have done, would have done, or were kept from doing.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, any::AnyRow};

use super::{Store, StoreError};
use crate::policy::{dial::FlagId, rules::Cause};

/// One time that a rule wanted something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fired {
    /// When.
    pub at: Timestamp,
    /// Of whom.
    #[schema(value_type = String)]
    pub customer: IpNetwork,
    /// Which rule.
    pub rule: String,
    /// What came of it.
    pub outcome: Came,
    /// The rest.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What came of it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub enum Came {
    /// It was done.
    #[serde(rename = "done")]
    Done,
    /// It would have been, were the rules not frozen.
    #[serde(rename = "would have")]
    WouldHave,
    /// A cap or a guard forbade it.
    #[serde(rename = "held back")]
    HeldBack,
}

/// What is not asked for by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Detail {
    /// Where the dial is turned to; `lift` takes the flag away.
    pub dial: String,
    /// The flag that was made or lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<FlagId>,
    /// What forbade it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back_by: Option<String>,
    /// The figures.
    pub cause: Cause,
}

/// How often which rule wanted something, by what came of it.
pub type Counts = BTreeMap<(String, Came), u64>;

impl Came {
    const ALL: [Self; 3] = [Self::Done, Self::WouldHave, Self::HeldBack];

    /// As it is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::WouldHave => "would have",
            Self::HeldBack => "held back",
        }
    }
}

impl Store {
    /// Notes what rules wanted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is stored then.
    pub async fn note_firings(&self, fired: &[Fired]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) FROM firings")
            .fetch_one(&mut *transaction)
            .await?;
        let last: i64 = row.try_get(0)?;
        for (one, id) in fired.iter().zip(last + 1..) {
            sqlx::query(
                "INSERT INTO firings (id, at_us, customer, rule, outcome, detail) VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(id)
            .bind(one.at.as_microsecond())
            .bind(one.customer.to_string())
            .bind(one.rule.clone())
            .bind(one.outcome.name())
            .bind(serde_json::json!(one.detail).to_string())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The newest of them, at most so many, the newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn firings(&self, at_most: u32) -> Result<Vec<Fired>, StoreError> {
        let rows = sqlx::query("SELECT * FROM firings ORDER BY id DESC LIMIT $1")
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// How often which rule wanted something since then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn count_firings(&self, since: Timestamp) -> Result<Counts, StoreError> {
        let rows = sqlx::query(
            "SELECT rule, outcome, COUNT(*) FROM firings WHERE at_us > $1 GROUP BY rule, outcome",
        )
        .bind(since.as_microsecond())
        .fetch_all(&self.readers)
        .await?;
        let counts = rows.iter().map(|row| {
            let outcome = came(row.try_get(1)?, "count")?;
            let count: i64 = row.try_get(2)?;
            let key = (row.try_get(0)?, outcome);
            Ok((key, u64::try_from(count).unwrap_or_default()))
        });
        counts.collect()
    }

    /// Forgets those from before then, and all but the newest [`FIRINGS_MOST`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_firings(&self, before: Timestamp) -> Result<(), StoreError> {
        let text =
            "DELETE FROM firings WHERE at_us < $1 OR id <= (SELECT MAX(id) FROM firings) - $2";
        sqlx::query(text)
            .bind(before.as_microsecond())
            .bind(FIRINGS_MOST)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<Fired, StoreError> {
    let id: i64 = row.try_get("id")?;
    let key = id.to_string();
    let wrong = |what: String| StoreError::Row {
        table: "firings",
        key: key.clone(),
        what,
    };
    let customer: String = row.try_get("customer")?;
    let detail: String = row.try_get("detail")?;
    let at = Timestamp::from_microsecond(row.try_get("at_us")?);
    Ok(Fired {
        at: at.map_err(|error| wrong(error.to_string()))?,
        customer: customer
            .parse()
            .map_err(|_malformed| wrong(format!("customer {customer}")))?,
        rule: row.try_get("rule")?,
        outcome: came(row.try_get("outcome")?, &key)?,
        detail: serde_json::from_str(&detail).map_err(|error| wrong(error.to_string()))?,
    })
}

fn came(name: &str, key: &str) -> Result<Came, StoreError> {
    let known = Came::ALL.into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| StoreError::Row {
        table: "firings",
        key: key.to_owned(),
        what: format!("outcome {name}"),
    })
}

/// Some 300 octets each.
pub const FIRINGS_MOST: i64 = 1_000_000;
