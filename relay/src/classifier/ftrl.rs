//! FTRL-Proximal for logistic regression (McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013,
//! algorithm 1): one pass at a time over the examples, a learning rate for each coordinate, and L1 that leaves most
//! weights at exactly zero.
//!
//! The same examples in the same order give the same state. The state goes on where it was, with other examples, so
//! mail can be added to a model without the mail that it was made of.

use super::hash::BUCKETS;
use super::{Features, Label, probability};

/// The state: for each bucket the sum of gradients less what the weight has gone already, and the sum of their squares.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ftrl {
    /// The last one is the bias.
    pub(super) coordinates: Vec<Coordinate>,
}

/// One bucket's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Coordinate {
    pub(super) z: f32,
    pub(super) n: f32,
}

impl Default for Ftrl {
    fn default() -> Self {
        Self {
            coordinates: vec![Coordinate::default(); BUCKETS + 1],
        }
    }
}

impl Ftrl {
    /// The sum of a message's weights.
    pub(super) fn score(&self, features: &Features) -> f64 {
        self.bias() + features.sum(|bucket| self.weight(bucket))
    }

    /// Learns from one message.
    pub(super) fn learn(&mut self, features: &Features, label: Label) {
        let error = (probability(self.score(features)) - label.target()) * cost(label);
        for (buckets, value) in features.groups() {
            for bucket in buckets {
                if let Some(coordinate) = self.coordinates.get_mut(*bucket as usize) {
                    coordinate.step(error * value, L1);
                }
            }
        }
        if let Some(bias) = self.coordinates.last_mut() {
            bias.step(error, 0.0);
        }
    }

    /// Of a bucket.
    pub(super) fn weight(&self, bucket: u32) -> f64 {
        let coordinate = self.coordinates.get(bucket as usize);
        coordinate.map_or(0.0, |coordinate| coordinate.weight(L1))
    }

    /// What every message has.
    pub(super) fn bias(&self) -> f64 {
        self.coordinates.last().map_or(0.0, |bias| bias.weight(0.0))
    }
}

impl Coordinate {
    fn weight(self, l1: f64) -> f64 {
        let z = f64::from(self.z);
        if z.abs() <= l1 {
            return 0.0;
        }
        -(z - l1.copysign(z)) / ((BETA + f64::from(self.n).sqrt()) / ALPHA + L2)
    }

    fn step(&mut self, gradient: f64, l1: f64) {
        let weight = self.weight(l1);
        let n = f64::from(self.n);
        let squared = gradient * gradient;
        let sigma = ((n + squared).sqrt() - n.sqrt()) / ALPHA;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the state is kept in single precision"
        )]
        {
            self.z = (f64::from(self.z) + gradient - sigma * weight) as f32;
            self.n = (n + squared) as f32;
        }
    }
}

/// What it costs to be wrong about a message. A threshold that one wanted message in a thousand may reach lies where only
/// the oddest of them are, and evenly weighed mistakes teach little of those (Yih, Goodman and Hulten, "Learning at Low
/// False Positive Rates", 2006). Calibration takes the bias out again.
const fn cost(label: Label) -> f64 {
    match label {
        Label::Ham => 24.0,
        Label::Spam => 1.0,
    }
}

const ALPHA: f64 = 0.1;
const BETA: f64 = 1.0;
const L1: f64 = 1.0;
const L2: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn features(buckets: &[u32]) -> Features {
        Features {
            said: buckets.to_vec(),
            ..Features::default()
        }
    }

    /// Bucket 1 is spam, 2 ham, 3 both, and everything from 100 on is seen once.
    fn learnt() -> Ftrl {
        let mut ftrl = Ftrl::default();
        for round in 0..200 {
            ftrl.learn(&features(&[1, 3, 100 + round]), Label::Spam);
            ftrl.learn(&features(&[2, 3, 500 + round]), Label::Ham);
        }
        ftrl
    }

    #[test]
    fn what_separates_gets_weight_and_what_does_not_gets_none() {
        let ftrl = learnt();
        assert!(ftrl.weight(1) > 0.1 && ftrl.weight(2) < -0.1);
        assert!(ftrl.weight(3).abs() < ftrl.weight(1).min(-ftrl.weight(2)));
        assert!(ftrl.score(&features(&[1, 3])) > 2.0 && ftrl.score(&features(&[2, 3])) < -2.0);
    }

    #[test]
    fn most_of_what_is_seen_once_weighs_exactly_nothing() {
        let ftrl = learnt();
        let weighing = (100..900)
            .filter(|bucket| ftrl.weight(*bucket) != 0.0)
            .count();
        // The first ones come before anything else is known.
        assert!(weighing < 400 / 3, "{weighing} of 400");
    }

    #[test]
    fn what_is_both_alike_speaks_for_ham() {
        let mut ftrl = Ftrl::default();
        for _ in 0..100 {
            ftrl.learn(&features(&[7]), Label::Ham);
            ftrl.learn(&features(&[7]), Label::Spam);
        }
        assert!(ftrl.score(&features(&[7])) < -1.0);
    }

    #[test]
    fn the_same_examples_give_the_same_state() {
        assert_eq!(learnt(), learnt());
    }
}
