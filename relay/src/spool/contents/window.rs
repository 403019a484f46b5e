//! A file that is read from its beginning to its end, by pieces, with jumps forward.
//!
//! What the disk cannot read is read as zeros: no record stands there, and those around it are found.

use std::io;
use std::ops::Range;

use memchr::memmem::Finder;

use crate::spool::storage::Medium;

/// The piece of the file that is in memory.
#[derive(Debug)]
pub(super) struct Window<'a> {
    medium: &'a dyn Medium,
    file_octets: u64,
    start: u64,
    piece: Vec<u8>,
    /// Blocks that the disk could not read.
    unreadable: Vec<Range<u64>>,
}

impl<'a> Window<'a> {
    /// Before the file's first octet.
    pub(super) fn new(medium: &'a dyn Medium) -> io::Result<Self> {
        Ok(Self {
            medium,
            file_octets: medium.octets()?,
            start: 0,
            piece: Vec::new(),
            unreadable: Vec::new(),
        })
    }

    /// What the disk could not read so far.
    pub(super) fn unreadable(&self) -> &[Range<u64>] {
        &self.unreadable
    }

    /// Length of the file.
    pub(super) fn file_octets(&self) -> u64 {
        self.file_octets
    }

    /// So many octets from there on; `None` if the file ends before.
    pub(super) fn octets(&mut self, offset: u64, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length as u64)?;
        if end > self.file_octets {
            return None;
        }
        let held = self.start + self.piece.len() as u64;
        if offset < self.start || end > held {
            self.fill(offset, length);
        }
        let at = usize::try_from(offset - self.start).ok()?;
        self.piece.get(at..)?.get(..length)
    }

    /// Where these octets next stand, from there on.
    pub(super) fn find(&mut self, offset: u64, octets: &[u8]) -> Option<u64> {
        let finder = Finder::new(octets);
        let mut at = offset;
        loop {
            let left = self.file_octets.checked_sub(at)?;
            let length = usize::try_from(left).map_or(PIECE_OCTETS, |left| left.min(PIECE_OCTETS));
            if length < octets.len() {
                return None;
            }
            if let Some(place) = finder.find(self.octets(at, length)?) {
                return Some(at + place as u64);
            }
            // What is looked for may stand on both sides of the cut.
            at += (length - octets.len() + 1) as u64;
        }
    }

    fn fill(&mut self, offset: u64, length: usize) {
        let wanted = length.max(PIECE_OCTETS);
        let left = usize::try_from(self.file_octets - offset).unwrap_or(usize::MAX);
        self.start = offset;
        self.piece.clear();
        self.piece.resize(wanted.min(left), 0);
        if matches!(self.medium.read_at(&mut self.piece, offset), Ok(read) if read == self.piece.len())
        {
            return;
        }
        let mut at = offset;
        for block in self.piece.chunks_mut(BLOCK_OCTETS) {
            if !matches!(self.medium.read_at(block, at), Ok(read) if read == block.len()) {
                block.fill(0);
                self.unreadable.push(at..at + block.len() as u64);
            }
            at += block.len() as u64;
        }
    }
}

const PIECE_OCTETS: usize = 256 << 10;
/// What disks lose at once.
const BLOCK_OCTETS: usize = 4096;
