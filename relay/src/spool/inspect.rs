//! A spool as people look at it, whether a relay has it open or not.
//!
//! Nothing is locked, written or made, and what is seen was true a moment ago: what a running relay was told in the last
//! moments to be done may not be on the disk yet.

use std::io;
use std::path::Path;
use std::sync::Arc;

use relay_proto::queued::QueueId;

use super::engine::{Engine, Stock, Terms};
use super::life::Secret;
use super::storage::{Directory, Disk, Storage};
use super::survey::{Survey, unchanged};
use super::{Kept, Living, OpenError, Opened, ReadError};

/// What is in a spool.
#[derive(Debug)]
pub struct Inspected {
    engine: Engine,
    damage: Vec<String>,
    torn: u32,
}

/// What [`Inspected::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Messages that were read and are whole.
    pub whole: usize,
    /// Messages that cannot be delivered, and why.
    pub broken: Vec<(QueueId, String)>,
    /// Parts of segments that are no records although they should be.
    pub damage: Vec<String>,
    /// Records at the end of a segment that were never finished. Where no relay runs, the next start leaves them out.
    pub torn: u32,
    /// What was put aside earlier.
    pub set_aside: Vec<String>,
}

impl Inspected {
    /// Reads what is there. Blocks.
    pub fn of(dir: &Path) -> Result<Self, OpenError> {
        let disk = Disk::at(dir);
        let failed = |source| OpenError::Io {
            file: dir.into(),
            source,
        };
        let mut attempts = ATTEMPTS;
        let survey = loop {
            let survey = Survey::of(&disk);
            attempts -= 1;
            match survey {
                // What a running relay has moved meanwhile may have been missed.
                Ok(survey)
                    if attempts > 0 && !unchanged(&disk, &survey.lives).map_err(failed)? => {}
                Err(OpenError::Io { source, .. })
                    if attempts > 0 && source.kind() == io::ErrorKind::NotFound => {}
                Ok(survey) => break survey,
                Err(error) => return Err(error),
            }
        };
        let damage = survey.damage.iter().map(|(life, range)| {
            let file = disk.path(Directory::Segments, &life.segment());
            format!(
                "{}, octets {} to {}",
                file.display(),
                range.start,
                range.end
            )
        });
        let damage = damage.collect();
        let terms = Terms {
            segment_octets: 0,
            max_octets: 0,
        };
        let stock = Stock {
            spares: Vec::new(),
            next: 0,
        };
        let engine = Engine::new(
            Arc::new(disk),
            terms,
            Secret([0; 32]),
            survey.catalogue,
            stock,
            None,
            None,
        );
        Ok(Self {
            engine,
            damage,
            torn: survey.torn,
        })
    }

    /// All messages that are not done, oldest first; with an error what cannot be read, or has gone meanwhile.
    pub fn messages(&self) -> impl Iterator<Item = (QueueId, Result<Living, ReadError>)> {
        let names = self.engine.catalogue().names();
        names.into_iter().map(|id| (id, self.living(id)))
    }

    /// One message without its content.
    pub fn living(&self, id: QueueId) -> Result<Living, ReadError> {
        let (queued, pending, octets) = self.engine.glance(id)?;
        let kept = Kept { id, octets };
        Ok(Living {
            kept,
            queued,
            pending,
        })
    }

    /// One message with its content.
    pub fn read(&self, id: QueueId) -> Result<Opened, ReadError> {
        self.engine.read_only(id)
    }

    /// Reads everything.
    pub fn verify(&self) -> io::Result<Verified> {
        let mut verified = Verified {
            damage: self.damage.clone(),
            torn: self.torn,
            ..Verified::default()
        };
        for named in self.engine.storage.list(Directory::Corrupt)? {
            let path = self.engine.storage.path(Directory::Corrupt, &named.name);
            verified.set_aside.push(path.display().to_string());
        }
        let names = self.engine.catalogue().names();
        for id in names {
            match self.read(id) {
                Ok(_) => verified.whole += 1,
                Err(error) => verified.broken.push((id, error.to_string())),
            }
        }
        Ok(verified)
    }
}

impl Verified {
    /// Nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty() && self.damage.is_empty()
    }
}

/// A relay that works moves segments once in a while, not all the time.
const ATTEMPTS: u32 = 10;
