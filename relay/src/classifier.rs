//! The embedded classifier: how much a message resembles mail that people called spam.
//!
//! [`features`] turns a message into hashed features, a [`Model`] holds a weight for some of the buckets and says what
//! their sum means in log-odds, [`training`] makes a model of a corpus, and [`Live`] is a model that goes on learning
//! while the relay runs. No network, no clock, no other program; the same octets and the same model say the same.
//!
//! What receivers add to a message (trace fields, marks of their filters) and what mailing lists add is never looked at:
//! in a corpus it tells who had collected the message, which is its label. Whose the mail is is not looked at, either:
//! no address and no name of a sender's domain is a feature. The classifier judges what is said and how it is made.
//!
//! # Diagnostics
//! Returned: [`Unscannable`] for a message beyond the bounds of [`features`], which are there so that no message costs
//! more than a known amount of time and memory; [`ModelError`] for a file that cannot be used. Nothing panics on any
//! octets.

pub mod corpus;
pub mod features;
pub mod figures;
mod ftrl;
mod hash;
mod lessons;
mod live;
mod model;
pub mod training;
mod varint;

pub use features::{Extractor, Features, Unscannable};
pub use live::{LearnError, Lesson, Live, LiveError, check, open};
pub use model::{Calibration, Measured, Model, ModelError, Provenance};

/// Makes `content` what `file` holds, whole even after a crash. Blocks on the disk.
pub fn store(file: &std::path::Path, content: &[u8]) -> std::io::Result<()> {
    crate::durable::replace(file, content)
}

/// What people call a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// It was wanted.
    Ham,
    /// It was not.
    Spam,
}

impl Label {
    /// As the target of a regression.
    fn target(self) -> f64 {
        match self {
            Self::Ham => 0.0,
            Self::Spam => 1.0,
        }
    }
}

/// What the classifier says of one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Log-odds that it is spam, calibrated on mail that the model was not trained with.
    pub log_odds: f64,
    /// What spoke most for spam, in words, the strongest first.
    pub reasons: Vec<Reason>,
}

/// One feature of a message and what it weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// In words: `the word "unsubscribe"`.
    pub what: String,
    /// Log-odds that it added; negative speaks for ham.
    pub weight: f64,
}

impl Judged {
    /// The same as a probability.
    #[must_use]
    pub fn probability(&self) -> f64 {
        probability(self.log_odds)
    }
}

/// Of log-odds.
#[must_use]
pub fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Of a probability; infinite at both ends.
#[must_use]
pub fn log_odds(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}
