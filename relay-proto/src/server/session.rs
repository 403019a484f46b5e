//! The state machine of the server's side: what it is fed, and where it stands. `commands` moves it on what
//! the client says, `auth` on AUTH, `chunks` on BDAT, `answers` on what the application says, `steps` on what has
//! been kept, `waits` on time.

mod answers;
mod auth;
mod chunks;
mod commands;
mod facts;
mod state;
mod steps;
mod waits;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::BytesMut;

use super::content::{Chunk, Chunks, Content, Found, FoundInChunk};
use super::outbox::Outbox;
use super::{
    Abort, Action, Config, EhloName, Hello, Offer, Question, Stress, Timeouts, UserName, replies,
};
use crate::Time;
use crate::reply::Reply;
use crate::wire::line::{self, LineReader};
use chunks::Discard;
use state::{Asked, Greeted, Role, State, Transaction};

/// Server side of one session. Commands are overwritten on the heap once they have been read; what a compiler
/// keeps of them in registers, and so perhaps on the stack, is beyond it.
pub struct Session {
    config: Arc<Config>,
    role: Role,
    state: State,
    hello: Option<Greeted>,
    tls: bool,
    /// Who the client has shown that it is.
    user: Option<UserName>,
    input: BytesMut,
    lines: LineReader,
    out: Outbox,
    stress: Stress,
    started: Time,
    /// The latest time that the caller gave.
    now: Time,
    /// Since when the session waits for the client, if it does.
    waiting_since: Time,
    commands: u32,
    mails: u32,
    errors: u32,
    /// A chunk was refused; more of the same message may be on their way.
    chunks_refused: bool,
    talked_early: bool,
    hung_up: bool,
    quit: bool,
}

impl Session {
    /// A session that greets with 220, after [`Config::pregreet`].
    #[must_use]
    pub fn new(config: Arc<Config>, now: Time) -> Self {
        let mut session = Self::with_role(Role::Client, config, now);
        if session.config.pregreet.is_some() {
            session.state = State::Pregreet;
        } else {
            session.greet();
        }
        session
    }

    /// A session of a connection that was TLS from its first octet (RFC 8314 section 3). It greets at once: the handshake
    /// was a pause already.
    #[must_use]
    pub fn under_tls(config: Arc<Config>, now: Time) -> Self {
        let mut session = Self::with_role(Role::Client, config, now);
        session.tls = true;
        session.greet();
        session
    }

    /// A session for health checks: greets with 220 at once and serves only NOOP and QUIT.
    #[must_use]
    pub fn probe(config: Arc<Config>, now: Time) -> Self {
        let mut session = Self::with_role(Role::Probe, config, now);
        session.greet();
        session
    }

    /// A session that greets with a 4xx or 5xx reply and serves nothing. After a 5xx it waits a while
    /// for QUIT (RFC 5321 section 3.1), because some clients take a connection that closes for a failure
    /// of the network; after 421, which announces the end, and any other 4xx it closes at once.
    #[must_use]
    pub fn refuse(reply: Reply, now: Time) -> Self {
        let mut session = Self::with_role(Role::Refused, Arc::new(for_the_refused()), now);
        session.out.say(&reply, false);
        if !reply.code().is_permanent() {
            session.close();
        }
        session
    }

    fn with_role(role: Role, config: Arc<Config>, now: Time) -> Self {
        Self {
            config,
            role,
            state: State::Idle,
            hello: None,
            tls: false,
            user: None,
            input: BytesMut::new(),
            lines: LineReader::new(MAX_COMMAND_OCTETS),
            out: Outbox::default(),
            stress: Stress::None,
            started: now,
            now,
            waiting_since: now,
            commands: 0,
            mails: 0,
            errors: 0,
            chunks_refused: false,
            talked_early: false,
            hung_up: false,
            quit: false,
        }
    }

    fn greet(&mut self) {
        self.state = State::Idle;
        self.waiting_since = self.now;
        self.out.say(&replies::greeting(&self.config), false);
    }

    /// Octets have arrived, after decryption. While a question is open they are only kept; a client
    /// that then sends on after [`Self::wants_input`] has become false is answered 421.
    pub fn receive(&mut self, now: Time, octets: &[u8]) {
        self.now = now;
        let full = !self.wants_input();
        match &mut self.state {
            State::Closed => return,
            // Clear text where TLS must come. What it was is not looked at: an attacker between the two may
            // have put it there to have it taken for what the client says under TLS (CVE-2011-0411).
            State::Handshake => return self.close(),
            State::Pregreet => {
                if !octets.is_empty() {
                    self.refuse_early_talk();
                }
                return;
            }
            State::Asked(_) => {
                if full && !octets.is_empty() {
                    self.abort(Abort::Violation);
                    return self.close_with(&replies::too_much_pipelined());
                }
            }
            State::Content(Content { pace, .. })
            | State::Chunk(Chunks { pace, .. })
            | State::Discard(Discard { pace, .. }) => {
                pace.advance(now, octets.len(), &self.config);
            }
            State::Idle
            | State::Authenticating(_)
            | State::Envelope(_)
            | State::BetweenChunks(_) => {}
        }
        if !self.hung_up {
            if self.input.is_empty() {
                // A command line never has to be moved, which would leave a copy of it behind.
                self.input.reserve(self.max_line_octets());
            }
            self.input.extend_from_slice(octets);
            self.advance();
        }
    }

    /// No more octets will come: the peer has closed its side. What it had sent before is still served,
    /// so a client that only shuts down its sending side hears its replies; then the session closes.
    pub fn hang_up(&mut self) {
        self.hung_up = true;
        self.advance();
    }

    /// How much of its means the caller has left; it may say so at any time, and wakes up for an earlier
    /// [`Self::deadline`] then.
    pub fn set_stress(&mut self, stress: Stress) {
        self.stress = stress;
    }

    /// The next thing to do; `None` = nothing until the caller feeds something in.
    pub fn poll(&mut self) -> Option<Action> {
        if let Some(action) = self.out.pop() {
            return Some(action);
        }
        // What was kept because the replies were too many goes on once they are on their way.
        self.advance();
        self.out.pop()
    }

    /// The handshake that [`Action::StartTls`] asked for has succeeded. All that the client said before is
    /// forgotten (RFC 3207 section 4.2).
    pub fn tls_started(&mut self, now: Time) {
        if matches!(self.state, State::Handshake) {
            self.tls = true;
            self.now = now;
            self.waiting_since = now;
            self.state = State::Idle;
            self.advance();
        }
    }

    /// Whether the session has room for more input; while it has not, the caller leaves the octets in
    /// the socket. Only pipelined commands behind an open question can fill it.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.hung_up && self.input.len() < MAX_PENDING_OCTETS
    }

    /// Octets that the session holds for its peer: input not yet acted on, and replies not yet polled. Never
    /// more than [`MAX_HELD_OCTETS`], the last piece given and the application's last reply. Content is held
    /// only as far as it has not been polled.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.input.len() + self.out.octets()
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

    /// Tells the application, if it believes in a transaction, that it has ended.
    fn abort(&mut self, cause: Abort) {
        if self.state.is_believed_open() {
            self.out.push(Action::Aborted(cause));
        }
    }

    /// The client made an error; too many of them end the session.
    fn fail(&mut self, reply: &Reply) {
        self.errors = self.errors.saturating_add(1);
        let budget = match self.stress {
            Stress::None => self.config.max_errors,
            Stress::High => self.config.max_errors_under_stress,
        };
        if self.errors < budget {
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
            line::forget(&mut self.input);
            self.input.clear();
            self.state = State::Closed;
            self.out.push(Action::Close);
        }
    }
}

/// Without the input, in which there may be a password.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("hello", &self.hello)
            .field("tls", &self.tls)
            .field("held_octets", &self.held_octets())
            .finish_non_exhaustive()
    }
}

fn for_the_refused() -> Config {
    Config {
        max_errors: 10,
        max_commands: 10,
        timeouts: Timeouts {
            command: Duration::from_secs(30),
            ..Timeouts::default()
        },
        ..Config::new("", "")
    }
}

/// Bound on a command line, its CRLF included: the 512 octets of RFC 5321 section 4.5.3.1.4, and ample
/// room for parameters.
const MAX_COMMAND_OCTETS: usize = 2048;

/// Bound on input kept behind a question, but for the last piece given: a thousand pipelined recipients.
const MAX_PENDING_OCTETS: usize = 64 * 1024;

/// Bound on what [`Session::held_octets`] says, but for the last piece given and the last reply.
pub const MAX_HELD_OCTETS: usize = MAX_PENDING_OCTETS + super::outbox::MAX_OCTETS;
