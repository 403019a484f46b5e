//! What is in a segment: from its index, or where there is none from its records.
//!
//! A reader never changes anything. What is damaged is told; what is torn is passed over, because nobody was ever told
//! that it is there.

mod index;
mod scan;
mod window;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use relay_proto::queued::QueueId;
use relay_proto::record::done::Done;
use relay_proto::record::{HEADER_OCTETS, Header};

use super::life::Life;
use super::storage::{Directory, Medium, Storage, read_exact_at};

/// The records of a segment that can be relied on.
#[derive(Debug)]
pub(super) struct Contents {
    /// Messages, in the order of their writing.
    pub(super) messages: Vec<Found>,
    /// Everything that is said to be done.
    pub(super) done: Vec<Done>,
    /// Octets that are no records although they should be.
    pub(super) damage: Vec<Range<u64>>,
    /// The disk could not read all of it; it may be able to another time.
    pub(super) unreadable: bool,
    /// Records that were being written when the relay or the machine stopped.
    pub(super) torn: u32,
    /// The latest name that the segment knows of.
    pub(super) last_id: Option<QueueId>,
    /// They come from an index.
    pub(super) indexed: bool,
    /// What was written last.
    pub(super) tail: Tail,
    source: Source,
}

/// The last batch of a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// Its number; 0 if there is none.
    pub(super) batch: u32,
    /// Where it stands, as far as it is there.
    pub(super) octets: Range<u64>,
    /// Everything of the segment is there and whole.
    pub(super) sound: bool,
}

/// A record and where its envelope can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) header: Header,
    at: u64,
}

#[derive(Debug)]
enum Source {
    Index(Vec<u8>),
    Segment(Arc<dyn Medium>),
}

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// A later version of this program wrote it.
    #[error("written by a later version of outgate-relay")]
    Newer,
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Contents {
    /// Those of a segment that nobody writes to any more, from its index if there is one.
    pub(super) fn read(storage: &dyn Storage, life: Life) -> Result<Self, Unreadable> {
        match index::read(storage, life)? {
            Some(contents) => Ok(contents),
            None => Self::scan(storage, life),
        }
    }

    /// Those of a segment, from its records.
    pub(super) fn scan(storage: &dyn Storage, life: Life) -> Result<Self, Unreadable> {
        let medium = storage.open(Directory::Segments, &life.segment())?;
        scan::scan(medium, life)
    }

    /// A record's envelope, proven.
    pub(super) fn envelope(&self, found: &Found) -> io::Result<Vec<u8>> {
        let length = usize::try_from(found.header.envelope.octets).map_err(io::Error::other)?;
        let start = found.at + HEADER_OCTETS as u64;
        let mut envelope = vec![0; length];
        match &self.source {
            Source::Segment(medium) => read_exact_at(&**medium, &mut envelope, start)?,
            Source::Index(octets) => {
                let start = usize::try_from(start).map_err(io::Error::other)?;
                let stands = octets.get(start..).and_then(|rest| rest.get(..length));
                envelope.copy_from_slice(stands.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
        }
        if found.header.envelope.proves(&envelope) {
            Ok(envelope)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Writes the index of a segment that nobody writes to any more: durable when it returns. These are its contents.
    pub(super) fn write_index(&self, storage: &dyn Storage, life: Life) -> io::Result<()> {
        index::write(storage, life, self)
    }
}
