//! Flags over one address, of all that there have been.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::stored::read;
use crate::{
    policy::dial::Flag,
    store::{Store, StoreError},
};

impl Store {
    /// Flags that may have been in force over an address at a moment: those that stood then, and those that they were to
    /// replace while they waited. What was in force [`crate::policy::past::in_force_at`] finds among them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flags_over_at(
        &self,
        address: IpAddr,
        at: Timestamp,
    ) -> Result<Vec<Flag>, StoreError> {
        let covering = covering(address);
        // Waiting flags may have replaced each other many times; a flag of the same prefix that had not ended long
        // before is enough to follow them, because each ended when the next was asked for.
        let text = format!(
            "WITH RECURSIVE candidates (id, replaces, activated_us) AS ( \
                 SELECT id, replaces, activated_us FROM flags \
                 WHERE prefix IN ({}) AND created_us <= $1 AND (ended_us IS NULL OR ended_us > $1) \
                 UNION \
                 SELECT before.id, before.replaces, before.activated_us FROM flags before \
                 JOIN candidates ON before.id = candidates.replaces \
                      AND (candidates.activated_us IS NULL OR candidates.activated_us > $1) \
             ) \
             SELECT flags.* FROM flags JOIN candidates ON candidates.id = flags.id",
            numbered(2, covering.len())
        );
        // Only numbers of parameters went into the text.
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(at.as_microsecond());
        for prefix in covering {
            query = query.bind(prefix.to_string());
        }
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Ended flags over an address, the newest first, at most so many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn ended_over(&self, address: IpAddr, at_most: u32) -> Result<Vec<Flag>, StoreError> {
        let covering = covering(address);
        let text = format!(
            "SELECT * FROM flags WHERE prefix IN ({}) AND ended_us IS NOT NULL ORDER BY id DESC LIMIT $1",
            numbered(2, covering.len())
        );
        // Only numbers of parameters went into the text.
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(i64::from(at_most));
        for prefix in covering {
            query = query.bind(prefix.to_string());
        }
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }
}

/// Every prefix that an address is in: at most 129, so that an index finds their flags.
fn covering(address: IpAddr) -> Vec<IpNetwork> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let wider = (0..=longest).filter_map(|length| {
        let prefix = IpNetwork::new(address, length).ok()?;
        IpNetwork::new(prefix.network(), length).ok()
    });
    wider.collect()
}

/// `$2, $3, …`
fn numbered(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count)
        .map(|number| format!("${number}"))
        .collect();
    names.join(", ")
}
