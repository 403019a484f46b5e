//! The state machine of the client's side: what it is fed, and what each reply does. `commands` is what
//! the caller may ask of it.

mod commands;
mod pipelined;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Action, Config, Event, Extensions, LostCause, Stage};
use crate::Time;
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
    /// STARTTLS waits for the caller's word.
    held: bool,
    /// What was asked, and will be answered, after [`Self::stage`].
    following: VecDeque<Stage>,
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
            held: false,
            following: VecDeque::new(),
            actions: VecDeque::new(),
            deadline,
        }
    }

    /// The same, but when the server offers STARTTLS the session is ready before it is said, so that the caller may
    /// have somebody else speak TLS: [`Event::Ready`] then says that it was offered, and [`Self::starttls`] is the
    /// command.
    #[must_use]
    pub fn held(config: Config, now: Time) -> Self {
        Self {
            held: true,
            ..Self::new(config, now)
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
                // RFC 8689 section 2: it is an offer under TLS or none.
                self.extensions.require_tls &= self.tls;
                if self.extensions.starttls && !self.held {
                    self.say_starttls(now);
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
            State::Asked => self.answered(now, reply),
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

    fn answered(&mut self, now: Time, reply: Reply) {
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
        self.await_next(now);
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

    pub(super) fn say_starttls(&mut self, now: Time) {
        self.stage = Stage::StartTls;
        self.state = State::StartTls;
        self.say(now, "STARTTLS", self.config.timeouts.starttls);
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

    fn say(&mut self, now: Time, line: &str, timeout: Time) {
        self.send_line(line);
        self.deadline = Some(now.saturating_add(timeout));
    }

    fn send_line(&mut self, line: &str) {
        let octets = Bytes::from(format!("{line}\r\n"));
        self.actions.push_back(Action::Send(octets));
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
        self.following.clear();
        self.actions.push_back(Action::Close);
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

/// Replies to EHLO by which a server says that it does not know the command (RFC 5321 section 3.2).
const EHLO_UNKNOWN: [u16; 4] = [500, 501, 502, 504];
