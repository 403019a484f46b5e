//! What is to be reached, and whether it was.
//!
//! A ratio is that of the added costs (see [`crate::live`]), and every target is judged by the bound of
//! its median, not by the median itself: see [`crate::stats`].

use serde::Serialize;

use crate::stats::{Bounds, median};

/// A target and what was measured of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    /// What it says.
    pub(crate) name: String,
    /// Unit of all numbers.
    pub(crate) unit: &'static str,
    /// The number to reach.
    pub(crate) target: f64,
    /// Whether more or less is better.
    pub(crate) wanted: Wanted,
    /// What was measured; `None` = it could not be.
    pub(crate) measured: Option<f64>,
    /// How much worse it may be in truth; of a single measurement itself.
    pub(crate) bound: Option<f64>,
    /// What else there is to say.
    pub(crate) note: String,
    /// Whether the bound reaches the target.
    pub(crate) met: bool,
}

/// On which side of the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wanted {
    /// This or more.
    AtLeast,
    /// This or less.
    AtMost,
}

impl Wanted {
    /// As people write it.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
        }
    }
}

impl Target {
    /// By rounds, bounded by the sign test.
    pub(crate) fn by_rounds(
        name: &str,
        unit: &'static str,
        wanted: Wanted,
        target: f64,
        rounds: &[f64],
    ) -> Self {
        let bounds = Bounds::of(rounds);
        let bound = bounds.map(|bounds| match wanted {
            Wanted::AtLeast => bounds.lower,
            Wanted::AtMost => bounds.upper,
        });
        let measured = (!rounds.is_empty()).then(|| median(rounds));
        Self::judged(name, unit, wanted, target, (measured, bound))
    }

    /// By one number.
    pub(crate) fn by_one(
        name: &str,
        unit: &'static str,
        wanted: Wanted,
        target: f64,
        measured: f64,
    ) -> Self {
        Self::judged(name, unit, wanted, target, (Some(measured), Some(measured)))
    }

    /// The same target, not reached whatever was measured.
    pub(crate) fn but(mut self, why_not: Option<String>) -> Self {
        if let Some(why) = why_not {
            self.met = false;
            self.note = why;
        }
        self
    }

    fn judged(
        name: &str,
        unit: &'static str,
        wanted: Wanted,
        target: f64,
        (measured, bound): (Option<f64>, Option<f64>),
    ) -> Self {
        let met = bound.is_some_and(|bound| match wanted {
            Wanted::AtLeast => bound >= target,
            Wanted::AtMost => bound <= target,
        });
        let note = match bound {
            Some(_) => String::new(),
            None => "too few rounds for a bound".to_owned(),
        };
        Self {
            name: name.to_owned(),
            unit,
            target,
            wanted,
            measured,
            bound,
            note,
            met,
        }
    }
}

/// How many times cheaper, round by round.
pub(crate) fn ratios(dear: &[f64], cheap: &[f64]) -> Vec<f64> {
    let pairs = dear.iter().zip(cheap);
    pairs.map(|(dear, cheap)| dear / cheap).collect()
}

/// How much more, round by round.
pub(crate) fn differences(more: &[f64], less: &[f64]) -> Vec<f64> {
    let pairs = more.iter().zip(less);
    pairs.map(|(more, less)| more - less).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: Wanted, target: f64, rounds: &[f64], met: bool) {
        let judged = Target::by_rounds("t", "x", wanted, target, rounds);
        assert_eq!(judged.met, met, "{judged:?}");
    }

    #[test]
    fn a_target_is_judged_by_its_bound() {
        check(Wanted::AtLeast, 6.0, &[6.1, 6.5, 7.0, 6.2, 6.3], true);
        check(Wanted::AtLeast, 6.0, &[5.9, 6.5, 7.0, 6.2, 6.3], false);
        check(Wanted::AtMost, 5.0, &[4.9, 1.0, 2.0, 3.0, 4.0], true);
        check(Wanted::AtMost, 5.0, &[5.1, 1.0, 2.0, 3.0, 4.0], false);
    }

    #[test]
    fn too_few_rounds_and_what_is_not_a_number_reach_nothing() {
        check(Wanted::AtLeast, 1.0, &[9.0, 9.0], false);
        check(Wanted::AtMost, 1.0, &[], false);
        check(Wanted::AtMost, 1.0, &[f64::NAN; 5], false);
    }

    #[test]
    fn what_stands_against_it_is_told() {
        let target = Target::by_one("t", "x", Wanted::AtMost, 2.0, 1.0);
        assert!(target.met);
        let target = target.but(Some("half of it".to_owned()));
        assert!(!target.met && target.note == "half of it");
    }

    #[test]
    fn ratios_and_differences_go_by_rounds() {
        assert_eq!(ratios(&[8.0, 9.0], &[2.0, 3.0]), [4.0, 3.0]);
        assert_eq!(differences(&[8.0, 9.0], &[2.0, 3.0]), [6.0, 6.0]);
    }
}
