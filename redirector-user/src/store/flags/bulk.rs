//! Many flags in one transaction: stored all or none, under one generation.

use std::collections::BTreeMap;

use contract::Generation;
use ipnetwork::IpNetwork;
use sqlx::{AssertSqlSafe, Row as _};

use super::{change::mark_ended, flag_id, insert_all, payload, prefix_of, subject};
use crate::{
    feed::Own,
    policy::{
        dial::{Ended, Flag, FlagId, Proposal},
        rules::Conduct,
        tenant::Tenant,
    },
    store::{
        Store, StoreError, Transaction,
        audit::{Chain, Entry, Kind},
        conduct,
        events::Told,
        next_generation, placeholders,
        tenants::{self, Package},
    },
};

/// What [`Store::add_all`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddedAll {
    /// The new flags; their numbers follow on each other.
    pub flags: Vec<Flag>,
    /// The flags of the same prefixes that they ended.
    pub replaced: Vec<(FlagId, Ended)>,
    /// Other flags that have ended.
    pub ended: Vec<(FlagId, Kind, Ended)>,
    /// Flags that are another assignment's now.
    pub moved: Vec<(FlagId, Tenant)>,
    /// What is remembered of customers now.
    pub conduct: Vec<(IpNetwork, Conduct)>,
    /// State of the policy that brought all of it.
    pub generation: Generation,
}

impl Store {
    /// Stores flags; active ones of the same prefixes end in the same transaction. No prefix may be there
    /// twice. `progress` hears how many of them are written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`], [`StoreError::Random`]; nothing is stored then.
    pub async fn add_all(
        &self,
        terms: Vec<Proposal>,
        progress: impl Fn(usize) + Send,
    ) -> Result<AddedAll, StoreError> {
        let package = Package {
            flags: terms,
            ..Package::default()
        };
        self.apply(package, progress).await
    }

    /// Stores customers, assignments and flags that belong together, in this order: what ends, ends; a new flag is for
    /// whom its prefix is then. `progress` hears how many flags are written.
    ///
    /// # Errors
    ///
    /// As [`Store::add_all`].
    pub async fn apply(
        &self,
        package: Package,
        progress: impl Fn(usize) + Send,
    ) -> Result<AddedAll, StoreError> {
        let owners = self.owners_after(&package);
        let Package {
            by,
            at,
            overridden,
            customers,
            assignments,
            ends,
            moves,
            conduct: remembered,
            flags: terms,
        } = package;
        let mut transaction = self.writer.decide().await?;
        let generation = next_generation(&mut transaction).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM flags")
            .fetch_one(&mut *transaction)
            .await?;
        let mut next: i64 = row.try_get(0)?;
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        let mut told = Told::default();
        let mut added = AddedAll {
            generation,
            ..AddedAll::default()
        };
        let mut ledger = tenants::Writing {
            transaction: &mut transaction,
            chain: &mut chain,
            told: &mut told,
            by: &by,
            at,
        };
        ledger.overridden(overridden).await?;
        ledger.customers(customers).await?;
        ledger.assignments(&assignments).await?;
        for (customer, conduct) in &remembered {
            conduct::write(&mut transaction, *customer, conduct).await?;
        }
        for (id, tenant) in &moves {
            write_tenant(&mut transaction, *id, tenant).await?;
        }
        for (id, kind, ended) in ends {
            match mark_ended(&mut transaction, &mut chain, id, kind, &ended).await {
                Ok(()) => {
                    let own = match kind {
                        Kind::FlagReassigned => Own::FlagReassigned(id, &ended),
                        _ => Own::FlagLifted(id, &ended),
                    };
                    let prefix = prefix_of(&mut transaction, id).await?;
                    told.note(own.at(ended.at, prefix));
                    added.ended.push((id, kind, ended));
                }
                // Whoever waited for the lock meanwhile has ended it.
                Err(StoreError::AlreadyEnded(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Without what has just ended.
        let standing = standing(&mut transaction).await?;
        for (terms, tenant) in terms.into_iter().zip(owners) {
            let id = flag_id(next)?;
            next += 1;
            let replaces = standing.get(&terms.prefix).copied();
            if let Some(replaced) = replaces {
                let ended = Ended {
                    at: terms.created_at.at(),
                    by: terms.actor.to_string(),
                    reason: format!("replaced by flag {id}"),
                };
                mark_ended(
                    &mut transaction,
                    &mut chain,
                    replaced,
                    Kind::FlagReplaced,
                    &ended,
                )
                .await?;
                added.replaced.push((replaced, ended));
            }
            let flag = Flag {
                id,
                terms,
                generation,
                tenant: tenant.map(Box::new),
                replaces,
                activated_at: None,
                ended: None,
            };
            let entry = Entry {
                at: flag.terms.created_at.at(),
                actor: flag.terms.actor.to_string(),
                kind: Kind::FlagAdded,
                subject: subject(id),
                payload: payload(&flag),
            };
            chain.append(&mut transaction, entry).await?;
            added.flags.push(flag);
            let unwritten = added.flags.len() % FLAGS_AT_ONCE;
            if unwritten == 0 {
                let fresh = added.flags.len() - FLAGS_AT_ONCE;
                insert_all(&mut transaction, added.flags.get(fresh..).unwrap_or(&[])).await?;
                progress(added.flags.len());
            }
        }
        let fresh = added.flags.len() - added.flags.len() % FLAGS_AT_ONCE;
        insert_all(&mut transaction, added.flags.get(fresh..).unwrap_or(&[])).await?;
        chain.finish(&mut transaction).await?;
        if let (Some(first), Some(last)) = (added.flags.first(), added.flags.last()) {
            let imported = Own::FlagsImported {
                flags: added.flags.len(),
                first: first.id,
                last: last.id,
                actor: &first.terms.actor,
            };
            told.note(imported.at(first.terms.created_at.at(), None));
        }
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        (added.moved, added.conduct) = (moves, remembered);
        self.note_assignments(&assignments);
        self.announce(told);
        progress(added.flags.len());
        Ok(added)
    }

    /// Which of the flags between two numbers have ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn ended_between(
        &self,
        first: FlagId,
        last: FlagId,
    ) -> Result<Vec<FlagId>, StoreError> {
        let rows =
            sqlx::query("SELECT id FROM flags WHERE id BETWEEN $1 AND $2 AND ended_us IS NOT NULL")
                .bind(i64::from(first.0))
                .bind(i64::from(last.0))
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(|row| flag_id(row.try_get(0)?)).collect()
    }
}

/// Notes whose a flag is from now on.
async fn write_tenant(
    transaction: &mut Transaction,
    id: FlagId,
    tenant: &Tenant,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE flags SET customer = $1, tenancy_prefix = $2, tenancy_us = $3 WHERE id = $4",
    )
    .bind(tenant.customer.to_string())
    .bind(tenant.prefix.to_string())
    .bind(tenant.since.as_microsecond())
    .bind(i64::from(id.0))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Notes in the table that flags are in force; answers with whom those are about that were not.
pub(super) async fn mark_activated(
    transaction: &mut Transaction,
    ids: &[FlagId],
    at_us: i64,
) -> Result<BTreeMap<FlagId, IpNetwork>, StoreError> {
    let mut prefixes = BTreeMap::new();
    for ids in ids.chunks(IDS_AT_ONCE) {
        let text = format!(
            "UPDATE flags SET activated_us = $1 WHERE activated_us IS NULL AND id IN {} RETURNING id, prefix",
            // The first placeholder is the time's.
            placeholders(1, ids.len() + 1).replacen("$1, ", "", 1)
        );
        // Only the number of flags went into the text.
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(at_us);
        for id in ids {
            query = query.bind(i64::from(id.0));
        }
        for row in query.fetch_all(&mut **transaction).await? {
            let prefix: String = row.try_get(1)?;
            if let Ok(prefix) = prefix.parse() {
                prefixes.insert(flag_id(row.try_get(0)?)?, prefix);
            }
        }
    }
    Ok(prefixes)
}

/// The active flag of every prefix that has one.
async fn standing(
    transaction: &mut Transaction,
) -> Result<BTreeMap<IpNetwork, FlagId>, StoreError> {
    let rows = sqlx::query("SELECT id, prefix FROM flags WHERE ended_us IS NULL")
        .fetch_all(&mut **transaction)
        .await?;
    let mut standing = BTreeMap::new();
    for row in rows {
        let id = flag_id(row.try_get(0)?)?;
        let prefix: String = row.try_get(1)?;
        let prefix = prefix.parse().map_err(|_malformed| StoreError::Row {
            table: "flags",
            key: id.to_string(),
            what: format!("prefix {prefix}"),
        })?;
        standing.insert(prefix, id);
    }
    Ok(standing)
}

/// Flags of one statement.
const FLAGS_AT_ONCE: usize = 64;
const IDS_AT_ONCE: usize = 256;
