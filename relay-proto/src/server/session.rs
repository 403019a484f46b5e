//! The state machine of the server's side: what it is fed, and where it stands. `commands` moves it on what
//! the client says, `answers` on what the application says.

mod answers;
mod commands;

use core::time::Duration;
use std::sync::Arc;

use bytes::BytesMut;

use super::content::{Content, Found};
use super::outbox::Outbox;
use super::{Abort, Action, Config, EhloName, Hello, Offer, Question, Timeouts, replies};
use crate::Time;
use crate::reply::Reply;
use crate::wire::line::{LineError, LineReader};

/// Server side of one session.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    role: Role,
    state: State,
    hello: Option<Greeted>,
    tls: bool,
    input: BytesMut,
    lines: LineReader,
    out: Outbox,
    /// Since when the session waits for the client, if it does.
    waiting_since: Time,
    commands: u32,
    errors: u32,
    hung_up: bool,
}

/// Whom the session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    /// A health check.
    Probe,
    /// A client that was refused by the greeting, and may say QUIT.
    Refused,
}

#[derive(Debug)]
enum State {
    /// Waiting for a command, outside a transaction.
    Idle,
    /// Waiting for a command, inside a transaction.
    Envelope(Transaction),
    /// Waiting for the application's word.
    Asked(Asked),
    /// After 354.
    Content(Content),
    /// Waiting for [`Session::tls_started`].
    Handshake,
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    utf8: bool,
    recipients: usize,
}

/// What the application is asked about.
#[derive(Debug)]
enum Asked {
    Hello(Hello),
    Auth,
    Mail(Transaction),
    Recipient(Transaction),
    Data(Transaction),
    Message(Transaction),
}

/// The last EHLO or HELO that was answered, and how.
#[derive(Debug)]
struct Greeted {
    hello: Hello,
    offer: Offer,
}

impl Session {
    /// A session that greets with 220.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Time) -> Self {
        let greeting = replies::greeting(&config);
        Self::with_role(Role::Client, config, &greeting, now)
    }

    /// A session for health checks: greets with 220 and serves only NOOP and QUIT.
    #[must_use]
    pub fn probe(config: Arc<Config>, now: Time) -> Self {
        let greeting = replies::greeting(&config);
        Self::with_role(Role::Probe, config, &greeting, now)
    }

    /// A session that greets with a 4xx or 5xx reply and serves nothing. After a 5xx it waits a while
    /// for QUIT (RFC 5321 section 3.1), because some clients take a connection that closes for a failure
    /// of the network; after 421, which announces the end, and any other 4xx it closes at once.
    #[must_use]
    pub fn refuse(reply: Reply, now: Time) -> Self {
        let permanent = reply.code().is_permanent();
        let mut session = Self::with_role(Role::Refused, Arc::new(for_the_refused()), &reply, now);
        if !permanent {
            session.close();
        }
        session
    }

    fn with_role(role: Role, config: Arc<Config>, greeting: &Reply, now: Time) -> Self {
        let mut out = Outbox::default();
        out.say(greeting, false);
        Self {
            config,
            role,
            state: State::Idle,
            hello: None,
            tls: false,
            input: BytesMut::new(),
            lines: LineReader::new(MAX_COMMAND_OCTETS),
            out,
            waiting_since: now,
            commands: 0,
            errors: 0,
            hung_up: false,
        }
    }

    /// Octets have arrived, after decryption. While a question is open they are only kept; a client
    /// that then sends on after [`Self::wants_input`] has become false is answered 421.
    pub fn receive(&mut self, now: Time, octets: &[u8]) {
        let full = !self.wants_input();
        match self.state {
            State::Closed => return,
            // Clear text where TLS must come. What it was is not looked at: an attacker between the two may
            // have put it there to have it taken for what the client says under TLS (CVE-2011-0411).
            State::Handshake => return self.close(),
            State::Asked(_) => {
                if full && !octets.is_empty() {
                    self.abort(Abort::Violation);
                    return self.close_with(&replies::too_much_pipelined());
                }
            }
            State::Content(ref mut content) => content.last_octets = now,
            State::Idle | State::Envelope(_) => {}
        }
        if !self.hung_up {
            self.input.extend_from_slice(octets);
            self.advance(now);
        }
    }

    /// No more octets will come: the peer has closed its side. What it had sent before is still served,
    /// so a client that only shuts down its sending side hears its replies; then the session closes.
    pub fn hang_up(&mut self) {
        self.hung_up = true;
        self.close_if_hung_up();
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Time) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &self.state {
            State::Content(content) => {
                let reply = match content.framing_error() {
                    // Its sender believes that it has ended the message, and waits.
                    Some(error) => replies::malformed_content(error),
                    None => replies::timed_out(),
                };
                self.abort(Abort::Timeout);
                self.close_with(&reply);
            }
            State::Handshake => self.close(),
            State::Idle | State::Envelope(_) => {
                self.abort(Abort::Timeout);
                self.close_with(&replies::timed_out());
            }
            State::Asked(_) | State::Closed => {}
        }
    }

    /// When [`Self::expire`] will matter; `None` while a question is open, whose answer is the
    /// application's to bound, and after the end.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let Timeouts {
            command,
            content: between_octets,
            message,
            handshake,
            malformed,
        } = self.config.timeouts;
        match &self.state {
            // Octets of an unfinished line do not extend it, or a client could hold the session for ever.
            State::Idle | State::Envelope(_) => Some(self.waiting_since.saturating_add(command)),
            State::Content(content) => {
                let silence = match content.framing_error() {
                    Some(_) => malformed,
                    None => between_octets,
                };
                let silent = content.last_octets.saturating_add(silence);
                Some(silent.min(content.started.saturating_add(message)))
            }
            State::Handshake => Some(self.waiting_since.saturating_add(handshake)),
            State::Asked(_) | State::Closed => None,
        }
    }

    /// The next thing to do; `None` = nothing until the caller feeds something in.
    pub fn poll(&mut self) -> Option<Action> {
        self.out.pop()
    }

    /// The handshake that [`Action::StartTls`] asked for has succeeded. All that the client said before is
    /// forgotten (RFC 3207 section 4.2).
    pub fn tls_started(&mut self, now: Time) {
        if matches!(self.state, State::Handshake) {
            self.tls = true;
            self.waiting_since = now;
            self.state = State::Idle;
            self.close_if_hung_up();
        }
    }

    /// Whether the session has room for more input; while it has not, the caller leaves the octets in
    /// the socket. Only pipelined commands behind an open question can fill it.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.hung_up && self.input.len() < MAX_PENDING_OCTETS
    }

    /// What the client calls itself, since its last EHLO or HELO; `None` again after STARTTLS.
    #[must_use]
    pub fn ehlo(&self) -> Option<&EhloName> {
        self.hello.as_ref().map(|greeted| &greeted.hello.name)
    }

    /// Whether the client said EHLO rather than HELO.
    #[must_use]
    pub fn esmtp(&self) -> bool {
        self.hello
            .as_ref()
            .is_some_and(|greeted| greeted.hello.esmtp)
    }

    /// Whether TLS has been started.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// What the last EHLO was answered; nothing is offered before.
    fn offer(&self) -> Offer {
        self.hello
            .as_ref()
            .map_or_else(Offer::default, |greeted| greeted.offer)
    }

    fn ask(&mut self, asked: Asked, question: Question) {
        self.state = State::Asked(asked);
        self.out.push(Action::Ask(question));
    }

    /// Acts on what has been kept, as far as it goes.
    fn advance(&mut self, now: Time) {
        loop {
            let offer = self.offer();
            match &mut self.state {
                State::Idle | State::Envelope(_) => match self.lines.take(&mut self.input) {
                    Ok(Some(line)) => {
                        self.waiting_since = now;
                        self.command(&line);
                    }
                    Ok(None) => break,
                    Err(LineError::TooLong) => {
                        self.waiting_since = now;
                        self.fail(&replies::line_too_long());
                    }
                    Err(LineError::Framing(error)) => {
                        self.abort(Abort::Framing(error));
                        self.close_with(&replies::malformed_command(error));
                    }
                },
                State::Content(content) => match content.read(&mut self.input, &offer) {
                    Found::Nothing => break,
                    Found::Piece(piece) => self.out.push(Action::Body(piece)),
                    Found::Lost(cause) => self.out.push(Action::Aborted(cause)),
                    Found::End => {
                        let transaction = Transaction::new(content.utf8);
                        self.ask(Asked::Message(transaction), Question::Message);
                    }
                    Found::EndOfTooLarge => {
                        self.state = State::Idle;
                        self.waiting_since = now;
                        let limit = offer.max_message_octets;
                        self.out.say(&replies::too_large(limit), false);
                    }
                    Found::EndOfMalformed(error) => {
                        self.close_with(&replies::malformed_content(error));
                    }
                },
                State::Asked(_) | State::Handshake | State::Closed => break,
            }
        }
        self.close_if_hung_up();
    }

    fn close_if_hung_up(&mut self) {
        match self.state {
            State::Idle | State::Envelope(_) | State::Content(_) | State::Handshake => {
                if self.hung_up {
                    self.abort(Abort::HangUp);
                    self.close();
                }
            }
            State::Asked(_) | State::Closed => {}
        }
    }

    /// Tells the application, if it believes in a transaction, that it has ended.
    fn abort(&mut self, cause: Abort) {
        let believed = match &self.state {
            State::Envelope(_) | State::Asked(Asked::Recipient(_) | Asked::Data(_)) => true,
            State::Content(content) => content.is_good(),
            // Of MAIL the application has said nothing yet; of the message it says the last word itself.
            State::Asked(Asked::Mail(_) | Asked::Message(_)) => false,
            State::Asked(Asked::Hello(_) | Asked::Auth) => false,
            State::Idle | State::Handshake | State::Closed => false,
        };
        if believed {
            self.out.push(Action::Aborted(cause));
        }
    }

    /// The client made an error; too many of them end the session.
    fn fail(&mut self, reply: &Reply) {
        self.errors = self.errors.saturating_add(1);
        if self.errors < self.config.max_errors {
            self.out.say(reply, false);
        } else {
            self.abort(Abort::Violation);
            self.close_with(&replies::too_many_errors());
        }
    }

    fn close_with(&mut self, reply: &Reply) {
        self.out.say(reply, false);
        self.close();
    }

    fn close(&mut self) {
        if !matches!(self.state, State::Closed) {
            self.input.clear();
            self.state = State::Closed;
            self.out.push(Action::Close);
        }
    }
}

impl Transaction {
    fn new(utf8: bool) -> Self {
        Self {
            utf8,
            recipients: 0,
        }
    }
}

fn for_the_refused() -> Config {
    Config {
        hostname: String::new(),
        operator: String::new(),
        max_recipients: 0,
        max_errors: 10,
        max_commands: 10,
        timeouts: Timeouts {
            command: Duration::from_secs(30),
            ..Timeouts::default()
        },
    }
}

/// Bound on a command line, its CRLF included: the 512 octets of RFC 5321 section 4.5.3.1.4, and ample
/// room for parameters.
const MAX_COMMAND_OCTETS: usize = 2048;

/// Bound on input kept behind a question, but for the last piece given: a thousand pipelined recipients.
const MAX_PENDING_OCTETS: usize = 64 * 1024;
