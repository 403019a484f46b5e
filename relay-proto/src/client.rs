//! Client side of one SMTP session, without a socket or a clock.
//!
//! The session waits for the greeting, says EHLO, starts TLS whenever it is offered, says EHLO again and
//! reports [`Event::Ready`]. Then the caller gives one command at a time, and each is answered by one
//! [`Event::Answered`] with the server's own reply, or the session ends with [`Event::Lost`].
//!
//! There is no way from an offered STARTTLS to clear text: a refusal, a failed handshake, or octets in
//! clear text before it lose the session. In cut-through each command waits for a customer's anyway; who has
//! the whole envelope may say it in one go ([`Session::envelope`]).
//!
//! # Diagnostics
//! Everything that the server does wrong is an [`Event::Lost`]. A command out of turn or content that
//! breaks a framing rule is a bug of ours, and loses the session too, without ending the data.

mod extensions;
mod session;

use core::time::Duration;

use bytes::Bytes;

pub use crate::envelope::{BodyType, Mail, Recipient};
use crate::reply::Reply;
use crate::wire::line::FramingError;
pub use extensions::Extensions;
pub use session::Session;

/// What does not change during a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the client calls itself in EHLO: a domain name or an address literal.
    pub ehlo_name: String,
    /// How long the session waits for what.
    pub timeouts: Timeouts,
}

/// How long the client waits for each reply: the minimums of RFC 5321 section 4.5.3.2 where it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the greeting. Default 5 min.
    pub greeting: Duration,
    /// For EHLO, HELO and RSET. Default 5 min.
    pub ehlo: Duration,
    /// For the reply to STARTTLS, and again for the handshake. Default 2 min.
    pub starttls: Duration,
    /// For MAIL. Default 5 min.
    pub mail: Duration,
    /// For each RCPT. Default 5 min.
    pub rcpt: Duration,
    /// For 354 after DATA. Default 2 min.
    pub data: Duration,
    /// For one block of content to be written. Default 3 min. The session never sees a write end, so
    /// the caller bounds its writes with this.
    pub data_block: Duration,
    /// For the reply after the end of data. Default 10 min.
    pub message: Duration,
    /// For the reply to QUIT. Default 10 s: nothing depends on it.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(300),
            ehlo: Duration::from_secs(300),
            starttls: Duration::from_secs(120),
            mail: Duration::from_secs(300),
            rcpt: Duration::from_secs(300),
            data: Duration::from_secs(120),
            data_block: Duration::from_secs(180),
            message: Duration::from_secs(600),
            quit: Duration::from_secs(10),
        }
    }
}

/// What the caller must do next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these octets to the server.
    Send(Bytes),
    /// Start the TLS handshake as client, then call [`Session::tls_started`] or [`Session::tls_failed`].
    StartTls,
    /// Something that the caller waits for.
    Event(Event),
    /// Close the connection; nothing follows.
    Close,
}

/// What the caller waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session takes commands; sent once.
    Ready(Extensions),
    /// The server's reply to the command of this stage. 421 is never one of them, but a [`Event::Lost`].
    Answered {
        /// Which command.
        stage: Stage,
        /// The server's own words.
        reply: Reply,
    },
    /// The session is over; [`Action::Close`] follows.
    Lost {
        /// What the session was doing.
        stage: Stage,
        /// Why.
        cause: LostCause,
    },
}

/// What the session was doing when something happened; when idle, what it did last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Waiting for the greeting.
    Greeting,
    /// EHLO, or HELO after EHLO was refused.
    Ehlo,
    /// STARTTLS and the handshake.
    StartTls,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, until 354.
    Data,
    /// Content, and the reply after the end of data.
    Message,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LostCause {
    /// The server said so: its greeting, EHLO or STARTTLS was not 2xx, or it said 421, or it refused in mid-content.
    #[error("the server said {0}")]
    Refused(Reply),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    HungUp,
    /// No reply in time.
    #[error("no reply in time")]
    TimedOut,
    /// What came is not an SMTP reply.
    #[error("malformed reply: {0}")]
    Malformed(&'static str),
    /// A line of a reply breaks a framing rule.
    #[error("{0} in a reply")]
    Framing(FramingError),
    /// A line of a reply is longer than any reply needs.
    #[error("reply line too long")]
    LineTooLong,
    /// A reply to nothing, or one that its command cannot have.
    #[error("a reply that nothing asked for")]
    Unsolicited,
    /// Octets in clear text after the 220 to STARTTLS: an attacker's, or a broken server's (CVE-2011-0411).
    #[error("clear text between the reply to STARTTLS and the handshake")]
    Injected,
    /// The TLS handshake failed; clear text would be a downgrade.
    #[error("the TLS handshake failed")]
    TlsFailed,
    /// The caller's content breaks a framing rule; its end was not sent.
    #[error("content with {0}")]
    Content(FramingError),
    /// The caller gave a command out of turn: a bug of ours.
    #[error("command out of turn")]
    OutOfTurn,
}
