//! Where a session stands.

use super::Discard;
use crate::sasl::Exchange;
use crate::server::content::{Chunk, Chunks, Content};
use crate::server::{Hello, Offer, UserName};

/// Whom the session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    /// A health check.
    Probe,
    /// A client that was refused by the greeting, and may say QUIT.
    Refused,
}

#[derive(Debug)]
pub(super) enum State {
    /// Waiting for the time of the greeting.
    Pregreet,
    /// Waiting for a command, outside a transaction.
    Idle,
    /// Waiting for a response, on the way of AUTH.
    Authenticating(Box<Exchange>),
    /// Waiting for a command, inside a transaction.
    Envelope(Transaction),
    /// Waiting for the application's word.
    Asked(Asked),
    /// After 354.
    Content(Content),
    /// After BDAT.
    Chunk(Chunks),
    /// Waiting for a command, with more chunks to come.
    BetweenChunks(Chunks),
    /// After BDAT that is refused.
    Discard(Discard),
    /// Waiting for [`super::Session::tls_started`].
    Handshake,
    Closed,
}

/// What the application is asked about.
#[derive(Debug)]
pub(super) enum Asked {
    Hello(Hello),
    /// AUTH, which is not offered.
    Auth,
    Keys(Box<Exchange>),
    Claim(UserName),
    Mail(Transaction),
    Recipient(Transaction),
    /// With the first chunk, if it was BDAT.
    Data(Transaction, Option<Chunk>),
    Message(Transaction),
}

/// The last EHLO or HELO that was answered, and how.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) hello: Hello,
    pub(super) offer: Offer,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Transaction {
    pub(super) utf8: bool,
    pub(super) recipients: usize,
}

impl State {
    /// Whether the application believes in a transaction.
    pub(super) fn is_believed_open(&self) -> bool {
        match self {
            Self::Envelope(_) | Self::Asked(Asked::Recipient(_) | Asked::Data(..)) => true,
            Self::Content(content) => content.is_good(),
            Self::Chunk(_) | Self::BetweenChunks(_) => true,
            // Of MAIL the application has said nothing yet; of the message it says the last word itself.
            Self::Asked(Asked::Mail(_) | Asked::Message(_)) => false,
            Self::Asked(Asked::Hello(_) | Asked::Auth | Asked::Keys(_) | Asked::Claim(_)) => false,
            Self::Pregreet
            | Self::Idle
            | Self::Authenticating(_)
            | Self::Discard(_)
            | Self::Handshake
            | Self::Closed => false,
        }
    }
}

impl Transaction {
    pub(super) fn new(utf8: bool) -> Self {
        Self {
            utf8,
            recipients: 0,
        }
    }
}
