//! A flag as it stands in its table: read one by one, or thousands at once as JSON.
//!
//! The driver makes an object of each value of each row, and hands rows over between two threads: a million flags of 37
//! columns took it 15 s. As one text for thousands they take a fifth of that.

use contract::{Delivery, Egress, LimitsName, Tier, Treatment};
use jiff::Timestamp;
use serde::Deserialize;
use sqlx::{Row as _, any::AnyRow};

use super::row::flag_id;
use crate::{
    policy::{
        dial::{
            Action, Ended, Flag, FlagId, Proposal, Redirect,
            term::{ForEver, Stage},
        },
        limit::Limit,
        tenant::{CustomerId, Tenant},
        text::Text,
    },
    store::{StoreError, door::Columns, generation_of},
};

/// The columns of a flag, once: as a type, as what is read of a row, and as the text that asks for them as JSON.
macro_rules! columns {
    ([$first:ident: $kind:ty, $($name:ident: $type:ty),* $(,)?] rare [$($rare:ident: $value:ty),* $(,)?]) => {
        /// A row of the table.
        #[derive(Debug, Deserialize)]
        struct Stored {
            $first: $kind,
            $($name: $type,)*
            $(#[serde(default)] $rare: Option<$value>,)*
        }

        impl Stored {
            fn of(row: &AnyRow) -> Result<Self, sqlx::Error> {
                Ok(Self {
                    $first: row.try_get(stringify!($first))?,
                    $($name: row.try_get(stringify!($name))?,)*
                    $($rare: row.try_get(stringify!($rare))?,)*
                })
            }
        }

        /// The columns in the order of [`Stored`].
        pub(super) const COLUMNS: Columns = Columns {
            usual: concat!(stringify!($first), $(", ", stringify!($name),)*),
            rare: concat!($(", ", stringify!($rare),)*),
            without_rare: concat!("TRUE", $(" AND ", stringify!($rare), " IS NULL",)*),
        };
    };
}

columns! {
    [
        id: i64,
        prefix: String,
        action: String,
        confirmed: i64,
        reason: String,
        actor: String,
        quiet: i64,
        grace_s: i64,
        created_us: i64,
        expires_us: i64,
        generation: i64,
        activated_us: Option<i64>,
        origin: Option<String>,
    ]
    rare [
        pool: String,
        customer: String,
        per_hour: i64,
        burst: i64,
        ticket: String,
        cause: String,
        replaces: i64,
        treatment: String,
        egress: String,
        delivery: String,
        tier: String,
        limits: String,
        tenancy_prefix: String,
        tenancy_us: i64,
        review_s: i64,
        approval: String,
        decided_by: String,
        decided_us: i64,
        review_us: i64,
        review_told: i64,
        despite_exemption: String,
        ended_us: i64,
        ended_by: String,
        ended_reason: String,
    ]
}

/// Reads a row.
pub(in crate::store) fn read(row: &AnyRow) -> Result<Flag, StoreError> {
    Stored::of(row)?.flag()
}

/// Reads [`COLUMNS`] of many, as `Door::as_json` has asked for them.
pub(super) fn read_all(json: &str) -> Result<Vec<Flag>, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError::Row {
        table: "flags",
        key: String::from("one of many"),
        what: error.to_string(),
    };
    let rows = serde_json::Deserializer::from_str(json).into_iter::<Stored>();
    rows.map(|row| row.map_err(unreadable)?.flag()).collect()
}

impl Stored {
    fn flag(self) -> Result<Flag, StoreError> {
        let id = flag_id(self.id)?;
        let wrong = |what: String| StoreError::Row {
            table: "flags",
            key: id.to_string(),
            what,
        };
        self.checked(id).map_err(wrong)
    }

    /// What cannot be read is named.
    fn checked(self, id: FlagId) -> Result<Flag, String> {
        let ended = match self.ended_us {
            None => None,
            Some(at) => Some(Ended {
                at: time("ended_us", at)?,
                by: there("ended_by", self.ended_by.clone())?,
                reason: there("ended_reason", self.ended_reason.clone())?,
            }),
        };
        let replaces = match self.replaces {
            None => None,
            Some(id) => Some(flag_id(id).map_err(|_wrong| format!("replaces {id}"))?),
        };
        let activated_at = match self.activated_us {
            None => None,
            Some(at) => Some(time("activated_us", at)?.into()),
        };
        let (tenant, action, for_ever) = (self.tenant()?, self.action()?, self.for_ever()?);
        let cause = match self.cause {
            None => None,
            Some(text) => {
                Some(serde_json::from_str(&text).map_err(|error| format!("cause: {error}"))?)
            }
        };
        let terms = Proposal {
            prefix: parsed("prefix", &self.prefix)?,
            action,
            reason: self.reason.into(),
            actor: self.actor.into(),
            ticket: self.ticket.map(Text::from),
            quiet: self.quiet != 0,
            grace_s: parsed("grace_s", &self.grace_s.to_string())?,
            created_at: time("created_us", self.created_us)?.into(),
            expires_at: time("expires_us", self.expires_us)?.into(),
            cause,
            origin: self.origin.map(Into::into),
            for_ever: for_ever.map(Box::new),
            despite_exemption: self.despite_exemption.map(Text::from),
        };
        Ok(Flag {
            id,
            terms,
            generation: generation_of(self.generation),
            tenant: tenant.map(Box::new),
            replaces,
            activated_at,
            ended: ended.map(Box::new),
        })
    }

    fn tenant(&self) -> Result<Option<Tenant>, String> {
        let Some(customer) = &self.customer else {
            return Ok(None);
        };
        let prefix = there("tenancy_prefix", self.tenancy_prefix.as_deref())?;
        let since = there("tenancy_us", self.tenancy_us)?;
        Ok(Some(Tenant {
            customer: CustomerId::read(customer).map_err(|refusal| refusal.to_string())?,
            prefix: parsed("tenancy_prefix", prefix)?,
            since: time("tenancy_us", since)?,
        }))
    }

    fn action(&self) -> Result<Action, String> {
        Ok(match self.action.as_str() {
            "pass" => Action::Pass,
            "observe" => Action::Observe,
            "limit" => {
                let per_hour = there("per_hour", self.per_hour)?;
                let burst = there("burst", self.burst)?;
                let limit = Limit::stored(per_hour, burst);
                Action::Limit(limit.ok_or_else(|| format!("per_hour {per_hour}, burst {burst}"))?)
            }
            "refuse" => Action::Refuse,
            "reset" => Action::Reset,
            "drop" => Action::Drop,
            "redirect" => Action::Redirect(Box::new(Redirect {
                pool: there("pool", self.pool.clone())?,
                treatment: there(
                    "treatment",
                    named(self.treatment.as_ref(), Treatment::from_name)?,
                )?,
                egress: there("egress", named(self.egress.as_ref(), Egress::from_name)?)?,
                confirmed: self.confirmed != 0,
                delivery: named(self.delivery.as_ref(), Delivery::from_name)?.unwrap_or_default(),
                tier: named(self.tier.as_ref(), Tier::from_name)?,
                limits: named(self.limits.as_ref(), |name| name.parse::<LimitsName>().ok())?,
            })),
            action => return Err(format!("action {action}")),
        })
    }

    /// That it is to stand for ever, if so.
    fn for_ever(&self) -> Result<Option<ForEver>, String> {
        let Some(review_s) = self.review_s else {
            return Ok(None);
        };
        let decided = || -> Result<(String, Timestamp), String> {
            let by = there("decided_by", self.decided_by.clone())?;
            Ok((
                by,
                time("decided_us", there("decided_us", self.decided_us)?)?,
            ))
        };
        let stage = match there("approval", self.approval.as_deref())? {
            "pending" => Stage::Pending,
            "approved" => {
                let (by, at) = decided()?;
                Stage::Approved {
                    by,
                    at,
                    review_at: time("review_us", there("review_us", self.review_us)?)?,
                    told: self.review_told.is_some_and(|told| told != 0),
                }
            }
            "rejected" => {
                let (by, at) = decided()?;
                Stage::Rejected { by, at }
            }
            approval => return Err(format!("approval {approval}")),
        };
        Ok(Some(ForEver {
            review_s: parsed("review_s", &review_s.to_string())?,
            stage,
        }))
    }
}

fn time(column: &str, us: i64) -> Result<Timestamp, String> {
    Timestamp::from_microsecond(us).map_err(|error| format!("{column}: {error}"))
}

fn there<T>(column: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("{column} is missing"))
}

fn parsed<T: std::str::FromStr>(column: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_malformed| format!("{column} {value}"))
}

/// What a name stands for.
fn named<T>(name: Option<&String>, known: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
    match name {
        None => Ok(None),
        Some(name) => known(name).map(Some).ok_or_else(|| name.clone()),
    }
}
