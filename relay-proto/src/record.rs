//! Records of the spool, in octets: the format, without a file.
//!
//! # Segments
//! A spool is a directory of segments. A segment is a preallocated file of one length, written from its beginning to
//! its end and never twice, until it is given away: then it begins another life under another name, its old octets
//! still in it. Each life has a sequence number and an [`Epoch`], a number that nobody can guess; both stand in the
//! file's name, `0000000000000017-9c1e6f0a2b3d4c5e.segment`.
//!
//! # Batches
//! Records are written in batches, one write and one sync each. A batch begins at a multiple of [`BLOCK_OCTETS`]; the
//! records of a batch follow each other at multiples of [`ALIGN_OCTETS`], zeros between them and behind the last.
//! A batch is begun after the one before it was synced: so only the last batch of a segment can be torn, and there
//! what was acknowledged is whole.
//!
//! # Records
//! A record is a header of [`HEADER_OCTETS`] and what follows it. All numbers are little endian.
//!
//! | octets | |
//! |---|---|
//! | 8 | epoch of the segment's life: what an earlier life has left, or what a sender has put into its message, is no record |
//! | 2 | `Og` |
//! | 1 | version, [`VERSION`] |
//! | 1 | kind |
//! | 12 | number of the batch in the segment; place in the batch, from 0; records of the batch |
//! | 8 | [`QueueId`]; for an opening the last one that was given away; else 0 |
//! | 4 | offset of the record in its segment |
//! | 4 | recipients |
//! | 8 | octets of the envelope, its CRC32C |
//! | 12 | octets of the content, its CRC32C |
//! | 4 | CRC32C of the octets before |
//!
//! - *Opening*: the first record of a segment, a batch of its own.
//! - *Message*: the envelope ([`envelope`]), then the content as it was received.
//! - *Message in a file*: the envelope alone. The content is in a file whose name is the [`QueueId`].
//! - *Done*: a list ([`done`]) where the envelope stands.
//! - *Seal*: ends an index.
//!
//! # Indexes
//! When nothing more will be written to a segment, its index is made: its records without contents, each at a multiple
//! of [`ALIGN_OCTETS`], and a seal, whose content is all that stands before it and whose recipients are the number of records.
//! An index that is not whole is no index, and the segment is read instead.

pub mod done;
pub mod envelope;
pub(crate) mod fields;

use crate::queued::QueueId;

/// What tells the records of one life of a segment from all other octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// What stands in front of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// The segment's life.
    pub epoch: Epoch,
    /// The batch and the place in it.
    pub place: Place,
    /// Which message; see the module.
    pub id: Option<QueueId>,
    /// Where it stands in its segment, octets.
    pub offset: u32,
    /// How many recipients the message has, done ones too.
    pub recipients: u32,
    /// What follows the header.
    pub envelope: Extent,
    /// What follows that, or is in the message's file.
    pub content: Extent,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// First of a segment.
    Opening,
    /// A message with its content.
    Message,
    /// A message whose content is in a file.
    MessageInFile,
    /// Recipients that need no more attempts.
    Done,
    /// Last of an index.
    Seal,
}

/// A record's place among those that were written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the batch in its segment.
    pub batch: u32,
    /// From 0.
    pub index: u32,
    /// Records of the batch.
    pub count: u32,
}

/// Octets and what proves them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// How many.
    pub octets: u64,
    /// Their CRC32C.
    pub checksum: u32,
}

/// Why octets are no [`Header`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHeader {
    /// They are not, or damaged, or of another life.
    #[error("not a record")]
    NotARecord,
    /// A later version of this program wrote them.
    #[error("a record of a later version")]
    Newer,
}

impl Header {
    /// Its octets. `None` if the envelope is longer than 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Option<[u8; HEADER_OCTETS]> {
        let mut octets = [0; HEADER_OCTETS];
        let mut rest = octets.as_mut_slice();
        let id = self.id.map_or(0, QueueId::get);
        let envelope_octets = u32::try_from(self.envelope.octets).ok()?;
        for field in [
            self.epoch.0.to_le_bytes().as_slice(),
            MAGIC.as_slice(),
            &[VERSION, self.kind.number()],
            &self.place.batch.to_le_bytes(),
            &self.place.index.to_le_bytes(),
            &self.place.count.to_le_bytes(),
            &id.to_le_bytes(),
            &self.offset.to_le_bytes(),
            &self.recipients.to_le_bytes(),
            &envelope_octets.to_le_bytes(),
            &self.envelope.checksum.to_le_bytes(),
            &self.content.octets.to_le_bytes(),
            &self.content.checksum.to_le_bytes(),
        ] {
            let (place, after) = rest.split_at_mut_checked(field.len())?;
            place.copy_from_slice(field);
            rest = after;
        }
        let (before, check) = octets.split_last_chunk_mut::<4>()?;
        *check = checksum(0, before).to_le_bytes();
        Some(octets)
    }

    /// The header that these octets are, in that life of a segment.
    pub fn decode(octets: &[u8; HEADER_OCTETS], epoch: Epoch) -> Result<Self, NoHeader> {
        Self::read(octets, epoch).unwrap_or(Err(NoHeader::NotARecord))
    }

    fn read(octets: &[u8; HEADER_OCTETS], epoch: Epoch) -> Option<Result<Self, NoHeader>> {
        let mut rest = octets.as_slice();
        let read_epoch = u64::from_le_bytes(take(&mut rest)?);
        let magic: [u8; 2] = take(&mut rest)?;
        if read_epoch != epoch.0 || magic != MAGIC {
            return None;
        }
        let (before, check) = octets.split_last_chunk::<4>()?;
        if checksum(0, before) != u32::from_le_bytes(*check) {
            return None;
        }
        let [version, kind] = take(&mut rest)?;
        // Whatever changes in a later version, these octets stay where they are.
        let kind = match Kind::from_number(kind) {
            Some(kind) if version == VERSION => kind,
            Some(_) | None => return Some(Err(NoHeader::Newer)),
        };
        let place = Place {
            batch: u32::from_le_bytes(take(&mut rest)?),
            index: u32::from_le_bytes(take(&mut rest)?),
            count: u32::from_le_bytes(take(&mut rest)?),
        };
        let id = QueueId::from_number(u64::from_le_bytes(take(&mut rest)?));
        let offset = u32::from_le_bytes(take(&mut rest)?);
        let recipients = u32::from_le_bytes(take(&mut rest)?);
        let envelope = Extent {
            octets: u64::from(u32::from_le_bytes(take(&mut rest)?)),
            checksum: u32::from_le_bytes(take(&mut rest)?),
        };
        let content = Extent {
            octets: u64::from_le_bytes(take(&mut rest)?),
            checksum: u32::from_le_bytes(take(&mut rest)?),
        };
        let header = Self {
            kind,
            epoch,
            place,
            id,
            offset,
            recipients,
            envelope,
            content,
        };
        header.is_sound().then_some(Ok(header))
    }

    /// Octets of the record in its segment, a multiple of [`ALIGN_OCTETS`].
    #[must_use]
    pub fn octets(&self) -> u64 {
        let content = match self.kind {
            Kind::Message => self.content.octets,
            Kind::Opening | Kind::MessageInFile | Kind::Done | Kind::Seal => 0,
        };
        self.octets_without_content()
            .saturating_add(content)
            .checked_next_multiple_of(ALIGN_OCTETS)
            .unwrap_or(u64::MAX)
    }

    /// Octets of header and envelope, without what fills up to the next record.
    #[must_use]
    pub fn octets_without_content(&self) -> u64 {
        (HEADER_OCTETS as u64).saturating_add(self.envelope.octets)
    }

    /// Whether it is a message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        match self.kind {
            Kind::Message | Kind::MessageInFile => true,
            Kind::Opening | Kind::Done | Kind::Seal => false,
        }
    }

    fn is_sound(&self) -> bool {
        let named = !self.is_message() || (self.id.is_some() && self.recipients > 0);
        let aligned = u64::from(self.offset).is_multiple_of(ALIGN_OCTETS);
        named && aligned && self.place.index < self.place.count
    }
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Opening => 1,
            Self::Message => 2,
            Self::MessageInFile => 3,
            Self::Done => 4,
            Self::Seal => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Opening),
            2 => Some(Self::Message),
            3 => Some(Self::MessageInFile),
            4 => Some(Self::Done),
            5 => Some(Self::Seal),
            _ => None,
        }
    }
}

impl Extent {
    /// That of these octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        Self {
            octets: octets.len() as u64,
            checksum: checksum(0, octets),
        }
    }

    /// Whether it is that of these octets.
    #[must_use]
    pub fn proves(&self, octets: &[u8]) -> bool {
        *self == Self::of(octets)
    }
}

/// CRC32C of what `so_far` stands for and these octets; 0 stands for none.
#[must_use]
pub fn checksum(so_far: u32, octets: &[u8]) -> u32 {
    crc32c::crc32c_append(so_far, octets)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

/// Octets of a [`Header`].
pub const HEADER_OCTETS: usize = 64;
/// What offsets and lengths of records are multiples of.
pub const ALIGN_OCTETS: u64 = 8;
/// What offsets and lengths of batches are multiples of.
pub const BLOCK_OCTETS: u64 = 4096;
/// The format that is described here.
pub const VERSION: u8 = 1;
const MAGIC: [u8; 2] = *b"Og";

#[cfg(test)]
mod tests;
