//! The content of one message, from 354 to its true end.
//!
//! A message whose framing is broken is read on, and thrown away, until an end that every reader takes
//! for one; then it is refused, and the session closes. It is read on because most clients look for the
//! reply only after the end, and would otherwise see a lost connection and try again for days. The
//! session closes because client and server have just disagreed about line ends: whatever follows
//! may be commands to one of them and content to the other, which is how smuggled mail gets in.

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Abort, Offer};
use crate::Time;
use crate::wire::dot::{Decoded, Decoder, EndFinder};
use crate::wire::line::FramingError;

/// A message being received.
#[derive(Debug)]
pub(super) struct Content {
    decoder: Decoder,
    octets: u64,
    fate: Fate,
    pub(super) started: Time,
    pub(super) last_octets: Time,
    /// The transaction said SMTPUTF8.
    pub(super) utf8: bool,
}

/// What will be said at the end.
#[derive(Debug)]
enum Fate {
    Good,
    TooLarge,
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
    /// The end of one that was not: too large.
    EndOfTooLarge,
    /// The end of one that was not: its framing is broken.
    EndOfMalformed(FramingError),
}

impl Content {
    pub(super) fn new(now: Time, utf8: bool) -> Self {
        Self {
            decoder: Decoder::default(),
            octets: 0,
            fate: Fate::Good,
            started: now,
            last_octets: now,
            utf8,
        }
    }

    /// Whether the application still believes in the message.
    pub(super) fn is_good(&self) -> bool {
        match self.fate {
            Fate::Good => true,
            Fate::TooLarge | Fate::Malformed(..) => false,
        }
    }

    pub(super) fn framing_error(&self) -> Option<FramingError> {
        match self.fate {
            Fate::Malformed(error, _) => Some(error),
            Fate::Good | Fate::TooLarge => None,
        }
    }

    /// Reads on, as far as the limit of `offer` allows.
    pub(super) fn read(&mut self, input: &mut BytesMut, offer: &Offer) -> Found {
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
            match self.decoder.decode(input) {
                Ok(None) => return Found::Nothing,
                Ok(Some(Decoded::Content(_))) if !self.is_good() => {}
                Ok(Some(Decoded::Content(piece))) => {
                    let octets = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                    self.octets = self.octets.saturating_add(octets);
                    if !offer.is_exceeded_by(self.octets) {
                        return Found::Piece(piece);
                    }
                    self.fate = Fate::TooLarge;
                    return Found::Lost(Abort::TooLarge);
                }
                Ok(Some(Decoded::End)) if self.is_good() => return Found::End,
                Ok(Some(Decoded::End)) => return Found::EndOfTooLarge,
                Err(error) => {
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
