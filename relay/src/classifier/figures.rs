//! How well scores tell spam from ham: rates with their intervals, the area under the curve, calibration.

use super::{Label, probability};

mod beta;

use beta::beta_quantile;

/// A message's score, and what people called it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// More is spam.
    pub score: f64,
    /// What it is.
    pub label: Label,
}

/// A share of a number of messages, with the bounds between which it lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// So many of them.
    pub count: u64,
    /// Of so many.
    pub of: u64,
    /// Lower bound of the share.
    pub lower: f64,
    /// Upper bound of the share.
    pub upper: f64,
}

impl Rate {
    /// Clopper and Pearson 1934: exact, so never too narrow.
    #[must_use]
    pub fn new(count: u64, of: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of messages")]
        let (k, n) = (count as f64, of as f64);
        let lower = if count == 0 {
            0.0
        } else {
            beta_quantile(0.025, k, n - k + 1.0)
        };
        let upper = if count >= of {
            1.0
        } else {
            beta_quantile(0.975, k + 1.0, n - k)
        };
        Self {
            count,
            of,
            lower,
            upper,
        }
    }

    /// The share itself; NaN of none.
    #[must_use]
    pub fn share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "numbers of messages")]
        let share = self.count as f64 / self.of as f64;
        share
    }
}

/// How much was found, and how much was taken for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// From this score on.
    pub threshold: f64,
    /// Ham at or above it.
    pub false_positives: Rate,
    /// Spam at or above it.
    pub recall: Rate,
}

/// What a threshold does.
#[must_use]
pub fn at(scored: &[Scored], threshold: f64) -> Rates {
    let rate = |label| {
        let of = scored.iter().filter(|one| one.label == label);
        let above = of.clone().filter(|one| one.score >= threshold).count();
        Rate::new(above as u64, of.count() as u64)
    };
    Rates {
        threshold,
        false_positives: rate(Label::Ham),
        recall: rate(Label::Spam),
    }
}

/// The lowest threshold that takes at most this share of the ham for spam. Without ham: nothing is above it.
#[must_use]
pub fn threshold(scored: &[Scored], false_positives: f64) -> f64 {
    let ham = scored.iter().filter(|one| one.label == Label::Ham);
    let mut ham: Vec<f64> = ham.map(|one| one.score).collect();
    ham.sort_by(|one, other| other.total_cmp(one));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of what is in memory"
    )]
    let allowed = (ham.len() as f64 * false_positives) as usize;
    ham.get(allowed)
        .map_or(f64::MAX, |first_below| first_below.next_up())
}

/// The chance that a spam message scores above a ham message; ties are half (Mann and Whitney).
#[must_use]
pub fn auc(scored: &[Scored]) -> f64 {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|one, other| one.score.total_cmp(&other.score));
    let (mut ham_below, mut wins, mut spam_all) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|one, other| one.score.total_cmp(&other.score).is_eq()) {
        let spam = tied.iter().filter(|one| one.label == Label::Spam).count();
        #[expect(clippy::cast_precision_loss, reason = "numbers of messages")]
        let (ham, spam) = ((tied.len() - spam) as f64, spam as f64);
        wins += spam * (ham_below + ham / 2.0);
        ham_below += ham;
        spam_all += spam;
    }
    wins / (spam_all * ham_below)
}

/// A class of probabilities, and what became of the messages in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reliability {
    /// Its lowest probability.
    pub from: f64,
    /// The mean of the probabilities in it; NaN if it is empty.
    pub said: f64,
    /// How many of the messages are spam.
    pub spam: Rate,
}

/// How far probabilities can be believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliable {
    /// Ten classes.
    pub classes: Vec<Reliability>,
    /// Mean squared error of the probabilities.
    pub brier: f64,
    /// Mean distance between what a class says and what became of it, weighted by its messages.
    pub ece: f64,
}

/// Of log-odds.
#[must_use]
pub fn reliable(scored: &[Scored]) -> Reliable {
    let class = |one: &Scored| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 10"
        )]
        let class = (probability(one.score) * 10.0) as usize;
        class.min(9)
    };
    let mut classes = Vec::new();
    let (mut brier, mut ece) = (0.0, 0.0);
    for number in 0..10_u32 {
        let within = || scored.iter().filter(|one| class(one) == number as usize);
        let spam = within().filter(|one| one.label == Label::Spam).count();
        let spam = Rate::new(spam as u64, within().count() as u64);
        #[expect(clippy::cast_precision_loss, reason = "numbers of messages")]
        let count = spam.of as f64;
        let said = within().map(|one| probability(one.score)).sum::<f64>() / count;
        if spam.of > 0 {
            ece += (said - spam.share()).abs() * count;
        }
        let from = f64::from(number) / 10.0;
        classes.push(Reliability { from, said, spam });
    }
    for one in scored {
        brier += (probability(one.score) - one.label.target()).powi(2);
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of messages")]
    let all = scored.len().max(1) as f64;
    Reliable {
        classes,
        brier: brier / all,
        ece: ece / all,
    }
}

/// Slope and offset by which scores become log-odds: logistic regression of the labels on the scores with Platt's
/// targets, by Newton's method. `None` if the scores do not separate, or there is no mail of one kind.
#[must_use]
pub fn platt(scored: &[Scored]) -> Option<(f64, f64)> {
    let spam = scored.iter().filter(|one| one.label == Label::Spam).count();
    #[expect(clippy::cast_precision_loss, reason = "numbers of messages")]
    let (spam, ham) = (spam as f64, (scored.len() - spam) as f64);
    if spam == 0.0 || ham == 0.0 {
        return None;
    }
    // Nobody has seen that certainty exists: Platt's priors keep the slope finite for scores that separate perfectly.
    let target = |label| match label {
        Label::Spam => (spam + 1.0) / (spam + 2.0),
        Label::Ham => 1.0 / (ham + 2.0),
    };
    let loss = |slope: f64, offset: f64| -> f64 {
        let one = |one: &Scored| {
            let (odds, target) = (slope * one.score + offset, target(one.label));
            // ln(1 + e^odds) without overflow.
            odds.max(0.0) + (-odds.abs()).exp().ln_1p() - target * odds
        };
        scored.iter().map(one).sum()
    };
    let (mut slope, mut offset) = (0.0, ((spam + 1.0) / (ham + 1.0)).ln());
    for _ in 0..NEWTON_STEPS {
        let (mut by_slope, mut by_offset) = (0.0, 0.0);
        let (mut ss, mut so, mut oo) = (RIDGE, 0.0, RIDGE);
        for one in scored {
            let p = probability(slope * one.score + offset);
            let (error, curve) = (p - target(one.label), p * (1.0 - p));
            by_slope += error * one.score;
            by_offset += error;
            ss += curve * one.score * one.score;
            so += curve * one.score;
            oo += curve;
        }
        let determinant = ss * oo - so * so;
        let (down, aside) = (
            (oo * by_slope - so * by_offset) / determinant,
            (ss * by_offset - so * by_slope) / determinant,
        );
        let before = loss(slope, offset);
        let mut size = 1.0;
        while loss(slope - size * down, offset - size * aside) > before && size > STEP_MIN {
            size /= 2.0;
        }
        slope -= size * down;
        offset -= size * aside;
        if by_slope.abs() + by_offset.abs() < GRADIENT_MIN {
            break;
        }
    }
    (slope > 0.0 && slope.is_finite() && offset.is_finite()).then_some((slope, offset))
}

const NEWTON_STEPS: u32 = 100;
const RIDGE: f64 = 1e-9;
const STEP_MIN: f64 = 1e-9;
const GRADIENT_MIN: f64 = 1e-7;

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(spam: &[f64], ham: &[f64]) -> Vec<Scored> {
        let of = |label| {
            move |score: &f64| Scored {
                score: *score,
                label,
            }
        };
        spam.iter()
            .map(of(Label::Spam))
            .chain(ham.iter().map(of(Label::Ham)))
            .collect()
    }

    #[test]
    fn intervals_are_those_of_clopper_and_pearson() {
        // As R's binom.test says.
        for (count, of, lower, upper) in [
            (0, 100, 0.0, 0.036_216_7),
            (1, 10, 0.002_528_6, 0.445_016_1),
            (50, 100, 0.398_321_1, 0.601_678_9),
            (100, 100, 0.963_783_3, 1.0),
            (4, 4150, 0.000_262_7, 0.002_466_2),
        ] {
            let rate = Rate::new(count, of);
            assert!(
                (rate.lower - lower).abs() < 1e-6 && (rate.upper - upper).abs() < 1e-6,
                "{rate:?}"
            );
        }
    }

    #[test]
    fn the_area_counts_pairs_and_ties_half() {
        for (spam, ham, expected) in [
            (&[2.0, 3.0][..], &[0.0, 1.0][..], 1.0),
            (&[0.0], &[1.0], 0.0),
            (&[1.0], &[1.0], 0.5),
            (&[0.5, 2.0], &[1.0, 0.0], 0.75),
        ] {
            assert!(
                (auc(&scored(spam, ham)) - expected).abs() < 1e-12,
                "{spam:?} {ham:?}"
            );
        }
    }

    #[test]
    fn a_threshold_keeps_its_promise() {
        let ham: Vec<f64> = (0..1000).map(f64::from).collect();
        let mail = scored(&[500.0, 998.5, 999.5, 2000.0], &ham);
        for (share, false_positives, found) in [(0.0, 0, 2), (0.001, 1, 3), (0.5, 500, 4)] {
            let rates = at(&mail, threshold(&mail, share));
            assert_eq!(
                (rates.false_positives.count, rates.recall.count),
                (false_positives, found),
                "{share}"
            );
        }
        assert_eq!(
            at(&mail, threshold(&scored(&[1.0], &[]), 0.001))
                .recall
                .count,
            0
        );
    }

    #[test]
    fn platt_finds_the_odds_that_made_the_labels() {
        // At each score as many spam messages as log-odds of twice the score less one make.
        let mut mail = Vec::new();
        for step in -30..=30 {
            let score = f64::from(step) / 10.0;
            let spam = probability(2.0 * score - 1.0) * 1000.0;
            for number in 0..1000 {
                let label = if f64::from(number) < spam {
                    Label::Spam
                } else {
                    Label::Ham
                };
                mail.push(Scored { score, label });
            }
        }
        let (slope, offset) = platt(&mail).unwrap();
        assert!(
            (slope - 2.0).abs() < 0.02 && (offset + 1.0).abs() < 0.02,
            "{slope} {offset}"
        );
        let calibrated: Vec<Scored> = mail
            .iter()
            .map(|one| Scored {
                score: slope * one.score + offset,
                ..*one
            })
            .collect();
        assert!(reliable(&calibrated).ece < 0.01);
        assert!(reliable(&mail).ece > 0.05);
    }

    #[test]
    fn what_does_not_separate_has_no_calibration() {
        assert_eq!(platt(&scored(&[0.0, 1.0], &[2.0, 3.0])), None);
        assert_eq!(platt(&scored(&[], &[2.0])), None);
        let (slope, _) = platt(&scored(&[1.0, 2.0], &[-1.0, -2.0])).unwrap();
        assert!(slope.is_finite());
    }
}
