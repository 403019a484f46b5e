//! A model as a file has it: what it is made of and how it did, and then its weights by the distance of their buckets.

use super::super::features::FEATURES_VERSION;
use super::super::hash::{BUCKET_BITS, BUCKETS};
use super::super::varint::{Reader, Writer};
use super::{Calibration, Measured, Model, ModelError, Provenance};

impl Model {
    /// As a file has it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC, VERSION);
        writer.number(u64::from(FEATURES_VERSION));
        writer.number(u64::from(BUCKET_BITS));
        for text in [&self.provenance.corpus, &self.provenance.trained_at] {
            writer.text(text);
        }
        let measured = &self.measured;
        for number in [
            self.provenance.ham,
            self.provenance.spam,
            u64::from(self.provenance.advisory),
            measured.ham,
            measured.false_positives,
            measured.spam,
            measured.found,
        ] {
            writer.number(number);
        }
        let calibration = self.calibration;
        for float in [
            measured.auc,
            calibration.slope,
            calibration.offset,
            self.threshold,
            self.bias,
            self.step,
        ] {
            writer.float(float);
        }
        writer.number(self.weights() as u64);
        let mut last = 0;
        for (bucket, weight) in self
            .weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight != 0)
        {
            writer.number((bucket - last) as u64);
            writer.signed(i64::from(*weight));
            last = bucket;
        }
        writer.finish()
    }

    /// Reads what [`encode`](Self::encode) has made.
    pub fn decode(file: &[u8]) -> Result<Self, ModelError> {
        let mut reader = Reader::new(file, MAGIC, VERSION, "a model of the classifier")?;
        let (features, bits) = (reader.number()?, reader.number()?);
        if (features, bits) != (u64::from(FEATURES_VERSION), u64::from(BUCKET_BITS)) {
            return Err(ModelError::Features(features));
        }
        let (corpus, trained_at) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        let provenance = Provenance {
            corpus,
            trained_at,
            ham: reader.number()?,
            spam: reader.number()?,
            advisory: reader.number()? != 0,
        };
        let mut measured = Measured {
            ham: reader.number()?,
            false_positives: reader.number()?,
            spam: reader.number()?,
            found: reader.number()?,
            auc: 0.0,
        };
        measured.auc = reader.float()?;
        let calibration = Calibration {
            slope: reader.float()?,
            offset: reader.float()?,
        };
        let (threshold, bias, step) = (reader.float()?, reader.float()?, reader.float()?);
        if calibration.slope <= 0.0 {
            return Err(ModelError::Damaged);
        }
        let mut weights = vec![0; BUCKETS];
        let mut bucket = 0_usize;
        for _ in 0..reader.number()? {
            let distance =
                usize::try_from(reader.number()?).map_err(|_unfit| ModelError::Damaged)?;
            bucket = bucket.checked_add(distance).ok_or(ModelError::Damaged)?;
            let weight = i16::try_from(reader.signed()?).map_err(|_unfit| ModelError::Damaged)?;
            *weights.get_mut(bucket).ok_or(ModelError::Damaged)? = weight;
        }
        reader.end()?;
        Ok(Self {
            weights,
            step,
            bias,
            calibration,
            threshold,
            provenance,
            measured,
        })
    }
}

const MAGIC: [u8; 4] = *b"OGCM";
const VERSION: u16 = 1;
