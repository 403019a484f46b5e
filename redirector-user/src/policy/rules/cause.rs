//! Why a rule did what it did: kept with the flag, and shown to whoever asks.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::in_words;
use crate::policy::dial::{FlagId, Height};

/// The figures that caused a flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// Name of the rule.
    pub rule: String,
    /// Until when was counted.
    pub at: Timestamp,
    /// Over how long, in seconds.
    pub window_s: u64,
    /// How long it had been so, in seconds.
    pub held_s: u64,
    /// What was compared with what.
    pub compared: Vec<Compared>,
    /// What upper limits were multiplied by, because the customer was on probation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probation_factor: Option<f64>,
    /// No rule lifts it, and it lives as long as a flag can: too many ended by themselves before it.
    #[serde(default)]
    pub only_by_person: bool,
    /// A person's flag whose place it took, which comes back when this one ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beneath: Option<Beneath>,
}

/// A person's flag that a rule's flag has replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Beneath {
    /// Its number.
    pub flag: FlagId,
    /// Where it held the dial, as [`Height::name`] spells it.
    pub height: String,
    /// When it would have ended by itself.
    pub until: Timestamp,
}

/// One figure and its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Compared {
    /// Its name.
    pub figure: String,
    /// What it was.
    pub value: f64,
    /// How it was compared, as `>`.
    pub sense: String,
    /// With what.
    pub limit: f64,
}

impl Beneath {
    /// Where it holds the dial, as long as it would have lasted.
    #[must_use]
    pub fn floor(&self, now: Timestamp) -> Height {
        let height = Height::from_name(&self.height).filter(|_| now < self.until);
        height.unwrap_or_default()
    }
}

impl Cause {
    /// In words, as `distinct_destinations 412 (> 300) in 10m, for 2m`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let window = in_words(Duration::from_secs(self.window_s));
        let mut text = format!("{} in {window}", self.figures_in_words());
        if self.held_s > 0 {
            let held = in_words(Duration::from_secs(self.held_s));
            text.push_str(&format!(", for {held}"));
        }
        if let Some(factor) = self.probation_factor {
            text.push_str(&format!(", on probation (limits times {factor})"));
        }
        if self.only_by_person {
            text.push_str("; only a person lifts it");
        }
        text
    }
}
