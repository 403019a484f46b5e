//! The content of one message, from 354 to its true end.
//!
//! A message whose framing is broken is read on, and thrown away, until an end that every reader takes
//! for one; then it is refused, and the session closes. It is read on because most clients look for the
//! reply only after the end, and would otherwise see a lost connection and try again for days. The
//! session closes because client and server have just disagreed about line ends: whatever follows
//! may be commands to one of them and content to the other, which is how smuggled mail gets in.

mod chunks;
mod pace;
mod tally;

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Abort, Config, Offer};
use crate::Time;
use crate::wire::dot::{Decoded, Decoder, EndFinder};
use crate::wire::line::FramingError;
pub(super) use chunks::{Chunk, Chunks, FoundInChunk, take};
pub(super) use pace::Pace;
pub(super) use tally::Fault;
use tally::Tally;

/// A message being received after DATA.
#[derive(Debug)]
pub(super) struct Content {
    decoder: Decoder,
    tally: Tally,
    fate: Fate,
    pub(super) pace: Pace,
    /// The transaction said SMTPUTF8.
    pub(super) utf8: bool,
}

/// What will be said at the end.
#[derive(Debug)]
enum Fate {
    Good,
    Faulty(Fault),
    Malformed(FramingError, EndFinder),
}

/// What was found in the input.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing more; more input is needed.
    Nothing,
    /// A piece for the application.
    Piece(Bytes),
    /// The message is lost from here on; there is more to read.
    Lost(Abort),
    /// The end of a message that was handed over whole.
    End,
    /// The end of one that was not, for its size or the like.
    EndOfFaulty(Fault),
    /// The end of one that was not: its framing is broken.
    EndOfMalformed(FramingError),
}

impl Content {
    pub(super) fn new(config: &Config, offer: &Offer, now: Time, utf8: bool) -> Self {
        Self {
            decoder: Decoder::new(config.content.nul),
            tally: Tally::new(offer, config.content),
            fate: Fate::Good,
            pace: Pace::new(now),
            utf8,
        }
    }

    /// Whether the application still believes in the message.
    pub(super) fn is_good(&self) -> bool {
        match self.fate {
            Fate::Good => true,
            Fate::Faulty(_) | Fate::Malformed(..) => false,
        }
    }

    pub(super) fn framing_error(&self) -> Option<FramingError> {
        match self.fate {
            Fate::Malformed(error, _) => Some(error),
            Fate::Good | Fate::Faulty(_) => None,
        }
    }

    /// Reads on.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Found {
        loop {
            if let Fate::Malformed(error, finder) = &mut self.fate {
                return match finder.find(input) {
                    Some(end) => {
                        input.advance(end);
                        Found::EndOfMalformed(*error)
                    }
                    None => {
                        input.clear();
                        Found::Nothing
                    }
                };
            }
            match (self.decoder.decode(input), &self.fate) {
                (Ok(None), _) => return Found::Nothing,
                (Ok(Some(Decoded::Content(piece))), Fate::Good) => match self.tally.add(&piece) {
                    None => return Found::Piece(piece),
                    Some(fault) => {
                        self.fate = Fate::Faulty(fault);
                        return Found::Lost(fault.abort());
                    }
                },
                (Ok(Some(Decoded::Content(_))), Fate::Faulty(_) | Fate::Malformed(..)) => {}
                (Ok(Some(Decoded::End)), Fate::Faulty(fault)) => {
                    return Found::EndOfFaulty(*fault);
                }
                (Ok(Some(Decoded::End)), Fate::Good | Fate::Malformed(..)) => return Found::End,
                (Err(error), _) => {
                    let was_good = self.is_good();
                    self.fate = Fate::Malformed(error, EndFinder::default());
                    if was_good {
                        return Found::Lost(Abort::Framing(error));
                    }
                }
            }
        }
    }
}
