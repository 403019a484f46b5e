//! The state machine of the client's side.

use super::{Action, Config, Mail, Recipient};
use crate::Time;

/// Client side of one session.
#[derive(Debug)]
pub struct Session {
    _config: Config,
}

impl Session {
    /// A session on a connection just made: waits for the greeting.
    #[must_use]
    pub fn new(config: Config, _now: Time) -> Self {
        Self { _config: config }
    }

    /// Octets have arrived, after decryption.
    pub fn receive(&mut self, _now: Time, _octets: &[u8]) {}

    /// The server has closed the connection.
    pub fn hang_up(&mut self) {}

    /// Time has passed.
    pub fn expire(&mut self, _now: Time) {}

    /// When [`Self::expire`] will matter; `None` while the session waits for the caller.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The next thing to do; `None` = nothing until the caller feeds something in.
    pub fn poll(&mut self) -> Option<Action> {
        None
    }

    /// The handshake that [`Action::StartTls`] asked for has succeeded.
    pub fn tls_started(&mut self, _now: Time) {}

    /// The handshake that [`Action::StartTls`] asked for has failed.
    pub fn tls_failed(&mut self, _now: Time) {}

    /// MAIL, with those parameters that the server offered.
    pub fn mail(&mut self, _now: Time, _mail: &Mail) {}

    /// RCPT.
    pub fn rcpt(&mut self, _now: Time, _recipient: &Recipient) {}

    /// DATA. After a 354 the caller gives the content.
    pub fn data(&mut self, _now: Time) {}

    /// Content octets, cut anywhere; the session stuffs the dots.
    pub fn body(&mut self, _octets: &[u8]) {}

    /// The content is whole: sends the end of data.
    pub fn end(&mut self, _now: Time) {}

    /// RSET.
    pub fn rset(&mut self, _now: Time) {}

    /// QUIT; [`Action::Close`] follows the reply.
    pub fn quit(&mut self, _now: Time) {}
}
