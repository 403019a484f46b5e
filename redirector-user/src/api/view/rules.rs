//! Rules, what they have come to, and what others would have.

use std::path::PathBuf;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DrainView;
use crate::policy::{
    dial::FlagId,
    rules::{Probation, Rule, Then, in_words},
};

/// `GET /v1/rules`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RulesView {
    /// Where they stand; `None` = the configuration names no file.
    #[schema(value_type = Option<String>)]
    pub file: Option<PathBuf>,
    /// In the order of the file.
    pub rules: Vec<RuleView>,
    /// New flags a minute that all of them may make.
    pub per_minute: Option<u32>,
    /// Share of a customer prefix that may be flagged by them.
    pub share_of_prefix: Option<f64>,
    /// Who has frozen them, if somebody has.
    pub frozen: Option<DrainView>,
    /// Customers that are watched more closely.
    pub probation: Vec<ProbationView>,
    /// What they can be tried on.
    pub statistics: StatisticsView,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// What must be so.
    pub when: String,
    /// How far back its figures reach.
    pub window: String,
    /// How long it must have been so.
    #[serde(rename = "for")]
    pub held_for: String,
    /// What then happens.
    pub then: String,
    /// Active flags that it has made.
    pub flags: usize,
    /// Times in the last 24 hours that it acted.
    pub done: u64,
    /// Times that it would have, were rules not frozen.
    pub would_have: u64,
    /// Times that a cap or a guard held it back.
    pub held_back: u64,
}

/// A customer on probation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProbationView {
    /// Who.
    #[schema(value_type = String)]
    pub customer: IpNetwork,
    /// The rule whose limits are lower; `None` = all rules'.
    pub rule: Option<String>,
    /// The flag that it follows on.
    pub flag: FlagId,
    /// Until when.
    pub until: Timestamp,
    /// What limits are multiplied by.
    pub factor: f64,
    /// Who put it on probation.
    pub by: String,
    /// Why.
    pub why: String,
    /// Automatic flags that have ended by themselves before.
    pub lifts: u32,
}

/// Figures that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatisticsView {
    /// How many rotations.
    pub rotations: u64,
    /// Octets of all of them.
    pub octets: u64,
    /// When the first of them ended.
    pub since: Option<Timestamp>,
}

/// `PUT /v1/rules/freeze`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who.
    #[serde(default)]
    pub actor: String,
}

/// `POST /v1/rules/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Who.
    #[serde(default)]
    pub actor: String,
}

/// `POST /v1/rules/replay`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplayView {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// Rotations that were gone through.
    pub rotations: usize,
    /// What the rules would have done, in its order.
    pub would: Vec<WouldView>,
    /// How many of these a cap or a guard would have held back.
    pub held_back: usize,
    /// Flags that rules really made then, of customers that these would not have flagged.
    pub really_only: Vec<ReallyView>,
}

/// What a rule would have done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WouldView {
    /// When.
    pub at: Timestamp,
    /// To whom.
    #[schema(value_type = String)]
    pub customer: IpNetwork,
    /// Which rule.
    pub rule: String,
    /// Where it would have turned the dial; `lift` takes the flag away.
    pub dial: String,
    /// Because of which figures.
    pub because: String,
    /// What would have kept it from doing so.
    pub held_back_by: Option<String>,
    /// Flags that there really were over the customer in that time.
    pub really: Vec<ReallyView>,
}

/// A flag that there really was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReallyView {
    /// Its number.
    pub flag: FlagId,
    /// Whom it was about.
    #[schema(value_type = String)]
    pub prefix: IpNetwork,
    /// Where the dial stood.
    pub dial: String,
    /// Whose it was.
    pub actor: String,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl RuleView {
    /// A rule with its active flags, and how often in a day it acted, would have, and was held back.
    #[must_use]
    pub fn new(rule: &Rule, flags: usize, [done, would_have, held_back]: [u64; 3]) -> Self {
        let then = match &rule.then {
            Then::Raise(terms) => format!("raise to {}", terms.height.name()),
            Then::Lower(terms) => format!("lower to {}", terms.height.name()),
            Then::Lift => String::from("lift"),
        };
        Self {
            name: rule.name.clone(),
            when: rule.when.to_string(),
            window: in_words(rule.window),
            held_for: in_words(rule.held_for),
            then,
            flags,
            done,
            would_have,
            held_back,
        }
    }
}

impl ProbationView {
    /// A customer's probation.
    #[must_use]
    pub fn new(customer: IpNetwork, lifts: u32, probation: &Probation) -> Self {
        Self {
            customer,
            rule: probation.rule.clone(),
            flag: probation.flag,
            until: probation.until,
            factor: probation.factor,
            by: probation.by.clone(),
            why: probation.why.clone(),
            lifts,
        }
    }
}
