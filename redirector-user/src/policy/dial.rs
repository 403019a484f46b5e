//! The dial: one action per source prefix, with a reason, an actor and an expiry.
//!
//! A [`FlagRequest`] is what a person or a program asks for; [`Proposal::read`] is its only way in. A
//! [`Flag`] is a proposal that the store has given a number and a generation.

mod height;
mod request;
pub mod term;

use std::fmt;

use contract::{Delivery, Egress, Generation, LimitsName, Tier, Treatment};
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::abi;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::request::{duration, line, read_action};
use self::term::ForEver;
pub use self::{
    height::Height,
    request::{
        DEFAULT_LIFE, FlagRequest, GRACE_S, LONGEST_LIFE, PoolTerms, REASON_OCTETS, read_target,
    },
};
use super::{limit::Limit, moment::Moment, rules::Cause, tenant::Tenant, text::Text};

/// Number of a flag; never 0, never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct FlagId(pub u32);

/// What is done with a customer's mail connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Exempt; counted.
    Pass,
    /// Counted, and left alone.
    Observe,
    /// New connections above a rate are dropped.
    Limit(Limit),
    /// Sent to a relay.
    Redirect(Box<Redirect>),
    /// Refused with 554 by the edge itself.
    Refuse,
    /// Answered with RST.
    Reset,
    /// Dropped.
    Drop,
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Name of the pool.
    pub pool: String,
    /// What the relay does.
    pub treatment: Treatment,
    /// Where the relay's own leg leaves from.
    pub egress: Egress,
    /// When the customer hears 250.
    pub delivery: Delivery,
    /// What of its mail the relay may look at; `None` = what the relay's own configuration says.
    pub tier: Option<Tier>,
    /// What it may do at the relay, by a name of the relay's own configuration; `None` = what everybody may.
    pub limits: Option<LimitsName>,
    /// Its abuse is known: nothing that it does makes the relay splice its TLS.
    pub confirmed: bool,
}

/// A well-formed wish; what the guards judge and the store takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Whom it is about; network bits only.
    pub prefix: IpNetwork,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Text,
    /// Who.
    pub actor: Text,
    /// Reference into another system.
    pub ticket: Option<Text>,
    /// Nobody writes to the customer about it.
    pub quiet: bool,
    /// Seconds that older connections may pass on.
    pub grace_s: u32,
    /// When it was asked for.
    pub created_at: Moment,
    /// When it ends by itself.
    pub expires_at: Moment,
    /// The figures that caused it, if a rule asked for it.
    pub cause: Option<Box<Cause>>,
    /// Which file brought it; `None` = a person, a program, or a rule.
    pub origin: Option<Text>,
    /// That it is to stand for ever, if so.
    pub for_ever: Option<Box<ForEver>>,
    /// Why it is there although its customer is exempt, if so.
    pub despite_exemption: Option<Text>,
}

/// One flag, in force or not. There may be a million, so what few have stands elsewhere, and what many have in common is held
/// once.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Number.
    pub id: FlagId,
    /// What was asked for.
    pub terms: Proposal,
    /// State of the policy that brought it.
    pub generation: Generation,
    /// The assignment that it is for; `None` = nobody had the prefix when it was made, as far as was known.
    pub tenant: Option<Box<Tenant>>,
    /// The flag of the same prefix that it took the place of.
    pub replaces: Option<FlagId>,
    /// When the kernel first had it.
    pub activated_at: Option<Moment>,
    /// Its end, if it has ended.
    pub ended: Option<Box<Ended>>,
}

/// How a flag ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Who, or `outgated` for an expiry.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Why a wish is not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is malformed.
    #[error("{0}")]
    Usage(String),
    /// The request is well-formed, and a guard forbids it.
    #[error("{0}")]
    Guard(String),
}

impl Action {
    /// The number that stands in the maps.
    #[must_use]
    pub const fn kernel(&self) -> abi::Action {
        match self {
            Self::Pass => abi::Action::Pass,
            Self::Observe => abi::Action::Observe,
            Self::Limit(_) => abi::Action::Limit,
            Self::Redirect(_) => abi::Action::Redirect,
            Self::Refuse => abi::Action::Refuse,
            Self::Reset => abi::Action::Reset,
            Self::Drop => abi::Action::Drop,
        }
    }

    /// The name that people read and write.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kernel().name()
    }

    /// Where it leads, if it is a redirect.
    #[must_use]
    pub const fn redirect(&self) -> Option<&Redirect> {
        match self {
            Self::Redirect(redirect) => Some(redirect),
            Self::Pass
            | Self::Observe
            | Self::Limit(_)
            | Self::Refuse
            | Self::Reset
            | Self::Drop => None,
        }
    }

    /// How much it lets through, if it is a limit.
    #[must_use]
    pub const fn limit(&self) -> Option<Limit> {
        match self {
            Self::Limit(limit) => Some(*limit),
            Self::Pass
            | Self::Observe
            | Self::Redirect(_)
            | Self::Refuse
            | Self::Reset
            | Self::Drop => None,
        }
    }
}

impl Flag {
    /// Whether it has not ended, by hand or by time.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.terms.expires_at > now
    }
}

impl fmt::Display for FlagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
