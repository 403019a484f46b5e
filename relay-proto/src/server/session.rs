//! The state machine of the server's side.

use std::sync::Arc;

use super::{Action, Answer, Config, EhloName};
use crate::Time;
use crate::reply::Reply;

/// Server side of one session.
#[derive(Debug)]
pub struct Session {
    ehlo: Option<EhloName>,
}

impl Session {
    /// A session that greets with 220.
    #[must_use]
    pub fn new(_config: Arc<Config>, _now: Time) -> Self {
        Self { ehlo: None }
    }

    /// A session that greets with a 4xx or 5xx reply and serves nothing.
    #[must_use]
    pub fn refuse(_reply: Reply, _now: Time) -> Self {
        Self { ehlo: None }
    }

    /// A session for health checks: greets with 220 and serves only NOOP and QUIT.
    #[must_use]
    pub fn probe(_config: Arc<Config>, _now: Time) -> Self {
        Self { ehlo: None }
    }

    /// Octets have arrived, after decryption.
    pub fn receive(&mut self, _now: Time, _octets: &[u8]) {}

    /// No more octets will come: the peer has closed its side. What it had sent is still served.
    pub fn hang_up(&mut self) {}

    /// Time has passed.
    pub fn expire(&mut self, _now: Time) {}

    /// When [`Self::expire`] will matter; `None` while a question is open.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The next thing to do; `None` = nothing until the caller feeds something in.
    pub fn poll(&mut self) -> Option<Action> {
        None
    }

    /// Answers the open question.
    pub fn answer(&mut self, _now: Time, _answer: Answer) {}

    /// The handshake that [`Action::StartTls`] asked for has succeeded.
    pub fn tls_started(&mut self, _now: Time) {}

    /// Whether the session has room for more input; while it has not, the caller leaves the octets in the socket.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        true
    }

    /// What the client calls itself, since its last EHLO or HELO.
    #[must_use]
    pub fn ehlo(&self) -> Option<&EhloName> {
        self.ehlo.as_ref()
    }

    /// Whether the client said EHLO rather than HELO.
    #[must_use]
    pub fn esmtp(&self) -> bool {
        false
    }

    /// Whether TLS has been started.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        false
    }
}
