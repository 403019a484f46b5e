//! A flag as a row of its table, and as what the trail keeps of it.

use contract::{Delivery, Egress, LimitsName, Tier, Treatment};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction, any::AnyRow};

use super::term;
use crate::{
    policy::{
        dial::{Action, Ended, Flag, FlagId, Proposal, Redirect},
        limit::Limit,
        tenant::{CustomerId, Tenant},
    },
    store::{StoreError, generation_of, placeholders},
};

pub(super) async fn insert_all(
    transaction: &mut Transaction<'_, Any>,
    flags: &[Flag],
) -> Result<(), StoreError> {
    if flags.is_empty() {
        return Ok(());
    }
    let text = format!(
        "INSERT INTO flags (id, prefix, family, action, pool, treatment, egress, reason, actor, ticket, grace_s, \
         generation, replaces, created_us, expires_us, per_hour, burst, confirmed, delivery, tier, cause, limits, customer, tenancy_prefix, \
         tenancy_us, origin, quiet) VALUES {}",
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
            .bind(redirect.map(|redirect| redirect.egress.name()))
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
            ))
            .bind(redirect.map(|redirect| redirect.delivery.name()))
            .bind(redirect.and_then(|redirect| redirect.tier).map(Tier::name))
            .bind(
                terms
                    .cause
                    .as_ref()
                    .map(|cause| serde_json::json!(cause).to_string()),
            )
            .bind(
                redirect
                    .and_then(|redirect| redirect.limits.as_ref())
                    .map(LimitsName::to_string),
            )
            .bind(
                flag.tenant
                    .as_ref()
                    .map(|tenant| tenant.customer.to_string()),
            )
            .bind(flag.tenant.as_ref().map(|tenant| tenant.prefix.to_string()))
            .bind(
                flag.tenant
                    .as_ref()
                    .map(|tenant| tenant.since.as_microsecond()),
            )
            .bind(terms.origin.clone())
            .bind(i64::from(terms.quiet));
    }
    query.execute(&mut **transaction).await?;
    // Few have more, and a statement with columns for it would be slower for all.
    for flag in flags.iter().filter(|flag| term::has_more(&flag.terms)) {
        term::write(transaction, flag.id, &flag.terms).await?;
    }
    Ok(())
}

pub(in crate::store) fn read(row: &AnyRow) -> Result<Flag, StoreError> {
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
        quiet: row.try_get::<i64, _>("quiet")? != 0,
        grace_s: u32::try_from(grace_s)
            .map_err(|_too_large| wrong(format!("grace_s {grace_s}")))?,
        created_at: time(row.try_get("created_us")?)?,
        expires_at: time(row.try_get("expires_us")?)?,
        cause: row
            .try_get::<Option<String>, _>("cause")?
            .map(|text| serde_json::from_str(&text).map_err(|error| wrong(error.to_string())))
            .transpose()?,
        origin: row.try_get("origin")?,
        for_ever: term::read(row, &wrong)?.map(Box::new),
        despite_exemption: row
            .try_get::<Option<String>, _>("despite_exemption")?
            .map(String::into_boxed_str),
    };
    Ok(Flag {
        id,
        terms,
        generation: generation_of(row.try_get("generation")?),
        tenant: read_tenant(row, &wrong)?,
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

fn read_tenant(
    row: &AnyRow,
    wrong: &impl Fn(String) -> StoreError,
) -> Result<Option<Tenant>, StoreError> {
    let Some(customer) = row.try_get::<Option<String>, _>("customer")? else {
        return Ok(None);
    };
    let prefix: String = row.try_get("tenancy_prefix")?;
    let since = Timestamp::from_microsecond(row.try_get("tenancy_us")?);
    Ok(Some(Tenant {
        customer: CustomerId::read(&customer).map_err(|refusal| wrong(refusal.to_string()))?,
        prefix: prefix
            .parse()
            .map_err(|_malformed| wrong(format!("tenancy_prefix {prefix}")))?,
        since: since.map_err(|error| wrong(error.to_string()))?,
    }))
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
            let delivery = match row.try_get::<Option<String>, _>("delivery")? {
                Some(name) => {
                    Delivery::from_name(&name).ok_or_else(|| wrong(format!("delivery {name}")))?
                }
                None => Delivery::default(),
            };
            let tier = row.try_get::<Option<String>, _>("tier")?;
            let known =
                |name: String| Tier::from_name(&name).ok_or_else(|| wrong(format!("tier {name}")));
            let tier = tier.map(known).transpose()?;
            let limits = row.try_get::<Option<String>, _>("limits")?;
            let named = |name: String| name.parse().map_err(|_bad| wrong(format!("limits {name}")));
            let limits = limits.map(named).transpose()?;
            Action::Redirect(Redirect {
                pool: row.try_get("pool")?,
                treatment: Treatment::from_name(&treatment)
                    .ok_or_else(|| wrong(format!("treatment {treatment}")))?,
                egress: Egress::from_name(&egress)
                    .ok_or_else(|| wrong(format!("egress {egress}")))?,
                confirmed: row.try_get::<i64, _>("confirmed")? != 0,
                delivery,
                tier,
                limits,
            })
        }
        _ => return Err(wrong(format!("action {action}"))),
    })
}

pub(super) fn flag_id(stored: i64) -> Result<FlagId, StoreError> {
    let id = u32::try_from(stored).ok().filter(|id| *id != 0);
    let wrong = || StoreError::Row {
        table: "flags",
        key: stored.to_string(),
        what: String::from("its number"),
    };
    id.map(FlagId).ok_or_else(wrong)
}

/// All that the trail keeps of a flag.
pub(super) fn payload(flag: &Flag) -> Value {
    let redirect = flag.terms.action.redirect();
    let limit = flag.terms.action.limit();
    json!({
        "prefix": flag.terms.prefix,
        "action": flag.terms.action.name(),
        "pool": redirect.map(|redirect| &redirect.pool),
        "treatment": redirect.map(|redirect| redirect.treatment),
        "egress": redirect.map(|redirect| redirect.egress),
        "delivery": redirect.map(|redirect| redirect.delivery),
        "tier": redirect.and_then(|redirect| redirect.tier),
        "limits": redirect.and_then(|redirect| redirect.limits.as_ref()),
        "confirmed": redirect.map(|redirect| redirect.confirmed),
        "rate": limit.map(|limit| limit.rate.to_string()),
        "burst": limit.map(|limit| limit.burst),
        "reason": flag.terms.reason,
        "ticket": flag.terms.ticket,
        "notify": !flag.terms.quiet,
        "grace_s": flag.terms.grace_s,
        "expires_at": flag.terms.expires_at,
        "cause": flag.terms.cause,
        "customer": flag.tenant.as_ref().map(|tenant| &tenant.customer),
        "origin": flag.terms.origin,
        "review_s": flag.terms.for_ever.as_ref().map(|it| it.review_s),
        "approval": flag.terms.for_ever.as_ref().map(|it| it.stage.name()),
        "despite_exemption": flag.terms.despite_exemption,
        "replaces": flag.replaces,
        "generation": flag.generation,
    })
}

/// Columns that a new flag fills.
const COLUMNS: usize = 27;
