//! A flag as a new row of its table, and as what the trail keeps of it.

use contract::{LimitsName, Tier};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::term;
use crate::{
    policy::dial::{Flag, FlagId},
    store::{StoreError, Transaction, values},
};

pub(super) async fn insert_all(
    transaction: &mut Transaction,
    flags: &[Flag],
) -> Result<(), StoreError> {
    if flags.is_empty() {
        return Ok(());
    }
    let text = format!(
        "INSERT INTO flags (id, prefix, family, action, pool, treatment, egress, reason, actor, ticket, grace_s, \
         generation, replaces, created_us, expires_us, per_hour, burst, confirmed, delivery, tier, cause, limits, customer, tenancy_prefix, \
         tenancy_us, origin, quiet) VALUES {}",
        values(transaction, flags.len(), COLUMNS)
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
            .bind(terms.reason.to_string())
            .bind(terms.actor.to_string())
            .bind(terms.ticket.as_deref().map(str::to_owned))
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
            .bind(terms.origin.as_deref().map(str::to_owned))
            .bind(i64::from(terms.quiet));
    }
    query.execute(&mut **transaction).await?;
    // Few have more, and a statement with columns for it would be slower for all.
    for flag in flags.iter().filter(|flag| term::has_more(&flag.terms)) {
        term::write(transaction, flag.id, &flag.terms).await?;
    }
    Ok(())
}

pub(in crate::store) fn flag_id(stored: i64) -> Result<FlagId, StoreError> {
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
