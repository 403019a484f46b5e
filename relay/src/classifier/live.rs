//! A model in use: judges any number of messages at once, and learns from what people say of them.
//!
//! [`judge`](Live::judge) and [`learn`](Live::learn) are work for the processor, and the latter for the disk: they belong
//! on threads that may block. What was learnt is in a file before `learn` returns, written as a whole, so that a crash
//! costs nothing and damages nothing.
//!
//! # Diagnostics
//! Returned: [`LiveError`] at the start, [`LearnError`]. Logged: lessons that belong to another model, which are set
//! aside beside their file and not deleted (`warn`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::warn;

use super::lessons::Lessons;
use super::model::{Model, ModelError};
use super::{Extractor, Judged, Label, Reason, Unscannable};
use crate::config::{ClassifierConfig, Config, Invalid, ScannerConfig};
use crate::durable;

/// The model and its lessons.
#[derive(Debug)]
pub struct Live {
    extractor: Extractor,
    model: Model,
    lessons: RwLock<Lessons>,
    /// Where they are kept; `None` = there are none.
    file: Option<PathBuf>,
    /// Held while the file is written, so that no older state replaces a newer one.
    writing: Mutex<()>,
}

/// What became of a lesson.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lesson {
    /// The message is judged otherwise now.
    Learnt {
        /// Log-odds before.
        before: f64,
        /// Log-odds now.
        after: f64,
    },
    /// The same was said of the same message before.
    Known,
    /// The configuration says that nothing is learnt.
    Off,
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The message has no features.
    #[error("the message cannot be judged: {0}")]
    Unscannable(#[from] Unscannable),
    /// It counts until the next start.
    #[error("{}: cannot keep what was learnt: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Why the classifier cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct LiveError {
    /// The model, or what was learnt.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: ModelError,
}

impl Live {
    /// `model` is a file, or the one that comes with the relay; `lessons` the file of what is learnt, if anything is to be.
    pub fn open(model: Option<&Path>, lessons: Option<&Path>) -> Result<Self, LiveError> {
        let model = self::model(model)?;
        let id = model.id();
        let lessons_kept = lessons.map(|file| {
            keep(file, id).map_err(|problem| LiveError {
                file: file.to_owned(),
                problem,
            })
        });
        Ok(Self {
            extractor: Extractor::default(),
            model,
            lessons: RwLock::new(
                lessons_kept
                    .transpose()?
                    .unwrap_or_else(|| Lessons::new(id)),
            ),
            file: lessons.map(Path::to_owned),
            writing: Mutex::default(),
        })
    }

    /// The model without what was learnt since.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How many messages people have called wanted, and how many unwanted, since the model was made.
    #[must_use]
    pub fn learnt(&self) -> (u64, u64) {
        let lessons = self.lessons.read().unwrap_or_else(PoisonError::into_inner);
        (lessons.ham, lessons.spam)
    }

    /// What the classifier says of a message, `content` as its sender wrote it. There are reasons from `explain_from` on,
    /// in log-odds, because most mail needs none and they cost as much again.
    pub fn judge(&self, content: &[u8], explain_from: f64) -> Result<Judged, Unscannable> {
        let features = self.extractor.features(content)?;
        let lessons = self.lessons.read().unwrap_or_else(PoisonError::into_inner);
        let log_odds = lessons.log_odds(&self.model, &features);
        drop(lessons);
        let reasons = if log_odds >= explain_from {
            self.explain(content, REASONS_MAX)?
        } else {
            Vec::new()
        };
        Ok(Judged { log_odds, reasons })
    }

    /// What weighs most for spam in a message, in words.
    pub fn explain(&self, content: &[u8], most: usize) -> Result<Vec<Reason>, Unscannable> {
        Ok(self
            .model
            .reasons(&self.extractor.named_features(content)?, most))
    }

    /// Learns that `content` was wanted or not. Returns when that is durable.
    pub fn learn(&self, content: &[u8], label: Label) -> Result<Lesson, LearnError> {
        let Some(file) = &self.file else {
            return Ok(Lesson::Off);
        };
        let features = self.extractor.features(content)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (lesson, text) = {
            let mut lessons = self.lessons.write().unwrap_or_else(PoisonError::into_inner);
            let lesson = lessons.learn(&self.model, &features, label);
            (lesson, lessons.encode())
        };
        let written = durable::replace(file, &text);
        written.map_err(|source| LearnError::Io {
            file: file.clone(),
            source,
        })?;
        Ok(lesson)
    }
}

/// The classifier of a configuration, if it is one of its scanners. It is `running`, if that is of the same model: then
/// nothing that it is just learning is lost.
pub fn open(config: &Config, running: Option<&Arc<Live>>) -> Result<Option<Arc<Live>>, LiveError> {
    let Some(of) = configured(config) else {
        return Ok(None);
    };
    let lessons = of.learn.then(|| config.state_dir.join(LESSONS));
    if let Some(running) = running
        && running.file == lessons
        && model(of.model.as_deref())?.id() == running.model.id()
    {
        return Ok(Some(Arc::clone(running)));
    }
    let live = Live::open(of.model.as_deref(), lessons.as_deref())?;
    Ok(Some(Arc::new(live)))
}

/// Whether the model that a configuration names can be used.
pub fn check(config: &Config) -> Result<(), Invalid> {
    let Some(of) = configured(config) else {
        return Ok(());
    };
    let read = model(of.model.as_deref());
    let invalid =
        |error: LiveError| Invalid::new("scanner.model", error.file.display(), error.problem);
    read.map(drop).map_err(invalid)
}

fn configured(config: &Config) -> Option<&ClassifierConfig> {
    config.scanners.iter().find_map(|scanner| match scanner {
        ScannerConfig::Classifier(of) => Some(of),
        ScannerConfig::Builtin
        | ScannerConfig::Rspamd { .. }
        | ScannerConfig::Clamd { .. }
        | ScannerConfig::Milter { .. }
        | ScannerConfig::Dnsbl(_)
        | ScannerConfig::Uribl(_) => None,
    })
}

fn model(file: Option<&Path>) -> Result<Model, LiveError> {
    let Some(file) = file else {
        return Ok(Model::shipped());
    };
    Model::read(file).map_err(|problem| LiveError {
        file: file.to_owned(),
        problem,
    })
}

/// What a file holds for this model.
fn keep(file: &Path, of_model: u32) -> Result<Lessons, ModelError> {
    let octets = match fs::read(file) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lessons::new(of_model)),
        Err(error) => return Err(error.into()),
    };
    let why = match Lessons::decode(&octets, of_model) {
        Ok(Some(lessons)) => return Ok(lessons),
        Ok(None) => "belongs to another model".to_owned(),
        Err(error) => error.to_string(),
    };
    let aside = file.with_extension("set-aside");
    fs::rename(file, &aside)?;
    warn!(file = %file.display(), why, aside = %aside.display(), "what the classifier had learnt is set aside");
    Ok(Lessons::new(of_model))
}

/// In `state_dir`.
const LESSONS: &str = "classifier.learnt";
/// In a log line, or a refusal.
const REASONS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const SPAM: &[u8] = b"From: \"WINNER!!!\" <a1234@b.example>\r\nSubject: FREE MONEY!!!\r\nContent-Type: text/html\r\n\r\n\
        <html><body><font size=7>Click <a href=\"http://192.0.2.1/x\">here</a> to claim your FREE guaranteed money!</font>\r\n";

    #[test]
    fn what_was_learnt_outlives_the_relay() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("classifier.learnt");
        let live = Live::open(None, Some(&file)).unwrap();
        let before = live.judge(SPAM, f64::MAX).unwrap().log_odds;
        assert!(before > 0.0, "{before}");
        let Lesson::Learnt { after, .. } = live.learn(SPAM, Label::Ham).unwrap() else {
            panic!("not learnt");
        };
        assert!(after < before);
        let again = Live::open(None, Some(&file)).unwrap();
        assert_eq!(
            again.judge(SPAM, f64::MAX).unwrap().log_odds.to_bits(),
            after.to_bits()
        );
        assert_eq!(again.learnt(), (1, 0));
        assert_eq!(again.learn(SPAM, Label::Ham).unwrap(), Lesson::Known);
    }

    #[test]
    fn who_is_not_to_learn_learns_nothing() {
        let live = Live::open(None, None).unwrap();
        assert_eq!(live.learn(SPAM, Label::Ham).unwrap(), Lesson::Off);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_not_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("classifier.learnt");
        fs::write(&file, b"nonsense").unwrap();
        let live = Live::open(None, Some(&file)).unwrap();
        assert_eq!(live.learnt(), (0, 0));
        assert_eq!(
            fs::read(directory.path().join("classifier.set-aside")).unwrap(),
            b"nonsense"
        );
        assert!(!file.exists());
    }

    #[test]
    fn a_model_that_is_none_is_refused_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("my.ogcm");
        fs::write(&file, b"From: a@b.example\r\n").unwrap();
        let said = Live::open(Some(&file), None).unwrap_err().to_string();
        assert!(said.contains("my.ogcm: is not a model"), "{said}");
    }

    #[test]
    fn reasons_come_with_what_is_suspicious_and_name_what_is_there() {
        let live = Live::open(None, None).unwrap();
        let judged = live.judge(SPAM, 0.0).unwrap();
        assert!(judged.probability() > 0.5);
        let reasons: Vec<&str> = judged
            .reasons
            .iter()
            .map(|reason| reason.what.as_str())
            .collect();
        assert!(
            reasons.len() == REASONS_MAX
                && reasons.iter().any(|what| what.contains("free")
                    || what.contains("click")
                    || what.contains("HTML")),
            "{reasons:?}"
        );
        assert!(
            judged
                .reasons
                .is_sorted_by(|one, other| one.weight >= other.weight)
        );
        assert_eq!(live.judge(SPAM, 50.0).unwrap().reasons, []);
    }
}
