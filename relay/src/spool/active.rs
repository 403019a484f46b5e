//! The segment that is being written, a batch at a time.

use std::io;
use std::sync::Arc;

use relay_proto::queued::QueueId;
use relay_proto::record::done::{self, Done};
use relay_proto::record::{ALIGN_OCTETS, BLOCK_OCTETS, Extent, HEADER_OCTETS, Header, Kind, Place};

use super::life::Life;
use super::storage::Medium;

/// A record before it has a place.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) id: Option<QueueId>,
    pub(super) recipients: u32,
    pub(super) envelope: Extent,
    pub(super) content: Extent,
    /// What follows the header.
    pub(super) body: Vec<u8>,
}

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) life: Life,
    medium: Arc<dyn Medium>,
    /// Where the next batch begins.
    at: u64,
    /// Number of the next batch.
    batch: u32,
    octets: u64,
}

impl Draft {
    /// A list of what is done.
    pub(super) fn done(list: &[Done]) -> Self {
        let body = done::encode(list);
        Self {
            kind: Kind::Done,
            id: None,
            recipients: 0,
            envelope: Extent::of(&body),
            content: Extent::default(),
            body,
        }
    }

    /// Octets of the record.
    pub(super) fn octets(&self) -> u64 {
        (HEADER_OCTETS as u64 + self.body.len() as u64).next_multiple_of(ALIGN_OCTETS)
    }
}

impl Active {
    /// The beginning of a segment's life.
    pub(super) fn new(life: Life, medium: Arc<dyn Medium>, octets: u64) -> Self {
        Self {
            life,
            medium,
            at: BLOCK_OCTETS,
            batch: 1,
            octets,
        }
    }

    /// More of a segment whose last batch is that one, and ends there.
    pub(super) fn resume(
        life: Life,
        medium: Arc<dyn Medium>,
        octets: u64,
        batch: u32,
        end: u64,
    ) -> Self {
        Self {
            life,
            medium,
            at: end.next_multiple_of(BLOCK_OCTETS),
            batch: batch + 1,
            octets,
        }
    }

    /// Octets of records that fit into the next batch.
    pub(super) fn room(&self) -> u64 {
        self.octets.saturating_sub(self.at)
    }

    /// Writes a batch and makes it durable; where each record stands. After an error nobody knows what is there, and
    /// nothing more may be written. `last_id` is the last name that was given away.
    pub(super) fn write(
        &mut self,
        drafts: &[&Draft],
        last_id: Option<QueueId>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Vec<u32>> {
        buffer.clear();
        let start = if self.batch == 1 { 0 } else { self.at };
        if start == 0 {
            let opening = Draft {
                kind: Kind::Opening,
                id: last_id,
                recipients: 0,
                envelope: Extent::default(),
                content: Extent::default(),
                body: Vec::new(),
            };
            let alone = Place {
                batch: 0,
                index: 0,
                count: 1,
            };
            self.push(buffer, 0, &opening, alone)?;
            pad(buffer, BLOCK_OCTETS)?;
        }
        let count = u32::try_from(drafts.len()).map_err(io::Error::other)?;
        let mut offsets = Vec::with_capacity(drafts.len());
        for (index, draft) in (0..).zip(drafts) {
            let place = Place {
                batch: self.batch,
                index,
                count,
            };
            offsets.push(self.push(buffer, start, draft, place)?);
        }
        pad(buffer, BLOCK_OCTETS)?;
        let end = start + buffer.len() as u64;
        if end > self.octets {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.medium.write_at(buffer, start)?;
        self.medium.sync()?;
        self.at = end;
        self.batch += 1;
        Ok(offsets)
    }

    /// Appends a record to a batch that begins at `start`; where it stands in the segment.
    fn push(
        &self,
        buffer: &mut Vec<u8>,
        start: u64,
        draft: &Draft,
        place: Place,
    ) -> io::Result<u32> {
        let offset = u32::try_from(start + buffer.len() as u64).map_err(io::Error::other)?;
        let header = Header {
            kind: draft.kind,
            epoch: self.life.epoch,
            place,
            id: draft.id,
            offset,
            recipients: draft.recipients,
            envelope: draft.envelope,
            content: draft.content,
        };
        let header = header.encode().ok_or(io::ErrorKind::InvalidInput)?;
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(&draft.body);
        pad(buffer, ALIGN_OCTETS)?;
        Ok(offset)
    }
}

fn pad(buffer: &mut Vec<u8>, to: u64) -> io::Result<()> {
    let to = usize::try_from(to).map_err(io::Error::other)?;
    buffer.resize(buffer.len().next_multiple_of(to), 0);
    Ok(())
}
