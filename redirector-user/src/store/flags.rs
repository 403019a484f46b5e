//! Flags in the store.

mod bulk;

use std::collections::BTreeMap;

use contract::{Egress, Generation, Treatment};
use futures_util::TryStreamExt as _;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Any, AnyPool, AssertSqlSafe, Row as _, Transaction, any::AnyRow};

pub use self::bulk::AddedAll;
use super::{
    Store, StoreError,
    audit::{Chain, Entry, Kind},
    generation_of, next_generation, placeholders,
};
use crate::policy::{
    dial::{Action, Ended, Flag, FlagId, Proposal, Redirect},
    limit::Limit,
};

/// What [`Store::add`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The new flag.
    pub flag: Flag,
    /// The flag of the same prefix that it ended.
    pub replaced: Option<Flag>,
}

impl Store {
    /// Stores a flag; an active one of the same prefix ends in the same transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`], [`StoreError::Random`]; nothing is stored then.
    pub async fn add(&self, terms: &Proposal) -> Result<Added, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let generation = next_generation(&mut transaction).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM flags")
            .fetch_one(&mut *transaction)
            .await?;
        let id = flag_id(row.try_get(0)?)?;
        let standing = sqlx::query("SELECT * FROM flags WHERE prefix = $1 AND ended_us IS NULL")
            .bind(terms.prefix.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        let mut replaced = standing.as_ref().map(read).transpose()?;
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        if let Some(flag) = &mut replaced {
            let reason = format!("replaced by flag {id}");
            let ended = Ended {
                at: terms.created_at,
                by: terms.actor.clone(),
                reason,
            };
            self.write_end(
                &mut transaction,
                &mut chain,
                flag.id,
                Kind::FlagReplaced,
                &ended,
            )
            .await?;
            flag.ended = Some(ended);
        }
        let flag = Flag {
            id,
            terms: terms.clone(),
            generation,
            replaces: replaced.as_ref().map(|flag| flag.id),
            activated_at: None,
            ended: None,
        };
        insert_all(&mut transaction, std::slice::from_ref(&flag)).await?;
        let entry = Entry {
            at: terms.created_at,
            actor: terms.actor.clone(),
            kind: Kind::FlagAdded,
            subject: subject(id),
            payload: payload(&flag),
        };
        chain.append(&mut transaction, entry).await?;
        chain.finish(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Added { flag, replaced })
    }

    /// Ends a flag, by hand or ([`Kind::FlagExpired`]) by time.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyEnded`], [`StoreError::Database`], [`StoreError::Random`].
    pub async fn end(
        &self,
        id: FlagId,
        kind: Kind,
        ended: &Ended,
    ) -> Result<Generation, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        self.write_end(&mut transaction, &mut chain, id, kind, ended)
            .await?;
        chain.finish(&mut transaction).await?;
        let generation = next_generation(&mut transaction).await?;
        transaction.commit().await?;
        Ok(generation)
    }

    /// Notes that the kernel has these flags for the first time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn activate(&self, ids: &[FlagId], at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        bulk::mark_activated(&mut transaction, ids, at.as_microsecond()).await?;
        let mut chain = Chain::open(&mut transaction, &self.name).await?;
        for id in ids {
            let entry = Entry::by_outgated(Kind::FlagActivated, subject(*id), json!({}), at);
            chain.append(&mut transaction, entry).await?;
        }
        chain.finish(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// One flag, ended or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flag(&self, id: FlagId) -> Result<Option<Flag>, StoreError> {
        let row = sqlx::query("SELECT * FROM flags WHERE id = $1")
            .bind(i64::from(id.0))
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Flags by number, from the one after `after` (0 = the first), at most so many; with `ended`, the ended
    /// ones too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn flags(
        &self,
        ended: bool,
        after: u32,
        at_most: u32,
    ) -> Result<Vec<Flag>, StoreError> {
        let text = "SELECT * FROM flags WHERE id > $1 AND ($2 = 1 OR ended_us IS NULL) ORDER BY id LIMIT $3";
        let rows = sqlx::query(text)
            .bind(i64::from(after))
            .bind(i32::from(ended))
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// The newest flag of exactly this prefix, ended or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn newest(&self, prefix: IpNetwork) -> Result<Option<Flag>, StoreError> {
        let row = sqlx::query("SELECT * FROM flags WHERE prefix = $1 ORDER BY id DESC LIMIT 1")
            .bind(prefix.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }

    async fn write_end(
        &self,
        transaction: &mut Transaction<'_, Any>,
        chain: &mut Chain,
        id: FlagId,
        kind: Kind,
        ended: &Ended,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE flags SET ended_us = $1, ended_by = $2, ended_reason = $3 WHERE id = $4 AND ended_us IS NULL",
        )
        .bind(ended.at.as_microsecond())
        .bind(ended.by.clone())
        .bind(ended.reason.clone())
        .bind(i64::from(id.0))
        .execute(&mut **transaction)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::AlreadyEnded(id));
        }
        let payload = json!({ "reason": ended.reason });
        let entry = Entry {
            at: ended.at,
            actor: ended.by.clone(),
            kind,
            subject: subject(id),
            payload,
        };
        chain.append(transaction, entry).await
    }
}

/// How the trail names a flag.
#[must_use]
pub fn subject(id: FlagId) -> String {
    format!("flag:{id}")
}

/// Flags that have not ended, and the chain of those that a flag not yet in force has replaced.
pub(super) async fn standing(readers: &AnyPool) -> Result<BTreeMap<FlagId, Flag>, StoreError> {
    let mut rows = sqlx::query(
        "WITH RECURSIVE standing (id, replaces, activated_us) AS ( \
             SELECT id, replaces, activated_us FROM flags WHERE ended_us IS NULL \
             UNION \
             SELECT before.id, before.replaces, before.activated_us FROM flags before \
             JOIN standing ON standing.activated_us IS NULL AND before.id = standing.replaces \
         ) \
         SELECT flags.* FROM flags JOIN standing ON standing.id = flags.id",
    )
    .fetch(readers);
    // One by one: a million rows as the driver holds them are a gigabyte.
    let mut flags = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let flag = read(&row)?;
        flags.insert(flag.id, flag);
    }
    Ok(flags)
}

async fn insert_all(
    transaction: &mut Transaction<'_, Any>,
    flags: &[Flag],
) -> Result<(), StoreError> {
    if flags.is_empty() {
        return Ok(());
    }
    let text = format!(
        "INSERT INTO flags (id, prefix, family, action, pool, treatment, egress, reason, actor, ticket, grace_s, \
         generation, replaces, created_us, expires_us, per_hour, burst, confirmed) VALUES {}",
        placeholders(flags.len(), COLUMNS)
    );
    // Only the number of flags went into the text.
    let mut query = sqlx::query(AssertSqlSafe(text));
    for flag in flags {
        let terms = &flag.terms;
        let redirect = terms.action.redirect();
        let limit = terms.action.limit();
        query = query
            .bind(i64::from(flag.id.0))
            .bind(terms.prefix.to_string())
            .bind(if terms.prefix.is_ipv4() { 4_i32 } else { 6 })
            .bind(terms.action.name())
            .bind(redirect.map(|redirect| redirect.pool.clone()))
            .bind(redirect.map(|redirect| redirect.treatment.name()))
            .bind(redirect.map(|redirect| egress_name(redirect.egress)))
            .bind(terms.reason.clone())
            .bind(terms.actor.clone())
            .bind(terms.ticket.clone())
            .bind(i64::from(terms.grace_s))
            .bind(i64::try_from(flag.generation.0).unwrap_or(i64::MAX))
            .bind(flag.replaces.map(|id| i64::from(id.0)))
            .bind(terms.created_at.as_microsecond())
            .bind(terms.expires_at.as_microsecond())
            .bind(limit.map(|limit| i64::from(limit.rate.per_hour())))
            .bind(limit.map(|limit| i64::from(limit.burst.get())))
            .bind(i64::from(
                redirect.is_some_and(|redirect| redirect.confirmed),
            ));
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Flag, StoreError> {
    let id = flag_id(row.try_get("id")?)?;
    let wrong = |what: String| StoreError::Row {
        table: "flags",
        key: id.to_string(),
        what,
    };
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|error| wrong(error.to_string()));
    let prefix: String = row.try_get("prefix")?;
    let grace_s: i64 = row.try_get("grace_s")?;
    let ended = match row.try_get::<Option<i64>, _>("ended_us")? {
        None => None,
        Some(at) => Some(Ended {
            at: time(at)?,
            by: row.try_get("ended_by")?,
            reason: row.try_get("ended_reason")?,
        }),
    };
    let terms = Proposal {
        prefix: prefix
            .parse()
            .map_err(|_malformed| wrong(format!("prefix {prefix}")))?,
        action: read_action(row, &wrong)?,
        reason: row.try_get("reason")?,
        actor: row.try_get("actor")?,
        ticket: row.try_get("ticket")?,
        grace_s: u32::try_from(grace_s)
            .map_err(|_too_large| wrong(format!("grace_s {grace_s}")))?,
        created_at: time(row.try_get("created_us")?)?,
        expires_at: time(row.try_get("expires_us")?)?,
    };
    Ok(Flag {
        id,
        terms,
        generation: generation_of(row.try_get("generation")?),
        replaces: row
            .try_get::<Option<i64>, _>("replaces")?
            .map(flag_id)
            .transpose()?,
        activated_at: row
            .try_get::<Option<i64>, _>("activated_us")?
            .map(time)
            .transpose()?,
        ended,
    })
}

fn read_action(row: &AnyRow, wrong: &impl Fn(String) -> StoreError) -> Result<Action, StoreError> {
    let action: String = row.try_get("action")?;
    Ok(match action.as_str() {
        "pass" => Action::Pass,
        "observe" => Action::Observe,
        "limit" => {
            let (per_hour, burst): (i64, i64) = (row.try_get("per_hour")?, row.try_get("burst")?);
            let limit = Limit::stored(per_hour, burst);
            let limit =
                limit.ok_or_else(|| wrong(format!("per_hour {per_hour}, burst {burst}")))?;
            Action::Limit(limit)
        }
        "refuse" => Action::Refuse,
        "reset" => Action::Reset,
        "drop" => Action::Drop,
        "redirect" => {
            let (treatment, egress): (String, String) =
                (row.try_get("treatment")?, row.try_get("egress")?);
            let known = EGRESSES
                .into_iter()
                .find(|known| egress_name(*known) == egress);
            Action::Redirect(Redirect {
                pool: row.try_get("pool")?,
                treatment: Treatment::from_name(&treatment)
                    .ok_or_else(|| wrong(format!("treatment {treatment}")))?,
                egress: known.ok_or_else(|| wrong(format!("egress {egress}")))?,
                confirmed: row.try_get::<i64, _>("confirmed")? != 0,
            })
        }
        _ => return Err(wrong(format!("action {action}"))),
    })
}

fn flag_id(stored: i64) -> Result<FlagId, StoreError> {
    let id = u32::try_from(stored).ok().filter(|id| *id != 0);
    let wrong = || StoreError::Row {
        table: "flags",
        key: stored.to_string(),
        what: String::from("its number"),
    };
    id.map(FlagId).ok_or_else(wrong)
}

/// All that the trail keeps of a flag.
fn payload(flag: &Flag) -> Value {
    let redirect = flag.terms.action.redirect();
    let limit = flag.terms.action.limit();
    json!({
        "prefix": flag.terms.prefix,
        "action": flag.terms.action.name(),
        "pool": redirect.map(|redirect| &redirect.pool),
        "treatment": redirect.map(|redirect| redirect.treatment),
        "egress": redirect.map(|redirect| redirect.egress),
        "confirmed": redirect.map(|redirect| redirect.confirmed),
        "rate": limit.map(|limit| limit.rate.to_string()),
        "burst": limit.map(|limit| limit.burst),
        "reason": flag.terms.reason,
        "ticket": flag.terms.ticket,
        "grace_s": flag.terms.grace_s,
        "expires_at": flag.terms.expires_at,
        "replaces": flag.replaces,
        "generation": flag.generation,
    })
}

const fn egress_name(egress: Egress) -> &'static str {
    match egress {
        Egress::Pool => "pool",
        Egress::Customer => "customer",
    }
}

const EGRESSES: [Egress; 2] = [Egress::Pool, Egress::Customer];
/// Columns that a new flag fills.
const COLUMNS: usize = 18;
