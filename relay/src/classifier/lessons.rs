//! What people have said of single messages since the model was made, as corrections of its weights.
//!
//! A lesson moves the log-odds of its own message towards what it was called, by at most [`STEP_MAX`], and not at all if
//! the message is judged that way clearly enough. The same message is no second lesson. All lessons together move no
//! message by more than [`TOTAL_MAX`]: whoever gets mail released by fraud, and be it a thousand times, cannot turn the
//! classifier around. Pure; [`Live`](super::Live) keeps the file.

use std::collections::VecDeque;

use super::features::{FEATURES_VERSION, Features};
use super::hash::{BUCKETS, Hash};
use super::model::{Model, ModelError};
use super::varint::{Reader, Writer};
use super::{Label, Lesson};

/// The corrections of one model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lessons {
    /// CRC-32C of the model's file.
    of_model: u32,
    /// Of each bucket.
    corrections: Vec<f32>,
    /// Messages that were lessons, the newest last.
    known: VecDeque<u64>,
    /// How many were wanted.
    pub(super) ham: u64,
    /// How many were not.
    pub(super) spam: u64,
}

impl Lessons {
    /// None yet.
    pub(super) fn new(of_model: u32) -> Self {
        Self {
            of_model,
            corrections: vec![0.0; BUCKETS],
            known: VecDeque::new(),
            ham: 0,
            spam: 0,
        }
    }

    /// Log-odds of a message by the model and what was learnt since.
    pub(super) fn log_odds(&self, model: &Model, features: &Features) -> f64 {
        let correction = |bucket: u32| self.corrections.get(bucket as usize).copied();
        let sum = features.sum(|bucket| f64::from(correction(bucket).unwrap_or_default()));
        let moved = sum * model.calibration().slope;
        model.log_odds(features) + moved.clamp(-TOTAL_MAX, TOTAL_MAX)
    }

    /// Takes one in.
    pub(super) fn learn(&mut self, model: &Model, features: &Features, label: Label) -> Lesson {
        let digest = digest(features, label);
        if self.known.contains(&digest) {
            return Lesson::Known;
        }
        if self.known.len() == KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(digest);
        let before = self.log_odds(model, features);
        let sign = match label {
            Label::Ham => {
                self.ham += 1;
                -1.0
            }
            Label::Spam => {
                self.spam += 1;
                1.0
            }
        };
        let step = (CLEAR - sign * before).clamp(0.0, STEP_MAX);
        // Every feature takes the same share, so that no single word is to blame.
        let shares = features.sum(|_| 1.0).max(1.0) * model.calibration().slope;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the file keeps them in single precision"
        )]
        let correction = (sign * step / shares) as f32;
        for bucket in features.said.iter().chain(&features.made) {
            if let Some(of_bucket) = self.corrections.get_mut(*bucket as usize) {
                *of_bucket = (*of_bucket + correction).clamp(-CORRECTION_MAX, CORRECTION_MAX);
            }
        }
        Lesson::Learnt {
            before,
            after: self.log_odds(model, features),
        }
    }

    /// As a file has it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC, FEATURES_VERSION);
        writer.octets(&self.of_model.to_le_bytes());
        writer.number(self.ham);
        writer.number(self.spam);
        writer.number(self.known.len() as u64);
        for digest in &self.known {
            writer.octets(&digest.to_le_bytes());
        }
        let corrected = || {
            self.corrections
                .iter()
                .enumerate()
                .filter(|(_, correction)| **correction != 0.0)
        };
        writer.number(corrected().count() as u64);
        let mut last = 0;
        for (bucket, correction) in corrected() {
            writer.number((bucket - last) as u64);
            writer.octets(&correction.to_le_bytes());
            last = bucket;
        }
        writer.finish()
    }

    /// Reads what [`encode`](Self::encode) has made; `None` if it belongs to another model.
    pub(super) fn decode(file: &[u8], of_model: u32) -> Result<Option<Self>, ModelError> {
        let mut reader = Reader::new(
            file,
            MAGIC,
            FEATURES_VERSION,
            "what the classifier has learnt",
        )?;
        if u32::from_le_bytes(reader.array()?) != of_model {
            return Ok(None);
        }
        let mut lessons = Self::new(of_model);
        lessons.ham = reader.number()?;
        lessons.spam = reader.number()?;
        for _ in 0..reader.number()? {
            lessons.known.push_back(u64::from_le_bytes(reader.array()?));
        }
        let mut bucket = 0_usize;
        for _ in 0..reader.number()? {
            let distance =
                usize::try_from(reader.number()?).map_err(|_unfit| ModelError::Damaged)?;
            bucket = bucket.checked_add(distance).ok_or(ModelError::Damaged)?;
            let correction = f32::from_le_bytes(reader.array()?);
            if correction.is_nan() || correction.abs() > CORRECTION_MAX {
                return Err(ModelError::Damaged);
            }
            *lessons
                .corrections
                .get_mut(bucket)
                .ok_or(ModelError::Damaged)? = correction;
        }
        reader.end()?;
        Ok(Some(lessons))
    }
}

/// Of what a message is made of, and what it was called: who has changed his mind may say so.
fn digest(features: &Features, label: Label) -> u64 {
    let hash = Hash::of(3).octet(u8::from(label == Label::Spam));
    let buckets = features.said.iter().chain(&features.made);
    let hash = buckets.fold(hash, |hash, bucket| hash.octets(&bucket.to_le_bytes()));
    hash.digest()
}

/// Log-odds from which on a message needs no lesson.
const CLEAR: f64 = 2.0;
/// In log-odds, of one message, by one lesson.
const STEP_MAX: f64 = 1.0;
/// In log-odds, of one message, by all of them.
const TOTAL_MAX: f64 = 4.0;
/// Of a bucket, in weight.
const CORRECTION_MAX: f32 = 0.25;
/// Lessons that are remembered.
const KNOWN_MAX: usize = 4096;
const MAGIC: [u8; 4] = *b"OGCL";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Extractor;

    fn features(extractor: &Extractor, text: &str) -> Features {
        let content = format!("Subject: hello\r\n\r\n{text}\r\n");
        extractor.features(content.as_bytes()).unwrap()
    }

    fn moved(lesson: &Lesson) -> f64 {
        match lesson {
            Lesson::Learnt { before, after } => after - before,
            Lesson::Known | Lesson::Off => panic!("{lesson:?}"),
        }
    }

    #[test]
    fn one_lesson_moves_its_message_by_no_more_than_a_step_and_others_by_less() {
        let (model, extractor) = (Model::shipped(), Extractor::default());
        let mut lessons = Lessons::new(1);
        let spam = features(
            &extractor,
            "click here to claim your free money now, guaranteed casino winner",
        );
        let other = features(
            &extractor,
            "could you send me the slides of the talk about routing",
        );
        let (spam_before, other_before) = (
            lessons.log_odds(&model, &spam),
            lessons.log_odds(&model, &other),
        );
        let lesson = lessons.learn(&model, &spam, Label::Ham);
        let by = moved(&lesson);
        assert!((-1.001..-0.5).contains(&by), "{by}, from {spam_before}");
        let of_other = lessons.log_odds(&model, &other) - other_before;
        assert!(of_other.abs() < by.abs(), "{of_other}");
        assert_eq!(lessons.learn(&model, &spam, Label::Ham), Lesson::Known);
    }

    #[test]
    fn a_thousand_lessons_of_an_attacker_have_a_bound() {
        let (model, extractor) = (Model::shipped(), Extractor::default());
        let mut lessons = Lessons::new(1);
        let victim = features(
            &extractor,
            "the report that you asked for is on the server since noon",
        );
        let before = lessons.log_odds(&model, &victim);
        for number in 0..1000 {
            let word: String = (0..4)
                .map(|shift| {
                    char::from(b'a' + u8::try_from(number / 26_usize.pow(shift) % 26).unwrap())
                })
                .collect();
            let text = format!("the report that you asked for is on the server since {word}");
            lessons.learn(&model, &features(&extractor, &text), Label::Spam);
        }
        let by = lessons.log_odds(&model, &victim) - before;
        assert!(by > 0.0 && by <= TOTAL_MAX + 1e-9, "{by}");
    }

    #[test]
    fn what_is_clear_already_teaches_nothing() {
        let (model, extractor) = (Model::shipped(), Extractor::default());
        let mut lessons = Lessons::new(1);
        let text = "On Monday you wrote:\r\n> does the patch apply?\r\nYes, with fuzz. I have run the tests, thanks.";
        let ham = features(&extractor, text);
        assert!(lessons.log_odds(&model, &ham) < -CLEAR);
        assert!(moved(&lessons.learn(&model, &ham, Label::Ham)).abs() < 1e-9);
    }

    #[test]
    fn lessons_come_back_and_belong_to_their_model() {
        let (model, extractor) = (Model::shipped(), Extractor::default());
        let mut lessons = Lessons::new(7);
        lessons.learn(
            &model,
            &features(&extractor, "free money free money"),
            Label::Ham,
        );
        let file = lessons.encode();
        assert_eq!(Lessons::decode(&file, 7).unwrap(), Some(lessons));
        assert_eq!(Lessons::decode(&file, 8).unwrap(), None);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(Lessons::decode(&damaged, 7).is_err(), "octet {at}");
        }
    }
}
