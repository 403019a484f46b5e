//! The content of one message in chunks (BDAT, RFC 3030).
//!
//! A chunk has its length in its command, so nothing in it can be taken for a command, and a chunk that is
//! refused is read to its end and the session goes on. Its octets obey the rules of DATA all the same, but
//! for the dots: they leave for their destination after DATA. For the same reason content that does not
//! end in CRLF is given one, which is what every relay must do that passes it on to a server without
//! CHUNKING, and what keeps a DKIM signature valid (RFC 6376 section 3.4).

use bytes::{Bytes, BytesMut};

use super::{Fault, Pace, Tally};
use crate::Time;
use crate::server::{Abort, Config, Offer};
use crate::wire::dot::MAX_PIECE_OCTETS;
use crate::wire::line::{CRLF, ContentLines, FramingError};

/// The argument of BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Chunk {
    pub(in crate::server) octets: u64,
    pub(in crate::server) last: bool,
}

/// A message being received in chunks.
#[derive(Debug)]
pub(in crate::server) struct Chunks {
    lines: ContentLines,
    tally: Tally,
    /// What is still to come of the chunk.
    remaining: u64,
    last: bool,
    pub(in crate::server) pace: Pace,
    /// The transaction said SMTPUTF8.
    pub(in crate::server) utf8: bool,
}

/// What was found in the input.
#[derive(Debug)]
pub(in crate::server) enum FoundInChunk {
    /// Nothing more; more input is needed.
    Nothing,
    /// A piece for the application.
    Piece(Bytes),
    /// The message is lost; what remains of the chunk is still to be read.
    Faulty(Fault),
    /// The same.
    Malformed(FramingError),
    /// The end of a chunk; there will be another.
    End,
    /// The end of the message, with what it still needs to end in CRLF.
    LastEnd(&'static [u8]),
}

impl Chunks {
    pub(in crate::server) fn new(config: &Config, offer: &Offer, now: Time, utf8: bool) -> Self {
        Self {
            lines: ContentLines::new(config.content.nul),
            tally: Tally::new(offer, config.content),
            remaining: 0,
            last: false,
            pace: Pace::new(now),
            utf8,
        }
    }

    /// Another chunk begins, unless its length alone is too much.
    pub(in crate::server) fn begin(&mut self, chunk: Chunk) -> Result<(), Fault> {
        self.remaining = chunk.octets;
        self.last = chunk.last;
        self.tally.foresee(chunk.octets).map_or(Ok(()), Err)
    }

    /// What is still to come of the chunk.
    pub(in crate::server) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Octets of all chunks so far.
    pub(in crate::server) fn octets(&self) -> u64 {
        self.tally.octets()
    }

    /// Reads on.
    pub(in crate::server) fn read(&mut self, input: &mut BytesMut) -> FoundInChunk {
        if self.remaining == 0 {
            return if self.last {
                self.end()
            } else {
                FoundInChunk::End
            };
        }
        let octets = take(input, &mut self.remaining);
        if octets.is_empty() {
            return FoundInChunk::Nothing;
        }
        let mut sound = 0;
        let broken = loop {
            match self.lines.next(octets.get(sound..).unwrap_or_default()) {
                Ok(Some(end)) => sound += end,
                Ok(None) => break None,
                Err(broken) => break Some((sound + broken.at, broken.error)),
            }
        };
        // A fault before the break is the first one.
        let before = broken.map_or(octets.len(), |(at, _)| at);
        if let Some(fault) = self.tally.add(octets.get(..before).unwrap_or_default()) {
            return FoundInChunk::Faulty(fault);
        }
        match broken {
            Some((_, error)) => FoundInChunk::Malformed(error),
            None => FoundInChunk::Piece(octets),
        }
    }

    fn end(&mut self) -> FoundInChunk {
        if self.lines.is_at_line_start() {
            return FoundInChunk::LastEnd(b"");
        }
        match self.lines.next(CRLF) {
            Ok(_) => FoundInChunk::LastEnd(CRLF),
            Err(broken) => FoundInChunk::Malformed(broken.error),
        }
    }
}

impl FoundInChunk {
    /// Why the transaction has ended, if it has.
    pub(in crate::server) fn abort(&self) -> Option<Abort> {
        match self {
            Self::Faulty(fault) => Some(fault.abort()),
            Self::Malformed(error) => Some(Abort::Framing(*error)),
            Self::Nothing | Self::Piece(_) | Self::End | Self::LastEnd(_) => None,
        }
    }
}

/// Takes at most `remaining` octets, and no more than a piece, off the front of `input`.
pub(in crate::server) fn take(input: &mut BytesMut, remaining: &mut u64) -> Bytes {
    let wanted = usize::try_from(*remaining).unwrap_or(usize::MAX);
    let octets = input.split_to(wanted.min(input.len()).min(MAX_PIECE_OCTETS));
    *remaining = remaining.saturating_sub(u64::try_from(octets.len()).unwrap_or(u64::MAX));
    octets.freeze()
}
