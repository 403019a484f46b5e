//! What BDAT does (RFC 3030 section 2), and chunks that are refused.
//!
//! A chunk is read to its end whatever becomes of it, because its octets are no commands. A refused chunk
//! ends the transaction; others of the same message may be on their way behind it, so those are refused
//! without being counted as errors.

use core::ops::ControlFlow;

use bytes::BytesMut;

use super::{
    Abort, Action, Asked, Chunk, FoundInChunk, Question, Session, State, Transaction, replies,
};
use crate::reply::Reply;
use crate::server::content::{self, Pace};

/// A chunk that is refused, once it has ended.
#[derive(Debug)]
pub(super) struct Discard {
    remaining: u64,
    pub(super) reply: Reply,
    /// It counts as an error of the client.
    counts: bool,
    pub(super) pace: Pace,
}

impl Session {
    pub(super) fn bdat(&mut self, chunk: Chunk) {
        if !self.offer().chunking || !self.esmtp() {
            // The chunk would be read as commands by whoever sent it without having been offered it.
            self.abort(Abort::Violation);
            return self.close_with(&replies::no_chunking());
        }
        match core::mem::replace(&mut self.state, State::Idle) {
            State::BetweenChunks(mut chunks) => match chunks.begin(chunk) {
                Ok(()) => {
                    // The wait for this command was no octets of content.
                    chunks.pace.resume(self.now);
                    self.state = State::Chunk(chunks);
                }
                Err(fault) => self.refuse_chunk(
                    chunk.octets,
                    Some(fault.abort()),
                    (fault.reply(), false),
                    Pace::new(self.now),
                ),
            },
            State::Envelope(transaction) => self.first_chunk(transaction, chunk),
            State::Idle
            | State::Authenticating(_)
            | State::Pregreet
            | State::Asked(_)
            | State::Content(_)
            | State::Chunk(_)
            | State::Discard(_)
            | State::Handshake
            | State::Closed => {
                let reply = if self.chunks_refused {
                    replies::out_of_order("the message was refused already, say RSET")
                } else {
                    replies::out_of_order("say MAIL and RCPT first")
                };
                let refusal = (reply, !self.chunks_refused);
                self.refuse_chunk(chunk.octets, None, refusal, Pace::new(self.now));
            }
        }
    }

    fn first_chunk(&mut self, transaction: Transaction, chunk: Chunk) {
        let offer = self.offer();
        let refusal = if transaction.recipients == 0 {
            Some((Abort::Violation, (replies::no_valid_recipients(), true)))
        } else if offer.is_exceeded_by(chunk.octets) {
            let reply = replies::too_large(offer.max_message_octets);
            Some((Abort::TooLarge, (reply, false)))
        } else {
            None
        };
        match refusal {
            Some((abort, refusal)) => {
                self.refuse_chunk(chunk.octets, Some(abort), refusal, Pace::new(self.now));
            }
            None => self.ask(Asked::Data(transaction, Some(chunk)), Question::Data),
        }
    }

    /// Reads so many octets and then says the reply, which may count as an error.
    pub(super) fn refuse_chunk(
        &mut self,
        remaining: u64,
        abort: Option<Abort>,
        (reply, counts): (Reply, bool),
        pace: Pace,
    ) {
        if let Some(abort) = abort {
            self.out.push(Action::Aborted(abort));
        }
        self.chunks_refused = true;
        self.state = State::Discard(Discard {
            remaining,
            reply,
            counts,
            pace,
        });
    }

    pub(super) fn found_in_chunk(&mut self, found: FoundInChunk) -> ControlFlow<()> {
        let State::Chunk(chunks) = &self.state else {
            return ControlFlow::Break(());
        };
        let (remaining, pace, utf8) = (chunks.remaining(), chunks.pace, chunks.utf8);
        let abort = found.abort();
        match found {
            FoundInChunk::Nothing => return ControlFlow::Break(()),
            FoundInChunk::Piece(piece) => self.out.push(Action::Body(piece)),
            FoundInChunk::Faulty(fault) => {
                self.refuse_chunk(remaining, abort, (fault.reply(), false), pace);
            }
            FoundInChunk::Malformed(error) => {
                let reply = replies::malformed_chunk(error);
                self.refuse_chunk(remaining, abort, (reply, true), pace);
            }
            FoundInChunk::End => self.chunk_taken(),
            FoundInChunk::LastEnd(crlf) => {
                if !crlf.is_empty() {
                    self.out.push(Action::Body(crlf.into()));
                }
                let transaction = Transaction::new(utf8);
                self.ask(Asked::Message(transaction), Question::Message);
            }
        }
        ControlFlow::Continue(())
    }

    fn chunk_taken(&mut self) {
        if let State::Chunk(chunks) = core::mem::replace(&mut self.state, State::Idle) {
            self.waiting_since = self.now;
            self.out.say(&replies::chunk_taken(chunks.octets()), false);
            self.state = State::BetweenChunks(chunks);
        }
    }

    /// The chunk has been read to its end.
    pub(super) fn discarded(&mut self) {
        if let State::Discard(discard) = core::mem::replace(&mut self.state, State::Idle) {
            self.waiting_since = self.now;
            if discard.counts {
                self.fail(&discard.reply);
            } else {
                self.out.say(&discard.reply, false);
            }
        }
    }
}

impl Discard {
    /// Reads on; whether the chunk has ended.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> bool {
        while self.remaining > 0 && !input.is_empty() {
            content::take(input, &mut self.remaining);
        }
        self.remaining == 0
    }
}
