//! What the application's answer to each question does.

use super::{Asked, Chunk, Chunks, Content, Greeted, Offer, Session, State, Transaction, replies};
use crate::Time;
use crate::reply::Reply;
use crate::server::{Answer, Hello, Keys};

/// What the application said, whatever it was asked.
enum Said {
    Reply(Reply),
    Proceed,
    Offer(Offer),
    Keys(Keys, String),
}

impl Session {
    /// Answers the open question. Without one (the session may have closed meanwhile) it does nothing.
    /// An answer that the question does not allow becomes `451 4.3.0`; a 421 closes, as it says.
    pub fn answer(&mut self, now: Time, answer: Answer) {
        let (said, closes) = match answer {
            Answer::Reply(reply) => {
                let closes = reply.code() == 421;
                (Said::Reply(reply), closes)
            }
            Answer::ReplyAndClose(reply) => (Said::Reply(reply), true),
            Answer::Proceed => (Said::Proceed, false),
            Answer::Offer(offer) => (Said::Offer(offer), false),
            Answer::Keys { keys, nonce } => (Said::Keys(keys, nonce), false),
        };
        let asked = match core::mem::replace(&mut self.state, State::Closed) {
            State::Asked(asked) => asked,
            other @ (State::Idle
            | State::Authenticating(_)
            | State::Envelope(_)
            | State::Pregreet
            | State::Content(_)
            | State::Chunk(_)
            | State::BetweenChunks(_)
            | State::Discard(_)
            | State::Handshake
            | State::Closed) => {
                self.state = other;
                return;
            }
        };
        self.now = now;
        self.waiting_since = now;
        match asked {
            Asked::Hello(hello) => self.greeted(hello, said),
            Asked::Auth => {
                self.state = State::Idle;
                self.fail(&refusal(said));
            }
            Asked::Keys(mut exchange) => {
                self.state = State::Idle;
                if let Said::Keys(keys, nonce) = said {
                    let step = exchange.keys(keys, &nonce);
                    self.auth_step(exchange, step);
                } else {
                    self.fail(&refusal(said));
                }
            }
            Asked::Claim(user) => {
                self.state = State::Idle;
                match final_reply(said) {
                    reply if reply.code() == 235 => {
                        self.user = Some(user);
                        self.out.say(&reply, false);
                    }
                    reply if reply.code().is_positive() => self.fail(&replies::our_bug()),
                    reply => self.fail(&reply),
                }
            }
            Asked::Mail(transaction) => {
                let reply = final_reply(said);
                self.state = if reply.code().is_positive() {
                    State::Envelope(transaction)
                } else {
                    State::Idle
                };
                self.out.say(&reply, transaction.utf8);
            }
            Asked::Recipient(mut transaction) => {
                let reply = final_reply(said);
                transaction.recipients += usize::from(reply.code().is_positive());
                self.state = State::Envelope(transaction);
                self.out.say(&reply, transaction.utf8);
            }
            Asked::Data(transaction, None) => {
                let utf8 = transaction.utf8;
                let reply = if let Said::Proceed = said {
                    let content = Content::new(&self.config, &self.offer(), now, utf8);
                    self.state = State::Content(content);
                    replies::start_content()
                } else {
                    self.state = State::Idle;
                    refusal(said)
                };
                self.out.say(&reply, utf8);
            }
            Asked::Data(transaction, Some(chunk)) => {
                self.answer_first_chunk(transaction, chunk, said, closes);
            }
            Asked::Message(transaction) => {
                self.state = State::Idle;
                self.out.say(&final_reply(said), transaction.utf8);
            }
        }
        if closes {
            self.close();
        }
        self.advance();
    }

    fn answer_first_chunk(
        &mut self,
        transaction: Transaction,
        chunk: Chunk,
        said: Said,
        closes: bool,
    ) {
        let utf8 = transaction.utf8;
        let mut chunks = Chunks::new(&self.config, &self.offer(), self.now, utf8);
        match (said, chunks.begin(chunk)) {
            (Said::Proceed, Ok(())) => self.state = State::Chunk(chunks),
            (Said::Proceed, Err(fault)) => {
                let refusal = (fault.reply(), false);
                self.refuse_chunk(chunk.octets, Some(fault.abort()), refusal, chunks.pace);
            }
            (said @ (Said::Reply(_) | Said::Offer(_) | Said::Keys(..)), _) => {
                let reply = refusal(said);
                if closes {
                    self.state = State::Idle;
                    self.out.say(&reply, utf8);
                } else {
                    self.refuse_chunk(chunk.octets, None, (reply, false), chunks.pace);
                }
            }
        }
    }

    fn greeted(&mut self, hello: Hello, said: Said) {
        self.state = State::Idle;
        let reply = match said {
            Said::Offer(offer) => {
                let reply = replies::hello(&self.config, &hello, &offer);
                self.hello = Some(Greeted { hello, offer });
                reply
            }
            Said::Reply(_) | Said::Proceed | Said::Keys(..) => refusal(said),
        };
        self.out.say(&reply, false);
    }
}

/// Anything but a reply, or a 3xx, where a final word was asked for is a bug of ours, and costs no mail.
fn final_reply(said: Said) -> Reply {
    match said {
        Said::Reply(reply) if !reply.code().is_intermediate() => reply.or_generic_enhanced(),
        Said::Reply(_) | Said::Proceed | Said::Offer(_) | Said::Keys(..) => replies::our_bug(),
    }
}

/// Anything but a refusal where only that is left is a bug of ours.
fn refusal(said: Said) -> Reply {
    let reply = final_reply(said);
    if reply.code().is_positive() {
        replies::our_bug()
    } else {
        reply
    }
}
