//! How a customer has behaved after its flags: lifts, probation, and what a person has said.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Rule;
use crate::policy::dial::FlagId;

/// What is remembered of one customer that a rule has flagged.
#[derive(Clone, Debug, PartialEq)]
pub struct Conduct {
    /// Automatic flags that have ended by themselves since a person last lifted one.
    pub lifts: u32,
    /// While it is watched more closely.
    pub probation: Option<Probation>,
    /// When a person last lifted a flag that a rule had made: what was counted before has been judged.
    pub pardoned_at: Option<Timestamp>,
    /// When any of this changed.
    pub changed_at: Timestamp,
}

/// A time in which limits are lower, and why. While a flag is in force it is only a mark on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probation {
    /// The rule whose limits are lower; `None` = all rules'.
    pub rule: Option<String>,
    /// The flag that it follows on.
    pub flag: FlagId,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What upper limits are multiplied by.
    pub factor: f64,
    /// Who put it on probation.
    pub by: String,
    /// Why.
    pub why: String,
}

/// What ended, and how.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// The flag.
    pub flag: FlagId,
    /// The rule that made it, as it is now; `None` if the file has it no more.
    pub rule: Option<&'a Rule>,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: &'a str,
    /// Why.
    pub why: &'a str,
}

impl Conduct {
    /// Of somebody of whom nothing was remembered.
    #[must_use]
    pub const fn fresh(at: Timestamp) -> Self {
        Self {
            lifts: 0,
            probation: None,
            pardoned_at: None,
            changed_at: at,
        }
    }

    /// A flag of a rule has ended without a person: by its time, or by a rule.
    pub fn ended_by_itself(&mut self, ending: &Ending<'_>) {
        self.lifts = self.lifts.saturating_add(1);
        self.changed_at = ending.at;
        let length = ending.rule.and_then(|rule| rule.probation);
        // A probation that a person has begun on this flag does not end with it.
        let begun = self
            .probation
            .take()
            .filter(|begun| begun.flag == ending.flag && begun.until > ending.at);
        let fresh = ending.rule.zip(length).map(|(rule, length)| Probation {
            rule: Some(rule.name.clone()),
            flag: ending.flag,
            since: ending.at,
            until: after(ending.at, length),
            factor: rule.probation_factor,
            by: ending.by.to_owned(),
            why: ending.why.to_owned(),
        });
        self.probation = begun.or(fresh);
    }

    /// A person has lifted a flag that a rule had made.
    pub fn lifted_by_person(&mut self, at: Timestamp) {
        *self = Self {
            pardoned_at: Some(at),
            ..Self::fresh(at)
        };
    }

    /// Something that was held under a flag was released: the flag stays, and whoever looks at it sees that it may be
    /// wrong; once it has ended, its customer is watched more closely for a while.
    pub fn released(&mut self, ending: &Ending<'_>, flag_ends: Timestamp) {
        let length = ending.rule.and_then(|rule| rule.probation);
        self.changed_at = ending.at;
        self.probation = Some(Probation {
            rule: ending.rule.map(|rule| rule.name.clone()),
            flag: ending.flag,
            since: ending.at,
            until: after(flag_ends, length.unwrap_or(PROBATION)),
            factor: ending.rule.map_or(FACTOR, |rule| rule.probation_factor),
            by: ending.by.to_owned(),
            why: ending.why.to_owned(),
        });
    }

    /// What a rule's upper limits are multiplied by now.
    #[must_use]
    pub fn factor(&self, rule: &str, now: Timestamp) -> Option<f64> {
        let probation = self.probation.as_ref()?;
        let of_rule = probation.rule.as_deref().is_none_or(|name| name == rule);
        (of_rule && now < probation.until).then_some(probation.factor)
    }

    /// Whether there is nothing left to remember.
    #[must_use]
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        let on_probation = self.probation.as_ref().map(|probation| probation.until);
        after(self.changed_at, FORGET_AFTER) <= now && on_probation.is_none_or(|until| until <= now)
    }
}

/// A moment that long after another.
pub(super) fn after(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Who was not flagged for that long begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Probation of a person's flag, or of a rule's without one of its own.
const PROBATION: Duration = Duration::from_secs(24 * 60 * 60);
const FACTOR: f64 = 0.5;
