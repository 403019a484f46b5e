//! Acting on what the client has sent: one line, or one piece of content, after the other.

use core::ops::ControlFlow;

use bytes::BytesMut;

use super::{Abort, Action, Asked, Found, Question, Session, State, Transaction, line, replies};
use crate::wire::line::LineError;

impl Session {
    /// Acts on what has been kept, as far as it goes.
    pub(super) fn advance(&mut self) {
        while !self.out.is_full() {
            if self.step().is_break() {
                self.close_if_hung_up();
                break;
            }
        }
        if self.input.is_empty() {
            // An idle session keeps no buffer.
            self.input = BytesMut::new();
        }
    }

    /// One line or one piece; breaks when there is nothing to act on.
    fn step(&mut self) -> ControlFlow<()> {
        match &mut self.state {
            State::Idle
            | State::Authenticating(_)
            | State::Envelope(_)
            | State::BetweenChunks(_) => {
                self.lines.allow(self.max_line_octets());
                match self.lines.take(&mut self.input) {
                    Ok(Some(mut line)) => {
                        self.waiting_since = self.now;
                        self.line(&line);
                        line::forget(&mut line);
                    }
                    Ok(None) => return ControlFlow::Break(()),
                    Err(LineError::TooLong) => {
                        self.waiting_since = self.now;
                        self.line_too_long();
                    }
                    Err(LineError::Framing(error)) => {
                        self.abort(Abort::Framing(error));
                        self.close_with(&replies::malformed_command(error));
                    }
                }
            }
            State::Content(content) => match content.read(&mut self.input) {
                Found::Nothing => return ControlFlow::Break(()),
                Found::Piece(piece) => self.out.push(Action::Body(piece)),
                Found::Lost(cause) => self.out.push(Action::Aborted(cause)),
                Found::End => {
                    let transaction = Transaction::new(content.utf8);
                    self.ask(Asked::Message(transaction), Question::Message);
                }
                Found::EndOfFaulty(fault) => {
                    self.state = State::Idle;
                    self.waiting_since = self.now;
                    self.out.say(&fault.reply(), false);
                }
                Found::EndOfMalformed(error) => {
                    self.close_with(&replies::malformed_content(error));
                }
            },
            State::Chunk(chunks) => {
                let found = chunks.read(&mut self.input);
                return self.found_in_chunk(found);
            }
            State::Discard(discard) => {
                if !discard.read(&mut self.input) {
                    return ControlFlow::Break(());
                }
                self.discarded();
            }
            State::Pregreet | State::Asked(_) | State::Handshake | State::Closed => {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// One whole line.
    fn line(&mut self, line: &[u8]) {
        if !matches!(self.state, State::Authenticating(_)) {
            return self.command(line);
        }
        if let State::Authenticating(exchange) = core::mem::replace(&mut self.state, State::Idle) {
            self.auth_response(exchange, line);
        }
    }

    fn line_too_long(&mut self) {
        if matches!(self.state, State::Authenticating(_)) {
            self.state = State::Idle;
            self.fail(&replies::auth_line_too_long());
        } else {
            self.fail(&replies::line_too_long());
        }
    }

    fn close_if_hung_up(&mut self) {
        match self.state {
            State::Pregreet
            | State::Idle
            | State::Authenticating(_)
            | State::Envelope(_)
            | State::Content(_)
            | State::Chunk(_)
            | State::BetweenChunks(_)
            | State::Discard(_)
            | State::Handshake => {
                if self.hung_up {
                    self.abort(Abort::HangUp);
                    self.close();
                }
            }
            State::Asked(_) | State::Closed => {}
        }
    }
}
