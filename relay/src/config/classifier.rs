//! `[[scanner]] kind = "classifier"`: the embedded classifier.

use std::path::PathBuf;
use std::time::Duration;

use relay_proto::verdict::OnError;
use serde::Deserialize;

use super::Invalid;
use super::check::{absolute, duration};
use super::raw::RawScanner;
use super::scanner::{SCAN_DEADLINE_MAX, check_on_error};

/// How the classifier is used.
#[derive(Debug, Clone)]
pub struct ClassifierConfig {
    /// A file made by `outgate-relay classifier train`; `None` = the model that comes with the relay.
    pub model: Option<PathBuf>,
    /// Probability from which on it refuses by itself; `None` = what the model says.
    pub reject_at: Option<f64>,
    /// It learns from messages that people have released or confirmed.
    pub learn: bool,
    /// How long one message may take.
    pub deadline: Duration,
    /// What becomes of the message if it takes longer.
    pub on_error: OnError,
}

/// The same as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawClassifier {
    model: Option<PathBuf>,
    reject_at: Option<f64>,
    learn: bool,
    deadline: String,
    on_error: String,
}

impl Default for RawClassifier {
    fn default() -> Self {
        Self {
            model: None,
            reject_at: None,
            learn: true,
            deadline: "5s".into(),
            on_error: "open".into(),
        }
    }
}

impl Default for ClassifierConfig {
    /// As it is where the file says nothing but its kind.
    fn default() -> Self {
        let raw = RawClassifier::default();
        raw.try_into()
            .expect("the defaults are within their bounds")
    }
}

impl TryFrom<RawClassifier> for ClassifierConfig {
    type Error = Invalid;

    fn try_from(raw: RawClassifier) -> Result<Self, Invalid> {
        if let Some(reject_at) = raw.reject_at
            && !(0.5..1.0).contains(&reject_at)
        {
            let problem = "must be a probability from 0.5 to below 1, as 0.99";
            return Err(Invalid::new("scanner.reject_at", reject_at, problem));
        }
        let model = raw.model.map(|model| absolute("scanner.model", model));
        Ok(Self {
            model: model.transpose()?,
            reject_at: raw.reject_at,
            learn: raw.learn,
            deadline: duration(
                "scanner.deadline",
                &raw.deadline,
                Duration::from_millis(100),
                SCAN_DEADLINE_MAX,
            )?,
            on_error: check_on_error(&raw.on_error)?,
        })
    }
}

/// What it learns is one file.
pub(super) fn at_most_one(scanners: &[RawScanner]) -> Result<(), Invalid> {
    let is_classifier = |raw: &&RawScanner| matches!(raw, RawScanner::Classifier(_));
    if scanners.iter().filter(is_classifier).count() > 1 {
        let problem = "may stand there once: what it learns is one file in state_dir";
        return Err(Invalid::new("scanner.kind", "classifier", problem));
    }
    Ok(())
}
