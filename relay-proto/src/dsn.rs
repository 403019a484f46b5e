//! Delivery status notifications (RFC 3464): when one is due, and its octets.
//!
//! [`Notice::of_the_end`] and [`Notice::of_delay`] judge what of a message's attempts its sender is told, by NOTIFY and by
//! whether the sender may be told at all; [`Notice::compose`] writes the notification, for all recipients of
//! the message in one. The caller gives it the head of the message ([`Head`]), the time, and how a moment is written.
//!
//! What a notification quotes of the message is its header and never its content, also where the sender asked
//! for `RET=FULL`: nobody who forges a sender can make the relay carry a text to somebody. Whatever a peer
//! chose (names, addresses, replies, header fields) can neither end a line, nor open a field or a part of its
//! own.

mod compose;
mod encode;
mod head;
mod human;
mod rules;
mod status;
mod text;

use crate::address::Mailbox;
use crate::envelope::Recipient;
use crate::queued::{Cause, Queued, Remote, UnixMillis};
use crate::reply::Reply;
pub use head::Head;
pub use rules::{Untold, delay_is_due};

/// What became of a recipient, as RFC 3464 section 2.3.3 calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It will not have its message.
    Failed,
    /// It does not have its message yet; nothing needs to be done.
    Delayed {
        /// When the relay would give up.
        until: UnixMillis,
    },
    /// It has its message.
    Delivered,
    /// Its server has the message, and will not send notifications itself.
    Relayed,
    /// Its server has the message for more than one mailbox.
    Expanded,
}

/// What one recipient's part of a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Who.
    pub recipient: &'a Recipient,
    /// What.
    pub action: Action,
    /// Why, or by whose word.
    pub words: Words<'a>,
    /// Whose word that is.
    pub remote: Option<&'a Remote>,
}

/// The reason of a [`Told`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words<'a> {
    /// Its server has the message and said this.
    Taken(&'a Reply),
    /// The reason of this attempt is final.
    Final(&'a Cause),
    /// The reason of the last attempt is not final, but no other attempt was, or will be, made in time.
    NotYet(&'a Cause),
}

/// A notification that is due: for one message, about at least one recipient.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    queued: &'a Queued,
    /// Where it goes.
    sender: &'a Mailbox,
    /// Never empty.
    told: Vec<Told<'a>>,
}

/// Who reports.
#[derive(Clone, Debug)]
pub struct Reporter<'a> {
    /// Our name, a domain name.
    pub hostname: &'a str,
    /// Who runs this; printable ASCII without `(`, `)` and `\`.
    pub operator: &'a str,
    /// Where a sender reads on.
    pub help_url: &'a str,
    /// The notification's own sender in `From`: an ASCII mailbox without brackets.
    pub from: &'a str,
}

/// A notification's octets, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// Header and body; whole lines ending in CRLF, none longer than 998 octets without it.
    pub octets: Vec<u8>,
    /// The sender's own address is not ASCII, and neither are these octets: they can only be sent with SMTPUTF8 (RFC
    /// 6533). What goes to an ASCII address is 7-bit, which every server takes.
    pub smtputf8: bool,
}

impl<'a> Notice<'a> {
    /// Its recipients, in the order of the message's.
    #[must_use]
    pub fn told(&self) -> &[Told<'a>] {
        &self.told
    }

    /// Whom it is for.
    #[must_use]
    pub fn sender(&self) -> &'a Mailbox {
        self.sender
    }
}

#[cfg(test)]
mod tests;
