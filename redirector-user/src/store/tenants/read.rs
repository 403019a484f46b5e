//! What is asked of customers and assignments.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::{Assignment, Customer, CustomerId, Store, StoreError, read_assignment, read_customer};
use crate::{
    policy::{dial::Flag, tenant::around},
    store::{flags, placeholders},
};

impl Store {
    /// One customer that is not removed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn customer(&self, id: &CustomerId) -> Result<Option<Customer>, StoreError> {
        let row = sqlx::query("SELECT * FROM customers WHERE id = $1 AND removed_us IS NULL")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read_customer).transpose()
    }

    /// Customers that are not removed, by key, from the one after `after`, at most so many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn customers(
        &self,
        after: &str,
        at_most: u32,
    ) -> Result<BTreeMap<CustomerId, Customer>, StoreError> {
        let text =
            "SELECT * FROM customers WHERE removed_us IS NULL AND id > $1 ORDER BY id LIMIT $2";
        let rows = sqlx::query(text)
            .bind(after.to_owned())
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        let customers = rows.iter().map(|row| {
            let customer = read_customer(row)?;
            Ok((customer.id.clone(), customer))
        });
        customers.collect()
    }

    /// What a customer has and had, the newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn assignments_of(&self, id: &CustomerId) -> Result<Vec<Assignment>, StoreError> {
        let text = "SELECT * FROM assignments WHERE customer = $1 ORDER BY from_us DESC, prefix";
        let rows = sqlx::query(text)
            .bind(id.to_string())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read_assignment).collect()
    }

    /// Flags that were made for a customer, the newest first, at most so many.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flags_of(&self, id: &CustomerId, at_most: u32) -> Result<Vec<Flag>, StoreError> {
        let text = "SELECT * FROM flags WHERE customer = $1 ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(text)
            .bind(id.to_string())
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(flags::read).collect()
    }

    /// When the last assignment of exactly this prefix that has ended did so.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn last_unassigned(
        &self,
        prefix: IpNetwork,
    ) -> Result<Option<Timestamp>, StoreError> {
        use sqlx::Row as _;
        let row = sqlx::query("SELECT MAX(to_us) FROM assignments WHERE prefix = $1")
            .bind(prefix.to_string())
            .fetch_one(&self.readers)
            .await?;
        let at = row.try_get::<Option<i64>, _>(0)?;
        Ok(at.and_then(|us| Timestamp::from_microsecond(us).ok()))
    }

    /// The most specific assignment around a prefix at a moment.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn who(
        &self,
        target: IpNetwork,
        at: Timestamp,
    ) -> Result<Option<Assignment>, StoreError> {
        let rows = self.over_at("assignments", "from_us", "to_us", target, at);
        let found: Result<Vec<_>, _> = rows.await?.iter().map(read_assignment).collect();
        Ok(found?.into_iter().max_by_key(|it| it.prefix.prefix()))
    }

    /// Flags around a prefix at a moment, the most specific first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flags_at(
        &self,
        target: IpNetwork,
        at: Timestamp,
    ) -> Result<Vec<Flag>, StoreError> {
        let rows = self.over_at("flags", "created_us", "ended_us", target, at);
        let found: Result<Vec<Flag>, _> = rows.await?.iter().map(flags::read).collect();
        let mut found = found?;
        found.sort_by_key(|flag| std::cmp::Reverse(flag.terms.prefix.prefix()));
        Ok(found)
    }

    /// Rows about a prefix and what is around it that were there at a moment.
    async fn over_at(
        &self,
        table: &str,
        from: &str,
        to: &str,
        target: IpNetwork,
        at: Timestamp,
    ) -> Result<Vec<sqlx::any::AnyRow>, StoreError> {
        let around: Vec<String> = around(target).map(|prefix| prefix.to_string()).collect();
        let names = placeholders(1, around.len() + 1).replacen("$1, ", "", 1);
        let text = format!(
            "SELECT * FROM {table} WHERE prefix IN {names} AND {from} <= $1 AND ({to} IS NULL OR {to} > $1)"
        );
        // Only names of this file and a number of prefixes went into the text.
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(at.as_microsecond());
        for prefix in around {
            query = query.bind(prefix);
        }
        Ok(query.fetch_all(&self.readers).await?)
    }
}
