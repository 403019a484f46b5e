//! Customers and assignments in the store, and the changes that go with them.
//!
//! Who has what now is held in memory, too: each new flag notes whose it is. Whoever changes it holds the controller's lock
//! and has found no import running, or is the import, so nothing is stored between the judgement and the change.

mod read;
mod write;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use sqlx::{Row as _, any::AnyRow};

pub(super) use self::write::Writing;
use super::{Door, Store, StoreError, audit::Kind};
use crate::policy::{
    dial::{Ended, FlagId, Proposal},
    rules::Conduct,
    tenant::{After, Assignment, Customer, CustomerId, Reassignment, Tenant, Tenants},
};

/// Who has what now.
pub(super) type Shared = Arc<RwLock<Tenants>>;

/// Changes that are stored together, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Who wants them.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// That a guard was overridden: why, and what it had said.
    pub overridden: Option<(String, String)>,
    /// Customers.
    pub customers: Vec<CustomerChange>,
    /// Changes of assignments, each prefix once.
    pub assignments: BTreeMap<IpNetwork, Reassignment>,
    /// Flags that end.
    pub ends: Vec<(FlagId, Kind, Ended)>,
    /// Flags that are another assignment's from now on.
    pub moves: Vec<(FlagId, Tenant)>,
    /// What is remembered of customers from now on.
    pub conduct: Vec<(IpNetwork, Conduct)>,
    /// New flags, each prefix once.
    pub flags: Vec<Proposal>,
}

/// A change of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerChange {
    /// It is this from now on; its number counts only if it was there already.
    Set(Customer, Fresh),
    /// It is removed, and what is personal with it.
    Remove(Customer),
}

/// Whether a customer was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// It was not.
    New,
    /// It was.
    Known,
}

impl Store {
    /// Looks into who has what now.
    pub fn with_tenants<T>(&self, look: impl FnOnce(&Tenants) -> T) -> T {
        look(&self.tenants.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For whom a flag is that is made now.
    pub(super) fn tenant_of(&self, prefix: IpNetwork) -> Option<Tenant> {
        self.with_tenants(|tenants| tenants.of(prefix).map(Assignment::tenant))
    }

    /// For whom each flag of a package is.
    pub(super) fn owners_after(&self, package: &Package) -> Vec<Option<Tenant>> {
        self.with_tenants(|tenants| {
            let after = After::new(tenants, &package.assignments);
            let flags = package.flags.iter();
            flags
                .map(|terms| after.of(terms.prefix).map(Assignment::tenant))
                .collect()
        })
    }

    /// Takes in what was committed.
    pub(super) fn note_assignments(&self, changes: &BTreeMap<IpNetwork, Reassignment>) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes.values() {
            tenants.note(change);
        }
    }
}

/// Who has what now.
pub(super) async fn standing(pool: &Door) -> Result<Shared, StoreError> {
    let rows = sqlx::query("SELECT * FROM assignments WHERE to_us IS NULL")
        .fetch_all(pool)
        .await?;
    let tenants: Result<Tenants, StoreError> = rows.iter().map(read_assignment).collect();
    Ok(Arc::new(RwLock::new(tenants?)))
}

/// How the trail names a customer: its key may be made of a name.
#[must_use]
pub fn subject(number: u32) -> String {
    format!("customer:{number}")
}

fn read_assignment(row: &AnyRow) -> Result<Assignment, StoreError> {
    let prefix: String = row.try_get("prefix")?;
    let wrong = |what: String| StoreError::Row {
        table: "assignments",
        key: prefix.clone(),
        what,
    };
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|error| wrong(error.to_string()));
    let customer: String = row.try_get("customer")?;
    Ok(Assignment {
        customer: CustomerId::read(&customer).map_err(|refusal| wrong(refusal.to_string()))?,
        from: time(row.try_get("from_us")?)?,
        to: row
            .try_get::<Option<i64>, _>("to_us")?
            .map(time)
            .transpose()?,
        origin: row.try_get("origin")?,
        prefix: prefix
            .parse()
            .map_err(|_malformed| wrong(String::from("its prefix")))?,
    })
}

fn read_customer(row: &AnyRow) -> Result<Customer, StoreError> {
    let id: String = row.try_get("id")?;
    let wrong = |what: String| StoreError::Row {
        table: "customers",
        key: id.clone(),
        what,
    };
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|error| wrong(error.to_string()));
    let number: i64 = row.try_get("number")?;
    Ok(Customer {
        number: u32::try_from(number).map_err(|_range| wrong(format!("number {number}")))?,
        name: row.try_get("name")?,
        contact: row.try_get("contact")?,
        origin: row.try_get("origin")?,
        created_at: time(row.try_get("created_us")?)?,
        changed_at: time(row.try_get("changed_us")?)?,
        id: CustomerId::read(&id).map_err(|refusal| wrong(refusal.to_string()))?,
    })
}
