//! Conduct of customers after flags that rules had made.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Row as _, any::AnyRow};

use super::{
    Door, Store, StoreError, Transaction,
    audit::{self, Entry, Kind},
    flags::subject,
};
use crate::policy::{dial::FlagId, rules::Conduct};

impl Store {
    /// Notes that a flag is on probation, by whom and why.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn put_on_probation(
        &self,
        customer: IpNetwork,
        conduct: &Conduct,
        flag: FlagId,
        word: &super::drains::Word,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        write(&mut transaction, customer, conduct).await?;
        let entry = Entry {
            at: word.at,
            actor: word.by.clone(),
            kind: Kind::FlagOnProbation,
            subject: subject(flag),
            payload: json!({ "reason": word.reason }),
        };
        audit::append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets customers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn forget_conduct(
        &self,
        customers: impl IntoIterator<Item = IpNetwork, IntoIter: Send>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        for customer in customers {
            sqlx::query("DELETE FROM conduct WHERE customer = $1")
                .bind(customer.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Writes what is remembered of a customer, inside the transaction of what has changed it.
pub(super) async fn write(
    transaction: &mut Transaction,
    customer: IpNetwork,
    conduct: &Conduct,
) -> Result<(), StoreError> {
    let probation = conduct.probation.as_ref();
    sqlx::query(
        "INSERT INTO conduct (customer, lifts, probation, pardoned_us, changed_us) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (customer) DO UPDATE SET lifts = excluded.lifts, probation = excluded.probation, \
         pardoned_us = excluded.pardoned_us, changed_us = excluded.changed_us",
    )
    .bind(customer.to_string())
    .bind(i64::from(conduct.lifts))
    .bind(probation.map(|probation| json!(probation).to_string()))
    .bind(conduct.pardoned_at.map(Timestamp::as_microsecond))
    .bind(conduct.changed_at.as_microsecond())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// All that is remembered.
pub(super) async fn standing(readers: &Door) -> Result<BTreeMap<IpNetwork, Conduct>, StoreError> {
    let rows = sqlx::query("SELECT * FROM conduct")
        .fetch_all(readers)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<(IpNetwork, Conduct), StoreError> {
    let customer: String = row.try_get("customer")?;
    let wrong = |what: String| StoreError::Row {
        table: "conduct",
        key: customer.clone(),
        what,
    };
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|error| wrong(error.to_string()));
    let lifts: i64 = row.try_get("lifts")?;
    let probation: Option<String> = row.try_get("probation")?;
    let probation = probation.map(|text| serde_json::from_str(&text));
    let pardoned_us: Option<i64> = row.try_get("pardoned_us")?;
    let conduct = Conduct {
        lifts: u32::try_from(lifts).map_err(|_large| wrong(format!("lifts {lifts}")))?,
        probation: probation
            .transpose()
            .map_err(|error| wrong(error.to_string()))?,
        pardoned_at: pardoned_us.map(time).transpose()?,
        changed_at: time(row.try_get("changed_us")?)?,
    };
    let prefix = customer.parse();
    let prefix = prefix.map_err(|_malformed| wrong(String::from("its customer")))?;
    Ok((prefix, conduct))
}
