//! Changes of customers and assignments, inside the transaction of all that goes with them.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{Customer, CustomerChange, CustomerId, Fresh, Reassignment, StoreError, subject};
use crate::{
    feed::Own,
    store::{
        Transaction,
        audit::{Chain, Entry, Kind},
        events::Told,
    },
};

/// A transaction that is being written.
pub(in crate::store) struct Writing<'a> {
    pub(in crate::store) transaction: &'a mut Transaction,
    pub(in crate::store) chain: &'a mut Chain,
    pub(in crate::store) told: &'a mut Told,
    /// Who wants it.
    pub(in crate::store) by: &'a str,
    pub(in crate::store) at: Timestamp,
}

impl Writing<'_> {
    /// Notes that a guard was overridden: why, and what it had said.
    pub(in crate::store) async fn overridden(
        &mut self,
        overridden: Option<(String, String)>,
    ) -> Result<(), StoreError> {
        match overridden {
            None => Ok(()),
            Some((reason, said)) => {
                let payload = json!({ "reason": reason, "guard": said });
                self.note(Kind::GuardOverridden, String::from("import"), payload)
                    .await
            }
        }
    }

    pub(in crate::store) async fn customers(
        &mut self,
        changes: Vec<CustomerChange>,
    ) -> Result<(), StoreError> {
        for change in changes {
            match change {
                CustomerChange::Set(customer, fresh) => self.set(customer, fresh).await?,
                CustomerChange::Remove(customer) => {
                    sqlx::query(
                        "UPDATE customers SET name = NULL, contact = NULL, origin = NULL, removed_us = $1 WHERE id = $2",
                    )
                    .bind(self.at.as_microsecond())
                    .bind(customer.id.to_string())
                    .execute(&mut **self.transaction)
                    .await?;
                    let payload = json!({ "customer": customer.id });
                    self.note(Kind::CustomerRemoved, subject(customer.number), payload)
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn set(&mut self, customer: Customer, fresh: Fresh) -> Result<(), StoreError> {
        let row = sqlx::query(
            "INSERT INTO customers (id, number, name, contact, origin, created_us, changed_us) \
             VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM customers), $2, $3, $4, $5, $6) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, contact = excluded.contact, \
             origin = excluded.origin, changed_us = excluded.changed_us, removed_us = NULL RETURNING number",
        )
        .bind(customer.id.to_string())
        .bind(customer.name.clone())
        .bind(customer.contact.clone())
        .bind(customer.origin.clone())
        .bind(customer.created_at.as_microsecond())
        .bind(customer.changed_at.as_microsecond())
        .fetch_one(&mut **self.transaction)
        .await?;
        let number: i64 = row.try_get(0)?;
        let kind = match fresh {
            Fresh::New => Kind::CustomerAdded,
            Fresh::Known => Kind::CustomerChanged,
        };
        let payload = json!({
            "customer": customer.id,
            "name": customer.name,
            "contact": customer.contact,
            "origin": customer.origin,
        });
        let number = u32::try_from(number).unwrap_or_default();
        self.note(kind, subject(number), payload).await
    }

    pub(in crate::store) async fn assignments(
        &mut self,
        changes: &BTreeMap<IpNetwork, Reassignment>,
    ) -> Result<(), StoreError> {
        for change in changes.values() {
            if let Some(before) = &change.before {
                self.end(change).await?;
                if change.after.is_none() {
                    self.note_about(&before.customer, Kind::PrefixUnassigned, change)
                        .await?;
                }
            }
            if let Some(after) = &change.after {
                sqlx::query(
                    "INSERT INTO assignments (prefix, family, customer, from_us, origin) VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(change.prefix.to_string())
                .bind(if change.prefix.is_ipv4() { 4_i32 } else { 6 })
                .bind(after.customer.to_string())
                .bind(after.from.as_microsecond())
                .bind(after.origin.clone())
                .execute(&mut **self.transaction)
                .await?;
                self.note_about(&after.customer, Kind::PrefixAssigned, change)
                    .await?;
            }
            self.tell(change, changes.len() <= APART);
        }
        if changes.len() > APART {
            let own = Own::AssignmentsImported {
                assignments: changes.len(),
                actor: self.by,
            };
            self.told.note(own.at(self.at, None));
        }
        Ok(())
    }

    async fn end(&mut self, change: &Reassignment) -> Result<(), StoreError> {
        sqlx::query("UPDATE assignments SET to_us = $1 WHERE prefix = $2 AND to_us IS NULL")
            .bind(change.at.as_microsecond())
            .bind(change.prefix.to_string())
            .execute(&mut **self.transaction)
            .await?;
        Ok(())
    }

    /// That a prefix is somebody's for the first time is told only of a few.
    fn tell(&mut self, change: &Reassignment, few: bool) {
        if change.was == change.is {
            return;
        }
        if change.was.is_some() {
            let own = Own::CustomerReassigned(change);
            self.told.note(own.at(self.at, Some(change.prefix)));
        } else if few {
            let own = Own::PrefixAssigned(change);
            self.told.note(own.at(self.at, Some(change.prefix)));
        }
    }

    async fn note_about(
        &mut self,
        customer: &CustomerId,
        kind: Kind,
        change: &Reassignment,
    ) -> Result<(), StoreError> {
        let row = sqlx::query("SELECT number FROM customers WHERE id = $1")
            .bind(customer.to_string())
            .fetch_optional(&mut **self.transaction)
            .await?;
        let number = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
        let number = number.and_then(|number| u32::try_from(number).ok());
        let customer_of =
            |it: &Option<super::Assignment>| it.as_ref().map(|it| it.customer.clone());
        let payload = json!({
            "prefix": change.prefix,
            "at": change.at,
            "from": customer_of(&change.before),
            "to": customer_of(&change.after),
            "origin": change.after.as_ref().and_then(|after| after.origin.clone()),
        });
        self.note(kind, subject(number.unwrap_or_default()), payload)
            .await
    }

    async fn note(
        &mut self,
        kind: Kind,
        subject: String,
        payload: Value,
    ) -> Result<(), StoreError> {
        let entry = Entry {
            at: self.at,
            actor: self.by.to_owned(),
            kind,
            subject,
            payload,
        };
        self.chain.append(self.transaction, entry).await
    }
}

/// Assignments that come together and have an event each.
const APART: usize = 100;
