//! What a mail server and a milter, a mail filter of Sendmail's kind, say to each other: frames, without a socket.
//!
//! A frame is its length as 32 bits, most octet first, a letter that says what it is, and what belongs to that; the
//! length counts the letter. The server speaks first, and each [`Command`] that wants an answer gets one before the next
//! is said:
//!
//! | server | filter |
//! |---|---|
//! | [`Command::Negotiate`], what it can do | [`Reply::Negotiate`], what of that is wanted ([`Terms::agree`]) |
//! | `Connect`, `Helo`, `Mail`, `Recipient` for each, `Data`, `Header` for each, `EndOfHeader`, `Body` in chunks | a verdict, or [`Reply::Continue`] |
//! | `EndOfBody` | any number of [`Reply::Change`] and [`Reply::Progress`], and the verdict |
//! | `Quit` | |
//!
//! In front of a command stand [`Command::Macros`] with what else is known. There is no RFC: what counts is what Sendmail's
//! library (versions 2 to 6 of the protocol) does, which most filters are linked with.
//!
//! # Diagnostics
//! Returned: [`BadFrame`], and [`Disagreement`] about what both sides can do.

mod octets;
mod section;
mod steps;

use core::net::IpAddr;
use std::ffi::CString;

use bytes::Bytes;

pub use octets::frame_octets;
pub use section::{Field, Section};
pub use steps::Steps;

/// What the mail server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What it can do.
    Negotiate(Terms),
    /// What is known beside the next command of this letter, by the names of Sendmail's macros: `j`, `{mail_addr}`.
    Macros {
        /// The letter of that command.
        of: u8,
        /// Names and values.
        values: Vec<(CString, CString)>,
    },
    /// A client has connected.
    Connect {
        /// Its name, or its address in brackets.
        name: CString,
        /// Its address.
        client: IpAddr,
        /// Its port, 0 if that is not known.
        port: u16,
    },
    /// What it calls itself.
    Helo(CString),
    /// The reverse-path in angle brackets, and the parameters of MAIL.
    Mail(Vec<CString>),
    /// A forward-path in angle brackets, and the parameters of RCPT.
    Recipient(Vec<CString>),
    /// The content begins.
    Data,
    /// One field of the header section.
    Header {
        /// What stands before the colon.
        name: CString,
        /// What stands behind it, lines separated by LF.
        value: CString,
    },
    /// No field follows.
    EndOfHeader,
    /// The next octets of the body, at most [`BODY_OCTETS`].
    Body(Bytes),
    /// Nothing of the message follows.
    EndOfBody,
    /// The message is not sent to its end.
    Abort,
    /// The server closes.
    Quit,
}

/// What the filter answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What it wants of what the server can do.
    Negotiate(Terms),
    /// Nothing against it so far.
    Continue,
    /// Nothing against it, and nothing more has to be shown.
    Accept,
    /// To be refused for good.
    Reject,
    /// To be refused for now.
    TempFail,
    /// To be taken, and dropped in silence.
    Discard,
    /// To be refused with this reply of SMTP, as `550 5.7.1 TEXT`.
    Code(CString),
    /// To be refused for now, and the connection closed.
    Shutdown,
    /// To be treated as if the connection had failed.
    ConnectionFailed,
    /// Nothing more of this kind has to be shown.
    Skip,
    /// It is still at work.
    Progress,
    /// To be taken, and kept until a person has looked; why.
    Quarantine(CString),
    /// Something of the message is to be changed.
    Change {
        /// What.
        kind: Change,
        /// And into what.
        octets: Bytes,
    },
}

/// What a filter wants changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// One recipient more.
    AddRecipient,
    /// One recipient more, with parameters.
    AddRecipientWith,
    /// One recipient less.
    DeleteRecipient,
    /// Another reverse-path.
    ChangeSender,
    /// A field at the end of the header section.
    AddHeader,
    /// A field somewhere in it.
    InsertHeader,
    /// A field's value, or that it goes.
    ChangeHeader,
    /// The next octets of another body.
    ReplaceBody,
}

/// What one side can do, or wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The version of the protocol.
    pub version: u32,
    /// Changes that the filter may ask for, as bits.
    pub actions: u32,
    /// What is shown and answered, and how.
    pub steps: Steps,
    /// Macros that the filter wants in place of the usual ones: a number that says where, and their names.
    pub macros: Vec<(u32, CString)>,
}

/// Why the two cannot talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The version is none of ours.
    #[error("version {0} of the protocol, of which {FIRST_VERSION} to {VERSION} are known here")]
    Version(u32),
    /// It wants what was not offered.
    #[error("steps of the protocol that were not offered ({0:#x})")]
    Steps(u32),
}

/// Octets that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It has not even a letter.
    #[error("a frame of no octets")]
    Empty,
    /// It is longer than any may be.
    #[error("a frame of {0} octets, which is too long")]
    TooLong(u32),
    /// The letter means nothing.
    #[error("an unknown frame ({:?})", char::from(*.0))]
    Unknown(u8),
    /// What stands behind the letter breaks the format.
    #[error("a malformed frame ({:?})", char::from(*.0))]
    Malformed(u8),
}

impl Terms {
    /// What a server says first that can do everything: many filters leave if a change that they might want is not
    /// offered, so all are, whatever becomes of them.
    #[must_use]
    pub fn offer() -> Self {
        Self {
            version: VERSION,
            actions: ALL_ACTIONS,
            steps: Steps::ALL,
            macros: Vec::new(),
        }
    }

    /// What both do from now on, by the filter's `answer` to this offer.
    pub fn agree(&self, answer: &Self) -> Result<(u32, Steps), Disagreement> {
        if !(FIRST_VERSION..=self.version).contains(&answer.version) {
            return Err(Disagreement::Version(answer.version));
        }
        // Each would wait for the other, or take one answer for another.
        let foreign = answer.steps.beyond(self.steps);
        if foreign != 0 {
            return Err(Disagreement::Steps(foreign));
        }
        Ok((answer.version, answer.steps))
    }
}

/// The latest version of the protocol.
pub const VERSION: u32 = 6;
/// The first one that is understood here.
pub const FIRST_VERSION: u32 = 2;
/// The first one that has [`Command::Data`].
pub const DATA_VERSION: u32 = 4;
/// Octets of one [`Command::Body`] at most; libmilter reads no frame that is longer.
pub const BODY_OCTETS: usize = 65_535;
/// Octets of a frame: the most that any filter can negotiate.
pub const FRAME_OCTETS: u32 = 1 << 20;
/// Every change that version 6 knows (`SMFIF_*`).
const ALL_ACTIONS: u32 = 0x1FF;

#[cfg(test)]
mod tests;
