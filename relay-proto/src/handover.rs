//! What two relays say to each other while one hands its queued mail over to the other: frames, without a socket.
//!
//! A frame is an octet that says what it is, its length as 32 bits, least octet first, and so many octets. The relay
//! that gives speaks first, and the two take turns:
//!
//! | giver | taker |
//! |---|---|
//! | [`Frame::Hello`] | [`Frame::Welcome`], or [`Frame::Refused`] and the end |
//! | [`Frame::Finished`] for each name that the welcome lists | |
//! | up to [`BATCH_MESSAGES`] times [`Frame::Message`] and its [`Frame::Content`], then [`Frame::Commit`] | [`Frame::Stored`] or [`Frame::NotStored`] for each, in order |
//! | [`Frame::Finished`] for each that was stored, and more messages | |
//! | [`Frame::Bye`] | [`Frame::Bye`] |
//!
//! Whoever has said *stored* has the message on its disk and delivers it; whoever has said *finished* has written down
//! that it does not. Between the two the taker remembers the name, and tells it in its next welcome: so the giver finds
//! out what became of a message whose answer it has not heard.
//!
//! *Hello*, *welcome* and *refused* keep their shape in all versions, so that any two relays can tell each other that
//! they do not understand each other.
//!
//! # Diagnostics
//! Returned: [`BadFrame`]. Text of the peer is cut and stripped of control characters where it is read.

mod octets;

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use bytes::Bytes;

use crate::queued::{QueueId, UnixMillis};

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The giver's first words.
    Hello(Hello),
    /// The taker's.
    Welcome(Welcome),
    /// The taker's last words: why there is no hand-over.
    Refused(String),
    /// A message; its content follows.
    Message(Handed),
    /// The next octets of the content, at most [`CONTENT_OCTETS`].
    Content(Bytes),
    /// The messages since the last one of these are to be stored.
    Commit,
    /// The message is durable here.
    Stored {
        /// Its name at the giver.
        id: QueueId,
        /// Its name at the taker.
        name: QueueId,
    },
    /// The message is not here, and the giver keeps it.
    NotStored {
        /// Its name at the giver.
        id: QueueId,
        /// What that means for others.
        why: Why,
        /// The same for people.
        text: String,
    },
    /// The giver has written down that this message is the taker's.
    Finished(QueueId),
    /// Nothing more follows.
    Bye,
}

/// Who gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Versions of this dialogue that it speaks.
    pub versions: RangeInclusive<u16>,
    /// The relay's name, for people.
    pub relay: String,
    /// Its spool, whose names are told from those of other spools by this.
    pub spool: SpoolName,
    /// Until when its queue was alive: attempts that were due before were made.
    pub tried_until: UnixMillis,
}

/// Who takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// The relay's name, for people.
    pub relay: String,
    /// Octets that its spool has room for.
    pub room_octets: u64,
    /// Names of messages of the giver's spool that are stored here and were not said to be finished there.
    pub kept: Vec<QueueId>,
}

/// A message, all of it but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Its name at the giver.
    pub id: QueueId,
    /// A person holds it.
    pub held: bool,
    /// Indices of its recipients that are done.
    pub done: Vec<u32>,
    /// Octets of the content.
    pub content_octets: u64,
    /// Its [`Queued`](crate::queued::Queued), as [`envelope`](crate::record::envelope) writes it.
    pub envelope: Bytes,
}

/// Why a message was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no room: others will not fit either.
    Full,
    /// It cannot be read here; others may be.
    Unreadable,
    /// The taker has failed at it.
    Failed,
}

/// Tells a spool from all others: 16 random octets, in hexadecimal digits for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolName(pub [u8; 16]);

/// Octets that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// A later version knows what it is.
    #[error("a frame of a later version (kind {0})")]
    Unknown(u8),
    /// It has something in it that must be understood.
    #[error("a frame with a field of a later version")]
    Newer,
    /// It is longer than any of its kind may be.
    #[error("a frame of {0} octets, which is too long")]
    TooLong(u32),
    /// It breaks the format.
    #[error("a malformed frame")]
    Malformed,
}

/// What stands in front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    kind: u8,
    octets: u32,
}

impl Hello {
    /// The latest version that this program and the giver speak; `None` = there is none.
    #[must_use]
    pub fn agree(&self) -> Option<u16> {
        let latest = (*self.versions.end()).min(*VERSIONS.end());
        let first = (*self.versions.start()).max(*VERSIONS.start());
        (first <= latest).then_some(latest)
    }
}

impl fmt::Display for SpoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Text that is no [`SpoolName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a spool: 32 hexadecimal digits")]
pub struct NotASpoolName;

impl FromStr for SpoolName {
    type Err = NotASpoolName;

    fn from_str(text: &str) -> Result<Self, NotASpoolName> {
        let digits = text.len() == 32 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok();
        let number = number.filter(|_| digits).ok_or(NotASpoolName)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// Versions of the dialogue that this program speaks.
pub const VERSIONS: RangeInclusive<u16> = 1..=1;
/// Octets of a [`Head`].
pub const HEAD_OCTETS: usize = 5;
/// Octets of one [`Frame::Content`] at most.
pub const CONTENT_OCTETS: u32 = 64 << 10;
/// Octets of an envelope that can be handed over: more than any session of ours can say.
pub const ENVELOPE_OCTETS: u32 = 8 << 20;
/// Messages between two [`Frame::Commit`].
pub const BATCH_MESSAGES: usize = 32;

#[cfg(test)]
mod tests;
