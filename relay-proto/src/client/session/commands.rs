//! The caller's commands, one at a time.

use bytes::BytesMut;

use super::{Session, State};
use crate::Time;
use crate::client::{Action, Event, LostCause, Stage};
use crate::envelope::{BodyType, Mail, Recipient, TlsTag};
use crate::reply::Reply;

impl Session {
    /// STARTTLS, in a session that is [`Self::held`] and was offered it. [`Action::StartTls`] follows, then another
    /// [`Event::Ready`]. Whoever takes the connection for TLS of its own instead has it with nothing said on it
    /// since the server's 220.
    pub fn starttls(&mut self, now: Time) {
        if self.turn(Stage::StartTls) {
            if self.extensions.starttls {
                self.say_starttls(now);
            } else {
                self.lose(LostCause::OutOfTurn);
            }
        }
    }

    /// Goes on in clear text, in a session that is [`Self::held`] and was offered STARTTLS. Only for a server whose TLS
    /// never works, and for mail of which nobody demands TLS; the caller answers for both.
    pub fn leave_tls_out(&mut self) {
        if matches!(self.state, State::Ready) && self.held {
            self.extensions.starttls = false;
        }
    }

    /// MAIL, with those parameters that the server offered. A mail that needs SMTPUTF8 is answered
    /// `550 5.6.7` on the server's behalf if it was not offered (RFC 6531 section 3.2), one that insists on REQUIRETLS
    /// `550 5.7.30` (RFC 8689 section 4.2.1), and nothing is sent.
    pub fn mail(&mut self, now: Time, mail: &Mail) {
        let utf8 = mail.smtputf8 || !mail.reverse_path.is_ascii();
        let line = self.mail_line(mail);
        let timeout = self.config.timeouts.mail;
        if self.turn(Stage::Mail) {
            self.utf8 = utf8;
            if utf8 && !self.extensions.smtputf8 {
                self.answer_locally(no_smtputf8());
            } else if mail.insists_on_tls() && !self.extensions.require_tls {
                self.answer_locally(no_require_tls());
            } else {
                self.ask(now, &line, timeout);
            }
        }
    }

    /// RCPT, with those parameters that the server offered. An address that needs SMTPUTF8 where MAIL did not say it is answered `550 5.6.7` on the
    /// server's behalf, and nothing is sent.
    pub fn rcpt(&mut self, now: Time, recipient: &Recipient) {
        let line = self.rcpt_line(recipient);
        let timeout = self.config.timeouts.rcpt;
        if self.turn(Stage::Rcpt) {
            if self.utf8 || self.is_sayable(recipient) {
                self.ask(now, &line, timeout);
            } else {
                self.answer_locally(no_smtputf8());
            }
        }
    }

    pub(super) fn mail_line(&self, mail: &Mail) -> String {
        let utf8 = mail.smtputf8 || !mail.reverse_path.is_ascii();
        let mut line = format!("MAIL FROM:{}", mail.reverse_path);
        if let (Some(size), Some(_)) = (mail.size, self.extensions.size) {
            line.push_str(&format!(" SIZE={size}"));
        }
        match mail.body {
            Some(BodyType::EightBitMime) if self.extensions.eight_bit_mime => {
                line.push_str(" BODY=8BITMIME");
            }
            Some(BodyType::SevenBit) if self.extensions.eight_bit_mime => {
                line.push_str(" BODY=7BIT");
            }
            // Without 8BITMIME the octets go as they are: to re-encode them would break their signature,
            // and servers that really drop the eighth bit are gone.
            Some(BodyType::EightBitMime | BodyType::SevenBit) | None => {}
        }
        if utf8 {
            line.push_str(" SMTPUTF8");
        }
        if self.extensions.dsn {
            if let Some(ret) = mail.ret {
                line.push_str(&format!(" RET={ret}"));
            }
            if let Some(id) = &mail.envelope_id {
                line.push_str(&format!(" ENVID={id}"));
            }
        }
        if mail.tls == TlsTag::Required && self.extensions.require_tls {
            line.push_str(" REQUIRETLS");
        }
        line
    }

    pub(super) fn rcpt_line(&self, recipient: &Recipient) -> String {
        let mut line = format!("RCPT TO:{}", recipient.forward_path);
        if self.extensions.dsn {
            if let Some(notify) = recipient.notify {
                line.push_str(&format!(" NOTIFY={notify}"));
            }
            if let Some(original) = &recipient.original {
                line.push_str(&format!(" ORCPT={original}"));
            }
        }
        line
    }

    /// DATA. After a 354 the caller gives the content; there is no other way out of it than [`Self::end`] or
    /// to drop the connection.
    pub fn data(&mut self, now: Time) {
        let timeout = self.config.timeouts.data;
        if self.turn(Stage::Data) {
            self.ask(now, "DATA", timeout);
        }
    }

    /// Content octets, cut anywhere, whose lines end in CRLF; the session stuffs the dots.
    pub fn body(&mut self, octets: &[u8]) {
        let State::Content(encoder) = &mut self.state else {
            return self.lose(LostCause::OutOfTurn);
        };
        let mut wire = BytesMut::with_capacity(octets.len() + octets.len() / 64);
        match encoder.encode(octets, &mut wire) {
            Ok(()) => self.actions.push_back(Action::Send(wire.freeze())),
            Err(error) => self.lose(LostCause::Content(error)),
        }
    }

    /// The content is whole: sends the end of data.
    pub fn end(&mut self, now: Time) {
        match core::mem::replace(&mut self.state, State::Asked) {
            State::Content(encoder) => {
                let mut wire = BytesMut::new();
                match encoder.finish(&mut wire) {
                    Ok(()) => {
                        self.deadline = Some(now.saturating_add(self.config.timeouts.message));
                        self.actions.push_back(Action::Send(wire.freeze()));
                    }
                    Err(error) => self.lose(LostCause::Content(error)),
                }
            }
            other @ (State::Greeting
            | State::Ehlo
            | State::Helo
            | State::StartTls
            | State::Handshake
            | State::Ready
            | State::Asked
            | State::Closed) => {
                self.state = other;
                self.lose(LostCause::OutOfTurn);
            }
        }
    }

    /// RSET.
    pub fn rset(&mut self, now: Time) {
        let timeout = self.config.timeouts.ehlo;
        if self.turn(Stage::Rset) {
            self.ask(now, "RSET", timeout);
        }
    }

    /// QUIT. [`Action::Close`] follows, with the reply as an [`Event::Answered`] before it if there is one;
    /// a server that hangs up or is silent instead is no [`Event::Lost`].
    pub fn quit(&mut self, now: Time) {
        let timeout = self.config.timeouts.quit;
        if self.turn(Stage::Quit) {
            self.ask(now, "QUIT", timeout);
        }
    }

    /// Whether the caller may give a command now. If not, that is a bug of ours and ends the session,
    /// because command and reply would no longer match.
    pub(super) fn turn(&mut self, stage: Stage) -> bool {
        match self.state {
            // TLS was offered and is not on: nothing of a message is said before.
            State::Ready
                if self.extensions.starttls && !matches!(stage, Stage::StartTls | Stage::Quit) =>
            {
                self.lose(LostCause::OutOfTurn);
                false
            }
            State::Ready => {
                self.stage = stage;
                true
            }
            State::Closed => false,
            State::Greeting
            | State::Ehlo
            | State::Helo
            | State::StartTls
            | State::Handshake
            | State::Asked
            | State::Content(_) => {
                self.lose(LostCause::OutOfTurn);
                false
            }
        }
    }

    fn ask(&mut self, now: Time, line: &str, timeout: Time) {
        self.state = State::Asked;
        self.say(now, line, timeout);
    }

    fn answer_locally(&mut self, reply: Reply) {
        let stage = self.stage;
        self.actions
            .push_back(Action::Event(Event::Answered { stage, reply }));
    }
}

fn no_smtputf8() -> Reply {
    Reply::new(550, "5.6.7", "the destination does not take SMTPUTF8")
}

fn no_require_tls() -> Reply {
    Reply::new(550, "5.7.30", "the destination does not take REQUIRETLS")
}
