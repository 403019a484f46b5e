//! What the application's answer to each question does.

use super::{Content, Session, State, replies};
use crate::Time;
use crate::reply::Reply;
use crate::server::Answer;

impl Session {
    /// Answers the open question. Without one (the session may have closed meanwhile) it does nothing.
    /// An answer that the question does not allow becomes `451 4.3.0`; a 421 closes, as it says.
    pub fn answer(&mut self, now: Time, answer: Answer) {
        let (reply, closes) = match answer {
            Answer::Reply(reply) => {
                let closes = reply.code() == 421;
                (Some(reply), closes)
            }
            Answer::ReplyAndClose(reply) => (Some(reply), true),
            Answer::Proceed => (None, false),
        };
        let asked = core::mem::replace(&mut self.state, State::Closed);
        let (reply, utf8) = match asked {
            State::AskedMail(transaction) => {
                let reply = final_reply(reply);
                self.state = if reply.code().is_positive() {
                    State::Envelope(transaction)
                } else {
                    State::Idle
                };
                (reply, transaction.utf8)
            }
            State::AskedRecipient(mut transaction) => {
                let reply = final_reply(reply);
                transaction.recipients += usize::from(reply.code().is_positive());
                self.state = State::Envelope(transaction);
                (reply, transaction.utf8)
            }
            State::AskedData(transaction) => {
                let reply = match reply {
                    None => {
                        self.state = State::Content(Content::new(now, transaction.utf8));
                        replies::start_content()
                    }
                    Some(reply) => {
                        self.state = State::Idle;
                        refusal(reply)
                    }
                };
                (reply, transaction.utf8)
            }
            State::AskedMessage(transaction) => {
                self.state = State::Idle;
                (final_reply(reply), transaction.utf8)
            }
            State::Idle
            | State::Envelope(_)
            | State::Content(_)
            | State::Handshake
            | State::Closed => {
                self.state = asked;
                return;
            }
        };
        self.waiting_since = now;
        self.out.say(&reply, utf8);
        if closes {
            self.close();
        }
        self.advance(now);
    }
}

/// `None` or a 3xx where a final word was asked for is a bug of ours, and costs no mail.
fn final_reply(reply: Option<Reply>) -> Reply {
    match reply {
        Some(reply) if !reply.code().is_intermediate() => reply.or_generic_enhanced(),
        Some(_) | None => replies::our_bug(),
    }
}

/// Anything but a refusal where [`Answer::Proceed`] was meant is a bug of ours.
fn refusal(reply: Reply) -> Reply {
    if reply.code().is_positive() {
        replies::our_bug()
    } else {
        final_reply(Some(reply))
    }
}
