//! Server side of one SMTP session, without a socket or a clock.
//!
//! The caller feeds octets in with [`Session::receive`] and the time with [`Session::expire`], then drains
//! [`Session::poll`] until it returns `None`. [`Action::Ask`] opens the one question at a time; the session
//! goes on after [`Session::answer`]. While a question is open later input is kept, not acted on, and
//! [`Session::wants_input`] says for how long: the caller reads no more once it is false.
//!
//! Every transaction whose MAIL the application answered 2xx ends in exactly one of: [`Question::Message`],
//! [`Action::Aborted`], the application's refusal as its answer to [`Question::Data`], or its own
//! [`Answer::ReplyAndClose`].
//!
//! # What it refuses
//! Bare CR, bare LF and NUL in a command close the session. Bare CR, bare LF and a lone dot beside NUL in
//! content have the message refused with 554 at its true end, and then close it, see `content.rs` for why;
//! in a chunk at the chunk's end, and do not, see `content/chunks.rs`. Octets in clear text after STARTTLS
//! close it too. AUTH is offered only if the application wants it, and under TLS alone; whoever says it where it was not
//! offered is answered by the application, which learns the mechanism and nothing else. EXPN and ETRN are answered 502, and so is BDAT, which closes, unless
//! it is offered.
//!
//! # What it costs
//! A session holds at most [`MAX_HELD_OCTETS`] for its peer, the last piece it was given and the last reply
//! of the application: [`Session::held_octets`].
//!
//! # Diagnostics
//! Nothing that a client sends panics or is returned as an error: it is answered. An answer of the
//! application that its question does not allow becomes `451 4.3.0`; an answer without a question is ignored.

mod config;
mod content;
mod offer;
mod outbox;
mod replies;
mod session;

use bytes::Bytes;

pub use crate::envelope::{BodyType, EhloName, Mail, Recipient};
use crate::reply::Reply;
pub use crate::sasl::{Claim, Evidence, Keys, UserName};
pub use crate::wire::auth::Mechanism;
use crate::wire::line::FramingError;
pub use config::{Config, ContentLimits, EarlyTalk, MinimumRate, Pregreet, Stress, Timeouts};
pub use offer::{Hello, Offer};
pub use session::{MAX_HELD_OCTETS, Session};

/// What the caller must do next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these octets to the client.
    Send(Bytes),
    /// Start the TLS handshake as server, then call [`Session::tls_started`]; if it fails, drop the connection.
    StartTls,
    /// Decide, then call [`Session::answer`].
    Ask(Question),
    /// Content of the message, without what DATA or BDAT put around it; every line ends in CRLF. At most
    /// 64 KiB.
    Body(Bytes),
    /// The transaction has ended without [`Question::Message`]: forget it. The session has its own
    /// reply, if there is anybody to hear it.
    Aborted(Abort),
    /// Close the connection; nothing follows.
    Close,
}

/// Why a transaction ended before its message was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abort {
    /// RSET, another EHLO or HELO, STARTTLS.
    Reset,
    /// QUIT.
    Quit,
    /// The client closed the connection.
    HangUp,
    /// The client was silent for too long.
    Timeout,
    /// The content broke a framing rule; it is refused.
    Framing(FramingError),
    /// The content is larger than [`Offer::max_message_octets`]; it is refused.
    TooLarge,
    /// A line of the content is longer than [`ContentLimits::max_line_octets`]; it is refused.
    LineTooLong,
    /// The content has more than [`ContentLimits::max_received`] fields of that name; it is refused.
    Loop,
    /// Over what the client did: too many errors or commands, another protocol, BDAT without recipients.
    Violation,
}

/// What only the application can decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// EHLO or HELO: what is offered? [`Answer::Offer`], or a 4xx or 5xx reply. A transaction that was open
    /// has been aborted; after a refusal the client's earlier EHLO still stands.
    Hello(Hello),
    /// AUTH, or something on its way.
    Auth(Auth),
    /// MAIL: shall a transaction begin? A 2xx reply begins it.
    Mail(Mail),
    /// RCPT: is this recipient taken? A 2xx reply takes it.
    Recipient(Recipient),
    /// DATA or the first BDAT, with at least one recipient taken: [`Answer::Proceed`] takes the content, a 4xx
    /// or 5xx reply ends the transaction.
    Data,
    /// The message has been received whole; the answer is the final reply, and the transaction is over.
    Message,
}

/// What only the application can decide about who a client is. Every refusal counts as an error of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// AUTH was said and not offered: a 4xx or 5xx reply.
    NotOffered(Mechanism),
    /// By what does this user show itself? [`Answer::Keys`], for a user that is unknown, too; or a 4xx or 5xx reply.
    Keys(UserName),
    /// Is it so? 235 lets the user in, until the session ends; or a 4xx or 5xx reply.
    Claim(Claim),
}

/// The application's answer to the open question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Say this.
    Reply(Reply),
    /// Say this and close.
    ReplyAndClose(Reply),
    /// For [`Question::Hello`] alone: say 250, and what is offered.
    Offer(Offer),
    /// For [`Question::Data`] alone: take the content.
    Proceed,
    /// For [`Auth::Keys`] alone: these.
    Keys {
        /// The user's keys, or some that nothing was made of.
        keys: Keys,
        /// Visible ASCII without commas, never used before, and not to be guessed; at most 64 octets.
        nonce: String,
    },
}
