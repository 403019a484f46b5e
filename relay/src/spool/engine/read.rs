//! Messages read back, and proven to be what was written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use relay_proto::queued::{QueueId, Queued};
use relay_proto::record::{Epoch, Extent, HEADER_OCTETS, Header, Kind, checksum, envelope};
use tracing::error;

use super::Engine;
use crate::message::{Message, Source};
use crate::spool::catalogue::Slot;
use crate::spool::damage::set_aside;
use crate::spool::life::Life;
use crate::spool::storage::{Directory, Medium, read_exact_at};
use crate::spool::{Opened, ReadError};

/// A content where it lies.
#[derive(Debug)]
struct Lying {
    medium: Arc<dyn Medium>,
    start: u64,
    /// As long as this is held, the segment has no other life.
    _pin: Arc<()>,
}

/// A record that has been found.
struct Record {
    header: Header,
    queued: Queued,
    medium: Arc<dyn Medium>,
    pin: Arc<()>,
}

impl Engine {
    /// A message that is not done. Its content has been read once, to prove it whole. Blocks. What is damaged is put
    /// aside.
    pub(in crate::spool) fn read(&self, id: QueueId) -> Result<Opened, ReadError> {
        let opened = self.read_only(id);
        if matches!(opened, Err(ReadError::Damaged)) {
            self.set_damaged_aside(id);
        }
        opened
    }

    /// The same, and nothing is written.
    pub(in crate::spool) fn read_only(&self, id: QueueId) -> Result<Opened, ReadError> {
        self.look(id, |record, pending| {
            let content = self.content(id, &record)?;
            Ok(Opened {
                queued: record.queued,
                pending,
                content,
            })
        })
    }

    /// The same without its content.
    pub(in crate::spool) fn envelope(
        &self,
        id: QueueId,
    ) -> Result<(Queued, Vec<usize>), ReadError> {
        self.glance(id)
            .map(|(queued, pending, _)| (queued, pending))
    }

    /// The same, and how many octets the content has.
    pub(in crate::spool) fn glance(
        &self,
        id: QueueId,
    ) -> Result<(Queued, Vec<usize>, u64), ReadError> {
        self.look(id, |record, pending| {
            Ok((record.queued, pending, record.header.content.octets))
        })
    }

    fn look<T>(
        &self,
        id: QueueId,
        take: impl Fn(Record, Vec<usize>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut tried = None;
        loop {
            let (slot, life, pin, pending) = {
                let catalogue = self.catalogue();
                let slot = catalogue.slot(id).ok_or(ReadError::NotFound)?;
                let segment = catalogue.segments.get(&slot.segment);
                let segment = segment.ok_or(ReadError::NotFound)?;
                let pin = Arc::clone(&segment.pin);
                (slot, segment.life, pin, catalogue.pending(id))
            };
            let record = self.record(id, slot, life, pin);
            match record.and_then(|record| take(record, pending)) {
                // It may have been moved meanwhile, and its old place given away.
                Err(_) if tried != Some(slot) => tried = Some(slot),
                outcome => return outcome,
            }
        }
    }

    fn record(
        &self,
        id: QueueId,
        slot: Slot,
        life: Life,
        pin: Arc<()>,
    ) -> Result<Record, ReadError> {
        let medium = self.storage.open(Directory::Segments, &life.segment())?;
        let (header, queued) = read_record(&*medium, life.epoch, slot.offset)?;
        if header.id != Some(id) || queued.id != id {
            return Err(ReadError::Damaged);
        }
        Ok(Record {
            header,
            queued,
            medium,
            pin,
        })
    }

    fn content(&self, id: QueueId, record: &Record) -> Result<Message, ReadError> {
        let lying = if record.header.kind == Kind::MessageInFile {
            Lying {
                medium: match self.storage.open(Directory::Large, &id.to_string()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Err(ReadError::Damaged);
                    }
                    opened => opened?,
                },
                start: 0,
                _pin: Arc::new(()),
            }
        } else {
            Lying {
                medium: Arc::clone(&record.medium),
                start: u64::from(record.header.offset) + record.header.octets_without_content(),
                _pin: Arc::clone(&record.pin),
            }
        };
        let octets = record.header.content.octets;
        let first = lying.prove(record.header.content)?;
        Ok(match first {
            Some(whole) => whole.into(),
            None => Message::elsewhere(octets, Arc::new(lying)),
        })
    }

    fn set_damaged_aside(&self, id: QueueId) {
        let (life, range) = {
            let catalogue = self.catalogue();
            let Some(slot) = catalogue.slot(id) else {
                return;
            };
            let Some(segment) = catalogue.segments.get(&slot.segment) else {
                return;
            };
            let start = u64::from(slot.offset);
            (segment.life, start..start + u64::from(slot.octets))
        };
        match set_aside(&*self.storage, life, &range) {
            Ok(true) => {
                self.counts.damaged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(false) => {}
            Err(error) => error!(queue.id = %id, %error, "a damaged message cannot be copied"),
        }
    }
}

impl Lying {
    /// Reads all of it; its octets if they are few.
    fn prove(&self, content: Extent) -> Result<Option<Bytes>, ReadError> {
        let step = |left| usize::try_from(left).map_or(STEP_OCTETS, |left| left.min(STEP_OCTETS));
        let mut buffer = vec![0; step(content.octets)];
        let mut sum = 0;
        let mut at = 0;
        while at < content.octets {
            let block = buffer.get_mut(..step(content.octets - at));
            let block = block.unwrap_or_default();
            read_proven(&*self.medium, block, self.start + at)?;
            sum = checksum(sum, block);
            at += block.len() as u64;
        }
        if sum != content.checksum {
            return Err(ReadError::Damaged);
        }
        let whole = content.octets == buffer.len() as u64;
        Ok(whole.then(|| buffer.into()))
    }
}

impl Source for Lying {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact_at(&*self.medium, buffer, self.start + offset)
    }
}

/// The record that stands there.
pub(in crate::spool) fn read_record(
    medium: &dyn Medium,
    epoch: Epoch,
    offset: u32,
) -> Result<(Header, Queued), ReadError> {
    let mut octets = [0; HEADER_OCTETS];
    read_proven(medium, &mut octets, offset.into())?;
    let header = Header::decode(&octets, epoch).map_err(|_no_header| ReadError::Damaged)?;
    if !header.is_message() || header.offset != offset {
        return Err(ReadError::Damaged);
    }
    let length = usize::try_from(header.envelope.octets).map_err(io::Error::other)?;
    let mut octets = vec![0; length];
    read_proven(
        medium,
        &mut octets,
        u64::from(offset) + HEADER_OCTETS as u64,
    )?;
    if !header.envelope.proves(&octets) {
        return Err(ReadError::Damaged);
    }
    let queued = envelope::decode(&octets)?;
    Ok((header, queued))
}

/// A file that is too short is damaged.
fn read_proven(medium: &dyn Medium, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
    match read_exact_at(medium, buffer, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::Damaged),
        outcome => Ok(outcome?),
    }
}

const STEP_OCTETS: usize = 64 << 10;
