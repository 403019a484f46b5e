//! A model: weights of some buckets, and what their sum means.
//!
//! In memory the weights are an array of all buckets, so that looking one up is one access; in a file they are those
//! that are not zero, quantised to steps, so that the shipped model takes less than a hundred kilobytes. A file says where it
//! comes from and how well it did on mail that it was not made of.
//!
//! # Diagnostics
//! Returned: [`ModelError`], which says what to do. A file with any octet changed is refused.

use std::path::Path;

use super::features::Features;
use super::hash::BUCKETS;
use super::{Reason, ftrl::Ftrl};

mod file;

/// The model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// In steps.
    weights: Vec<i16>,
    step: f64,
    bias: f64,
    calibration: Calibration,
    /// Log-odds from which on a message is called spam by this model alone.
    threshold: f64,
    provenance: Provenance,
    measured: Measured,
}

/// From a sum of weights to log-odds (Platt 1999), fitted on mail that the weights were not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Always above zero: more weight never means less odds.
    pub slope: f64,
    /// Log-odds of the sum zero.
    pub offset: f64,
}

impl Calibration {
    pub(super) fn log_odds(self, score: f64) -> f64 {
        (self.slope * score + self.offset).clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX)
    }
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Of which mail it was made, and under which licence.
    pub corpus: String,
    /// When, in RFC 3339.
    pub trained_at: String,
    /// Messages of it that were wanted.
    pub ham: u64,
    /// Messages of it that were not.
    pub spam: u64,
    /// It only adds to what others say: it was made of mail that is not the operator's.
    pub advisory: bool,
}

/// How it did on mail that it was not made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Chance that a spam message scores above a ham message.
    pub auc: f64,
    /// Wanted messages that were looked at.
    pub ham: u64,
    /// Those of them at or above the threshold.
    pub false_positives: u64,
    /// Unwanted messages that were looked at.
    pub spam: u64,
    /// Those of them at or above the threshold.
    pub found: u64,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another kind of file.
    #[error("is not {0}; make one with `outgate-relay classifier train`")]
    SomethingElse(&'static str),
    /// Of another program.
    #[error(
        "has version {found}, this program reads {version}; make it anew with `outgate-relay classifier train`"
    )]
    Version {
        /// What it says.
        found: u16,
        /// What is known.
        version: u16,
    },
    /// Other features.
    #[error(
        "was made for other features (version {0}) than this program's; make it anew with `outgate-relay classifier train`"
    )]
    Features(u64),
    /// Octets have changed or are missing.
    #[error("is damaged; copy it again, or make it anew with `outgate-relay classifier train`")]
    Damaged,
}

impl Model {
    /// What training has found, in as few octets as it takes.
    pub(super) fn new(
        ftrl: &Ftrl,
        calibration: Calibration,
        threshold: f64,
        provenance: Provenance,
        measured: Measured,
    ) -> Self {
        let buckets = || 0..u32::try_from(BUCKETS).unwrap_or(u32::MAX);
        let largest = buckets()
            .map(|bucket| ftrl.weight(bucket).abs())
            .fold(0.0, f64::max);
        let step = (largest / STEPS).max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_possible_truncation, reason = "at most STEPS")]
        let weights = buckets()
            .map(|bucket| (ftrl.weight(bucket) / step).round() as i16)
            .collect();
        Self {
            weights,
            step,
            bias: ftrl.bias(),
            calibration,
            threshold,
            provenance,
            measured,
        }
    }

    /// The one that comes with the relay.
    #[must_use]
    pub fn shipped() -> Self {
        Self::decode(SHIPPED).expect("the shipped model is one: a test reads it")
    }

    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, ModelError> {
        Self::decode(&std::fs::read(file)?)
    }

    /// Tells it from other models.
    #[must_use]
    pub fn id(&self) -> u32 {
        crc32c::crc32c(&self.encode())
    }

    /// What others are told of log-odds that it gives. A model of other people's mail from another time is surer than it
    /// should be: on mail of a kind that it has not seen, half of what it says is about right, and it does not decide.
    #[must_use]
    pub fn advice(&self, log_odds: f64) -> f64 {
        if self.provenance.advisory {
            (log_odds / 2.0).clamp(-ADVICE_MAX, ADVICE_MAX)
        } else {
            log_odds
        }
    }

    /// Where it comes from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// How it did.
    #[must_use]
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Log-odds from which on a message is called spam by this model alone.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// What its sums mean.
    #[must_use]
    pub fn calibration(&self) -> Calibration {
        self.calibration
    }

    /// Buckets that weigh something.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.weights.iter().filter(|weight| **weight != 0).count()
    }

    /// Log-odds that a message with these features is spam.
    #[must_use]
    pub fn log_odds(&self, features: &Features) -> f64 {
        self.calibration.log_odds(self.score(features))
    }

    /// The features that weigh most for spam, in words, at most so many. They have to be named.
    #[must_use]
    pub fn reasons(&self, features: &Features, most: usize) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self.weighed(features);
        reasons.sort_by(|one, other| other.weight.total_cmp(&one.weight));
        reasons.retain(|reason| reason.weight > 0.0);
        reasons.truncate(most);
        reasons
    }

    /// All features that weigh something, in words.
    #[must_use]
    pub fn weighed(&self, features: &Features) -> Vec<Reason> {
        let named = features.named.iter().map(|one| Reason {
            what: one.words.clone(),
            weight: self.weight(one.bucket) * features.value(one.about) * self.calibration.slope,
        });
        named.filter(|reason| reason.weight != 0.0).collect()
    }

    /// The sum of the weights.
    pub(super) fn score(&self, features: &Features) -> f64 {
        let steps = |bucket: u32| {
            f64::from(
                self.weights
                    .get(bucket as usize)
                    .copied()
                    .unwrap_or_default(),
            )
        };
        self.bias + features.sum(steps) * self.step
    }

    fn weight(&self, bucket: u32) -> f64 {
        self.weights
            .get(bucket as usize)
            .map_or(0.0, |weight| f64::from(*weight) * self.step)
    }
}

/// Made of a public corpus; `models/README.md` says how.
const SHIPPED: &[u8] = include_bytes!("../../models/spam-assassin.ogcm");
/// Of either sign; the usual weight then fits an octet.
const STEPS: f64 = 500.0;
/// Nobody can be surer than this of a message by looking at it.
const LOG_ODDS_MAX: f64 = 12.0;
/// In log-odds: a probability of 95 %.
const ADVICE_MAX: f64 = 3.0;

#[cfg(test)]
mod tests;
