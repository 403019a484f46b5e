//! Medians, and what few rounds can say about them.
//!
//! Nothing is assumed about how the noise of a machine is distributed. Of `n` independent rounds, the
//! smallest lies above the true median only if all of them do, which happens once in 2^n: so the smallest
//! of five is a lower bound of the median with a confidence of 97 %, and the largest an upper one (the
//! sign test's interval). More rounds let the bound move inwards.

/// The middle of some numbers; of an even count the mean of the two in the middle. NaN for none.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let sorted = sorted(numbers);
    let upper = sorted.get(sorted.len() / 2);
    let lower = sorted.get(sorted.len().wrapping_sub(1) / 2);
    match (lower, upper) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => f64::NAN,
    }
}

/// The smallest; NaN for none.
pub(crate) fn min(numbers: &[f64]) -> f64 {
    sorted(numbers).first().copied().unwrap_or(f64::NAN)
}

/// A quantile by nearest rank, `share` in 0..=1; NaN for none.
pub(crate) fn quantile(numbers: &[f64], share: f64) -> f64 {
    let sorted = sorted(numbers);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among numbers that are in memory"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let last = sorted.len().saturating_sub(1);
    let at = rank.saturating_sub(1).min(last);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Bounds of the median, each with [`CONFIDENCE`]; `None` where there are too few rounds for any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// The median is hardly below.
    pub(crate) lower: f64,
    /// The median is hardly above.
    pub(crate) upper: f64,
}

impl Bounds {
    /// Of the median that these rounds are drawn around.
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        let sorted = sorted(rounds);
        let outside = outside(sorted.len())?;
        Some(Self {
            lower: *sorted.get(outside)?,
            upper: *sorted.get(sorted.len() - 1 - outside)?,
        })
    }
}

/// How many of the rounds may be left out at one end, so that the next one still bounds the median.
fn outside(rounds: usize) -> Option<usize> {
    // The chance that at most `k` of `n` lie on one side of the median is the sum of n over i, i <= k,
    // in units of 2^-n.
    let mut term = 0.5_f64.powi(i32::try_from(rounds).ok()?);
    let mut chance = term;
    let mut outside = None;
    for k in 0..rounds {
        if chance > 1.0 - CONFIDENCE {
            break;
        }
        outside = Some(k);
        #[expect(clippy::cast_precision_loss, reason = "a handful of rounds")]
        let next = term * (rounds - k) as f64 / (k + 1) as f64;
        term = next;
        chance += term;
    }
    outside
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// One-sided.
pub(crate) const CONFIDENCE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        for (numbers, expected) in [
            (&[3.0][..], 3.0),
            (&[4.0, 1.0], 2.5),
            (&[9.0, 1.0, 2.0], 2.0),
            (&[5.0, 1.0, 2.0, 100.0], 3.5),
        ] {
            assert!(
                (median(numbers) - expected).abs() < f64::EPSILON,
                "{numbers:?}"
            );
        }
        assert!(median(&[]).is_nan() && min(&[]).is_nan() && quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_quantile_is_one_of_the_numbers() {
        let numbers: Vec<f64> = (1..=200).map(f64::from).collect();
        for (share, expected) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert_eq!(quantile(&numbers, share).to_bits(), f64::to_bits(expected));
        }
        assert_eq!(quantile(&[7.0], 0.99).to_bits(), f64::to_bits(7.0));
    }

    #[test]
    fn few_rounds_bound_nothing() {
        assert_eq!(Bounds::of(&[]), None);
        assert_eq!(
            Bounds::of(&[1.0, 2.0, 3.0, 4.0]),
            None,
            "once in 16 is too often"
        );
    }

    #[test]
    fn five_rounds_are_bound_by_their_ends_and_eight_by_the_second() {
        let bounds = |rounds: i32| {
            let rounds: Vec<f64> = (1..=rounds).map(f64::from).collect();
            let bounds = Bounds::of(&rounds).unwrap();
            (bounds.lower, bounds.upper)
        };
        assert_eq!(bounds(5), (1.0, 5.0));
        assert_eq!(bounds(7), (1.0, 7.0));
        // 9 in 256 lie beyond the second.
        assert_eq!(bounds(8), (2.0, 7.0));
        assert_eq!(bounds(20), (6.0, 15.0));
    }

    #[test]
    fn bounds_hold_as_often_as_they_say() {
        // Rounds of a known median, 0, from a skewed distribution; a fixed sequence, so that the test
        // says the same every time.
        let mut state = 1_u64;
        let mut number = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(u32::MAX)
        };
        let mut held = 0;
        for _ in 0..2000 {
            let rounds: Vec<f64> = (0..5).map(|_| number().powi(3) - 0.125).collect();
            held += u32::from(Bounds::of(&rounds).unwrap().lower <= 0.0);
        }
        assert!((1900..=1970).contains(&held), "{held} of 2000");
    }
}
