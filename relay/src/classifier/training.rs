//! From examples to a model: weights by FTRL, odds and threshold from mail that the weights were not made of.
//!
//! The examples are dealt into [`FOLDS`] parts by what they say, so that copies of one mailing lie in one part. Each part
//! is judged by weights made of the others; on these scores the calibration is fitted, the threshold chosen and the
//! error measured. The model that is handed out is made of all parts.
//!
//! Deterministic: the order of the examples follows from their features, not from their files. It is another one each
//! time that they are gone through, because what comes last would otherwise always have the last word.
//!
//! # Diagnostics
//! Returned: [`TrainError`], when there is too little mail, or when it cannot be told apart.

use super::figures::{self, Scored};
use super::ftrl::{Coordinate, Ftrl};
use super::hash::{BUCKETS, Hash};
use super::model::{Calibration, Measured, Model, ModelError, Provenance};
use super::varint::{Reader, Writer};
use super::{Extractor, Features, Label, Unscannable};

/// A message that people have called something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    features: Features,
    sameness: u64,
    label: Label,
}

impl Example {
    /// Of a message's octets.
    pub fn new(extractor: &Extractor, content: &[u8], label: Label) -> Result<Self, Unscannable> {
        Ok(Self {
            features: extractor.features(content)?,
            sameness: extractor.sameness(content),
            label,
        })
    }

    /// Its features.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// What it was called.
    #[must_use]
    pub fn label(&self) -> Label {
        self.label
    }

    /// Into which of so many parts it falls; copies of one mailing fall into one.
    #[must_use]
    pub fn part(&self, of: u64) -> u64 {
        Hash::of(1).octets(&self.sameness.to_le_bytes()).digest() % of.max(1)
    }

    fn order(&self) -> u64 {
        let buckets = self.features.said.iter().chain(&self.features.made);
        let hash = buckets.fold(Hash::of(2), |hash, bucket| {
            hash.octets(&bucket.to_le_bytes())
        });
        hash.octet(u8::from(self.label == Label::Spam)).digest()
    }
}

/// What training has made.
#[derive(Debug)]
pub struct Trained {
    /// To judge with.
    pub model: Model,
    /// To go on from, with other mail.
    pub state: State,
    /// Scores, in log-odds, of every example by weights that were not made of it.
    pub scored: Vec<Scored>,
}

/// What more mail can be added to.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    ftrl: Ftrl,
}

/// Why no model was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// Nothing can be learnt of so little.
    #[error(
        "{ham} wanted and {spam} unwanted messages can be used; at least {EXAMPLES_MIN} of each are needed"
    )]
    TooFew {
        /// Usable ham.
        ham: usize,
        /// Usable spam.
        spam: usize,
    },
    /// The labels say nothing about the messages.
    #[error(
        "wanted and unwanted messages cannot be told apart; are the directories what they should be?"
    )]
    Inseparable,
}

/// Makes a model of `examples`, going on from `previous` if there is one. `step` hears how many of [`STEPS`] are done.
/// Costs six kilobytes of memory for a message of usual size.
pub fn train(
    examples: Vec<Example>,
    previous: Option<State>,
    provenance: Provenance,
    mut step: impl FnMut(u64),
) -> Result<Trained, TrainError> {
    let spam = examples
        .iter()
        .filter(|one| one.label == Label::Spam)
        .count();
    let ham = examples.len() - spam;
    if ham < EXAMPLES_MIN || spam < EXAMPLES_MIN {
        return Err(TrainError::TooFew { ham, spam });
    }
    let mut examples: Vec<(u64, Example)> =
        examples.into_iter().map(|one| (one.order(), one)).collect();
    examples.sort_by_key(|(order, _)| *order);
    let start = previous.map_or_else(Ftrl::default, |state| state.ftrl);
    let mut scored = Vec::with_capacity(examples.len());
    for fold in 0..FOLDS {
        let ftrl = fit(
            start.clone(),
            examples.iter().filter(|(_, one)| one.part(FOLDS) != fold),
        );
        let held_out = examples.iter().filter(|(_, one)| one.part(FOLDS) == fold);
        scored.extend(held_out.map(|(_, one)| Scored {
            score: ftrl.score(&one.features),
            label: one.label,
        }));
        step(fold + 1);
    }
    let (slope, offset) = figures::platt(&scored).ok_or(TrainError::Inseparable)?;
    let calibration = Calibration { slope, offset };
    for one in &mut scored {
        one.score = calibration.log_odds(one.score);
    }
    let threshold = figures::threshold(&scored, FALSE_POSITIVES);
    let rates = figures::at(&scored, threshold);
    let measured = Measured {
        auc: figures::auc(&scored),
        ham: rates.false_positives.of,
        false_positives: rates.false_positives.count,
        spam: rates.recall.of,
        found: rates.recall.count,
    };
    let ftrl = fit(start, examples.iter());
    step(STEPS);
    let provenance = Provenance {
        ham: provenance.ham + ham as u64,
        spam: provenance.spam + spam as u64,
        ..provenance
    };
    Ok(Trained {
        model: Model::new(&ftrl, calibration, threshold, provenance, measured),
        state: State { ftrl },
        scored,
    })
}

/// Examples come with a number that follows from what they say.
fn fit<'a>(mut ftrl: Ftrl, examples: impl Iterator<Item = &'a (u64, Example)>) -> Ftrl {
    let mut examples: Vec<&(u64, Example)> = examples.collect();
    for epoch in 0..EPOCHS {
        examples.sort_by_cached_key(|(order, _)| {
            let hash = Hash::of(4).octet(epoch);
            hash.octets(&order.to_le_bytes()).digest()
        });
        for (_, example) in &examples {
            ftrl.learn(&example.features, example.label);
        }
    }
    ftrl
}

impl State {
    /// As a file has it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC, super::features::FEATURES_VERSION);
        let mut last = 0;
        let touched = || {
            self.ftrl
                .coordinates
                .iter()
                .enumerate()
                .filter(|(_, it)| **it != Coordinate::default())
        };
        writer.number(touched().count() as u64);
        for (bucket, coordinate) in touched() {
            writer.number((bucket - last) as u64);
            writer.octets(&coordinate.z.to_le_bytes());
            writer.octets(&coordinate.n.to_le_bytes());
            last = bucket;
        }
        writer.finish()
    }

    /// Reads what [`encode`](Self::encode) has made.
    pub fn decode(file: &[u8]) -> Result<Self, ModelError> {
        let version = super::features::FEATURES_VERSION;
        let mut reader = Reader::new(file, MAGIC, version, "a training state of the classifier")?;
        let mut ftrl = Ftrl::default();
        let mut bucket = 0_usize;
        for _ in 0..reader.number()? {
            let distance =
                usize::try_from(reader.number()?).map_err(|_unfit| ModelError::Damaged)?;
            bucket = bucket.checked_add(distance).ok_or(ModelError::Damaged)?;
            let coordinate = Coordinate {
                z: f32::from_le_bytes(reader.array()?),
                n: f32::from_le_bytes(reader.array()?),
            };
            if !coordinate.z.is_finite() || !coordinate.n.is_finite() || coordinate.n < 0.0 {
                return Err(ModelError::Damaged);
            }
            *ftrl
                .coordinates
                .get_mut(bucket)
                .ok_or(ModelError::Damaged)? = coordinate;
        }
        reader.end()?;
        debug_assert_eq!(ftrl.coordinates.len(), BUCKETS + 1);
        Ok(Self { ftrl })
    }
}

/// What `step` hears last.
pub const STEPS: u64 = FOLDS + 1;
/// Of the ham, by the threshold that a model comes with.
pub const FALSE_POSITIVES: f64 = 0.001;
const FOLDS: u64 = 5;
const EPOCHS: u8 = 8;
/// Of each kind.
const EXAMPLES_MIN: usize = 100;
const MAGIC: [u8; 4] = *b"OGCS";

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of two kinds, which have words in common.
    fn mail(count: usize) -> Vec<Example> {
        let extractor = Extractor::default();
        let mut examples = Vec::new();
        for number in 0..count {
            let word = |from: usize| {
                let letter = |shift: usize| {
                    char::from(b'a' + u8::try_from((number * 7 + from) / shift % 26).unwrap())
                };
                [letter(1), letter(26), letter(3), letter(11), letter(5)]
                    .iter()
                    .collect::<String>()
            };
            let padding: Vec<String> = (0..30).map(word).collect();
            for (label, words) in [
                (Label::Ham, "meeting agenda minutes"),
                (Label::Spam, "winner casino millions"),
            ] {
                let content = format!(
                    "Subject: about {}\r\n\r\n{} {words} please\r\n",
                    word(99),
                    padding.join(" ")
                );
                examples.push(Example::new(&extractor, content.as_bytes(), label).unwrap());
            }
        }
        examples
    }

    fn provenance() -> Provenance {
        Provenance::default()
    }

    #[test]
    fn learning_separates_and_most_weights_are_zero() {
        let examples = mail(150);
        let mut steps = Vec::new();
        let trained = train(examples.clone(), None, provenance(), |step| {
            steps.push(step);
        })
        .unwrap();
        assert_eq!(steps.last(), Some(&STEPS));
        let measured = trained.model.measured();
        assert!(measured.auc > 0.99, "{measured:?}");
        assert_eq!((measured.ham, measured.spam), (150, 150));
        let mut buckets: Vec<u32> = examples
            .iter()
            .flat_map(|one| [one.features.said.clone(), one.features.made.clone()].concat())
            .collect();
        buckets.sort_unstable();
        buckets.dedup();
        let weights = trained.model.weights();
        assert!(
            weights > 3 && weights < buckets.len() / 3,
            "{weights} of {}",
            buckets.len()
        );
        for one in &examples {
            let odds = trained.model.log_odds(&one.features);
            assert_eq!(odds > 0.0, one.label == Label::Spam, "{odds}");
        }
    }

    #[test]
    fn the_order_of_files_changes_nothing() {
        let examples = mail(120);
        let backwards = examples.iter().rev().cloned().collect();
        let model = |examples| {
            train(examples, None, provenance(), |_| ())
                .unwrap()
                .model
                .encode()
        };
        assert_eq!(model(examples), model(backwards));
    }

    #[test]
    fn too_little_mail_and_mail_without_a_difference_are_refused() {
        let few = train(mail(20), None, provenance(), |_| ()).unwrap_err();
        assert_eq!(few, TrainError::TooFew { ham: 20, spam: 20 });
        let mut alike = mail(120);
        for (number, one) in alike.iter_mut().enumerate() {
            one.label = if number % 4 < 2 {
                Label::Ham
            } else {
                Label::Spam
            };
            one.features.said = vec![7];
            one.features.made.clear();
        }
        let alike = train(alike, None, provenance(), |_| ());
        assert!(alike.is_err() || alike.unwrap().model.measured().auc < 0.6);
    }

    #[test]
    fn a_state_goes_on_where_it_was() {
        let trained = train(mail(120), None, provenance(), |_| ()).unwrap();
        let kept = State::decode(&trained.state.encode()).unwrap();
        assert_eq!(kept, trained.state);
        let grown = |state| {
            train(mail(140), Some(state), provenance(), |_| ())
                .unwrap()
                .model
                .encode()
        };
        assert_eq!(grown(kept), grown(trained.state.clone()));
        let mut damaged = trained.state.encode();
        damaged[30] ^= 4;
        assert!(matches!(State::decode(&damaged), Err(ModelError::Damaged)));
        assert!(matches!(
            State::decode(b"OGCM"),
            Err(ModelError::SomethingElse(_))
        ));
    }
}
