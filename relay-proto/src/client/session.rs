//! The state machine of the client's side.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Action, Config, Event, Extensions, LostCause, Mail, Recipient, Stage};
use crate::Time;
use crate::envelope::BodyType;
use crate::reply::{MAX_LINE_OCTETS, Parser, Reply};
use crate::wire::dot::Encoder;
use crate::wire::line::{LineError, LineReader};

/// Client side of one session.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    /// What the session did last, or does.
    stage: Stage,
    input: BytesMut,
    lines: LineReader,
    replies: Parser,
    extensions: Extensions,
    tls: bool,
    /// The transaction said SMTPUTF8.
    utf8: bool,
    actions: VecDeque<Action>,
    deadline: Option<Time>,
}

#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    /// After EHLO was refused.
    Helo,
    /// Waiting for 220 to STARTTLS.
    StartTls,
    /// Waiting for [`Session::tls_started`] or [`Session::tls_failed`].
    Handshake,
    /// Waiting for the caller's next command.
    Ready,
    /// Waiting for the reply to the caller's command.
    Asked,
    /// After 354.
    Content(Encoder),
    Closed,
}

impl Session {
    /// A session on a connection just made: waits for the greeting.
    #[must_use]
    pub fn new(config: Config, now: Time) -> Self {
        let deadline = Some(now.saturating_add(config.timeouts.greeting));
        Self {
            config,
            state: State::Greeting,
            stage: Stage::Greeting,
            input: BytesMut::new(),
            lines: LineReader::new(MAX_LINE_OCTETS),
            replies: Parser::default(),
            extensions: Extensions::default(),
            tls: false,
            utf8: false,
            actions: VecDeque::new(),
            deadline,
        }
    }

    /// Octets have arrived, after decryption.
    pub fn receive(&mut self, now: Time, octets: &[u8]) {
        match self.state {
            State::Closed => return,
            State::Handshake => return self.lose(LostCause::Injected),
            State::Greeting
            | State::Ehlo
            | State::Helo
            | State::StartTls
            | State::Ready
            | State::Asked
            | State::Content(_) => self.input.extend_from_slice(octets),
        }
        while !self.is_closed() {
            let line = match self.lines.take(&mut self.input) {
                Ok(Some(line)) => line,
                Ok(None) => return,
                Err(LineError::TooLong) => return self.lose(LostCause::LineTooLong),
                Err(LineError::Framing(error)) => return self.lose(LostCause::Framing(error)),
            };
            match self.replies.line(&line) {
                Ok(Some(reply)) => self.replied(now, reply),
                Ok(None) => {}
                Err(error) => self.lose(LostCause::Malformed(error.reason())),
            }
        }
    }

    /// The server has closed the connection.
    pub fn hang_up(&mut self) {
        self.lose(LostCause::HungUp);
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Time) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.lose(LostCause::TimedOut);
        }
    }

    /// When [`Self::expire`] will matter; `None` while the session waits for the caller.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The next thing to do; `None` = nothing until the caller feeds something in.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The handshake that [`Action::StartTls`] asked for has succeeded. All that the server said before is
    /// forgotten (RFC 3207 section 4.2).
    pub fn tls_started(&mut self, now: Time) {
        if matches!(self.state, State::Handshake) {
            self.tls = true;
            self.extensions = Extensions::default();
            self.say_ehlo(now);
        }
    }

    /// The handshake that [`Action::StartTls`] asked for has failed. The session is lost: what was to be
    /// said under TLS is never said in clear text on the same connection.
    pub fn tls_failed(&mut self, _now: Time) {
        if matches!(self.state, State::Handshake) {
            self.lose(LostCause::TlsFailed);
        }
    }

    /// Whether TLS has been started.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// MAIL, with those parameters that the server offered. A mail that needs SMTPUTF8 is answered
    /// `550 5.6.7` on the server's behalf if it was not offered (RFC 6531 section 3.2), and nothing is sent.
    pub fn mail(&mut self, now: Time, mail: &Mail) {
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
        let timeout = self.config.timeouts.mail;
        if self.turn(Stage::Mail) {
            self.utf8 = utf8;
            if utf8 && !self.extensions.smtputf8 {
                self.answer_locally();
            } else {
                self.ask(now, &line, timeout);
            }
        }
    }

    /// RCPT. An address that needs SMTPUTF8 where MAIL did not say it is answered `550 5.6.7` on the
    /// server's behalf, and nothing is sent.
    pub fn rcpt(&mut self, now: Time, recipient: &Recipient) {
        let line = format!("RCPT TO:{}", recipient.forward_path);
        let timeout = self.config.timeouts.rcpt;
        if self.turn(Stage::Rcpt) {
            if self.utf8 || recipient.forward_path.is_ascii() {
                self.ask(now, &line, timeout);
            } else {
                self.answer_locally();
            }
        }
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

    /// A whole reply has come.
    fn replied(&mut self, now: Time, reply: Reply) {
        let code = reply.code();
        if code == 421 && self.stage != Stage::Quit {
            return self.lose(LostCause::Refused(reply));
        }
        match self.state {
            State::Greeting if code == 220 => self.say_ehlo(now),
            State::Ehlo if code == 250 => {
                self.extensions = Extensions::read(&reply);
                // RFC 3207 section 4.2: what is offered again under TLS means nothing.
                self.extensions.starttls &= !self.tls;
                if self.extensions.starttls {
                    self.stage = Stage::StartTls;
                    self.state = State::StartTls;
                    self.say(now, "STARTTLS", self.config.timeouts.starttls);
                } else {
                    self.ready();
                }
            }
            State::Ehlo if EHLO_UNKNOWN.contains(&code.value()) => {
                self.state = State::Helo;
                let line = self.greeting_line("HELO");
                self.say(now, &line, self.config.timeouts.ehlo);
            }
            State::Helo if code == 250 => {
                self.extensions = Extensions::default();
                self.ready();
            }
            State::StartTls if code == 220 => self.start_tls(now),
            State::Greeting | State::Ehlo | State::Helo | State::StartTls => {
                self.send_line("QUIT");
                self.lose(LostCause::Refused(reply));
            }
            State::Asked => self.answered(reply),
            // It refuses what it has not seen whole. The rest of the content would be read as commands if the
            // server thinks that it is done, so the connection cannot go on.
            State::Content(_) if code.is_transient() || code.is_permanent() => {
                self.lose(LostCause::Refused(reply));
            }
            State::Content(_) | State::Ready | State::Handshake => {
                self.lose(LostCause::Unsolicited);
            }
            State::Closed => {}
        }
    }

    fn answered(&mut self, reply: Reply) {
        let stage = self.stage;
        let starts_content = stage == Stage::Data && reply.code() == 354;
        if reply.code().is_intermediate() && !starts_content {
            return self.lose(LostCause::Unsolicited);
        }
        self.deadline = None;
        self.state = State::Ready;
        if starts_content {
            self.stage = Stage::Message;
            self.state = State::Content(Encoder::default());
        }
        self.actions
            .push_back(Action::Event(Event::Answered { stage, reply }));
        if stage == Stage::Quit {
            self.close();
        }
    }

    fn start_tls(&mut self, now: Time) {
        // Whoever put clear text here wants it to be taken for what the server says under TLS (CVE-2011-0411).
        if !self.input.is_empty() {
            return self.lose(LostCause::Injected);
        }
        self.state = State::Handshake;
        self.deadline = Some(now.saturating_add(self.config.timeouts.starttls));
        self.actions.push_back(Action::StartTls);
    }

    fn say_ehlo(&mut self, now: Time) {
        self.stage = Stage::Ehlo;
        self.state = State::Ehlo;
        let line = self.greeting_line("EHLO");
        self.say(now, &line, self.config.timeouts.ehlo);
    }

    fn greeting_line(&self, verb: &str) -> String {
        let name = self.config.ehlo_name.chars();
        let name: String = name.filter(char::is_ascii_graphic).collect();
        format!("{verb} {name}")
    }

    fn ready(&mut self) {
        self.state = State::Ready;
        self.deadline = None;
        let ready = Event::Ready(self.extensions);
        self.actions.push_back(Action::Event(ready));
    }

    /// Whether the caller may give a command now. If not, that is a bug of ours and ends the session,
    /// because command and reply would no longer match.
    fn turn(&mut self, stage: Stage) -> bool {
        match self.state {
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

    fn say(&mut self, now: Time, line: &str, timeout: Time) {
        self.send_line(line);
        self.deadline = Some(now.saturating_add(timeout));
    }

    fn send_line(&mut self, line: &str) {
        let octets = Bytes::from(format!("{line}\r\n"));
        self.actions.push_back(Action::Send(octets));
    }

    fn answer_locally(&mut self) {
        let reply = Reply::new(550, "5.6.7", "the destination does not take SMTPUTF8");
        let stage = self.stage;
        self.actions
            .push_back(Action::Event(Event::Answered { stage, reply }));
    }

    fn lose(&mut self, cause: LostCause) {
        if self.is_closed() {
            return;
        }
        let stage = self.stage;
        // After QUIT there is nothing left to lose.
        if stage != Stage::Quit {
            self.actions
                .push_back(Action::Event(Event::Lost { stage, cause }));
        }
        self.close();
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.deadline = None;
        self.input.clear();
        self.actions.push_back(Action::Close);
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

/// Replies to EHLO by which a server says that it does not know the command (RFC 5321 section 3.2).
const EHLO_UNKNOWN: [u16; 4] = [500, 501, 502, 504];
