//! What a scanner's points say about the odds, so that they add up with what others say.
//!
//! A scanner that gives points for marks of spam has looked for nothing else: few points mean that it knows no such mark,
//! not that the message is wanted. Added up as they are, they would take from a scanner that knows better what it has
//! found. So a [`Scale`] has a bound on what too few points take away, and by default that is nothing.

/// How points become log-odds. More points are never less odds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The score that says nothing either way.
    pub neutral_at: f64,
    /// What a point more adds to the natural logarithm of the odds; zero or more.
    pub per_point: f64,
    /// What a score below [`neutral_at`](Self::neutral_at) takes away at most, in log-odds; zero or more.
    pub clears_by: f64,
}

impl Scale {
    /// The log-odds of a score; none of a score that is no number.
    #[must_use]
    pub fn log_odds(self, score: f64) -> Option<f64> {
        let log_odds = (score - self.neutral_at) * self.per_point;
        log_odds.is_finite().then(|| log_odds.max(-self.clears_by))
    }
}

impl Default for Scale {
    /// Of rspamd as it is delivered, without the network: fitted to what it says of public mail. At 15, where it refuses by
    /// itself, the odds are 900 to 1.
    fn default() -> Self {
        Self {
            neutral_at: 4.5,
            per_point: 0.65,
            clears_by: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::super::{Action, Finding, Policy, Report, combine};
    use super::*;

    fn report(log_odds: Option<f64>) -> Report {
        Report {
            scanner: "x",
            finding: Finding::Clean,
            score: None,
            log_odds,
            reasons: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }

    /// What becomes of scanners' words when they are put together.
    fn pool(log_odds: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
        let policy = Policy {
            spam: Action::Reject,
            malware: Action::Reject,
            unscannable: Action::Accept,
            spam_log_odds: None,
        };
        let reports: Vec<_> = log_odds.into_iter().map(report).collect();
        combine(&reports, &policy).log_odds
    }

    #[test]
    fn few_points_take_away_what_the_scale_allows() {
        let scale = Scale::default();
        for (clears_by, score, expected) in [
            (0.0, 8.5, 2.6),
            (0.0, 4.5, 0.0),
            (0.0, -20.0, 0.0),
            (1.0, 3.5, -0.65),
            (1.0, -20.0, -1.0),
        ] {
            let said = Scale { clears_by, ..scale }.log_odds(score).unwrap();
            assert!((said - expected).abs() < 1e-9, "{clears_by} {score} {said}");
        }
        assert_eq!(scale.log_odds(f64::NAN), None);
        assert_eq!(scale.log_odds(f64::INFINITY), None);
    }

    fn any_scale() -> impl Strategy<Value = Scale> {
        (-20.0..20.0, 0.0..10.0, 0.0..12.0).prop_map(|(neutral_at, per_point, clears_by)| Scale {
            neutral_at,
            per_point,
            clears_by,
        })
    }

    proptest! {
        #[test]
        fn more_points_of_any_scanner_never_lower_the_pool(
            scale in any_scale(),
            score in -50.0..50.0,
            more in 0.0..50.0,
            others in prop::collection::vec(prop::option::of(-12.0..12.0), 0..5),
        ) {
            let with = |score: f64| pool(others.iter().copied().chain([scale.log_odds(score)]));
            prop_assert!(with(score + more) >= with(score));
        }

        #[test]
        fn a_scanner_without_an_opinion_changes_nothing(
            scale in any_scale(),
            others in prop::collection::vec(-12.0..12.0, 1..5),
            at in 0_usize..5,
        ) {
            let said: Vec<Option<f64>> = others.iter().copied().map(Some).collect();
            for nothing in [None, scale.log_odds(scale.neutral_at), scale.log_odds(f64::NAN)] {
                let mut with = said.clone();
                with.insert(at.min(said.len()), nothing);
                prop_assert_eq!(pool(with), pool(said.clone()));
            }
        }

        #[test]
        fn by_default_few_points_never_take_away_what_another_has_found(
            score in -50.0..50.0,
            other in -12.0..12.0,
        ) {
            let both = pool([Some(other), Scale::default().log_odds(score)]);
            prop_assert!(both >= pool([Some(other)]));
        }
    }
}
