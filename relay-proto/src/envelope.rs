//! What a transaction says about its message, the same on the server's and the client's side.

mod dsn;

use core::fmt;

use crate::address::{ForwardPath, ReversePath};
pub(crate) use dsn::is_xtext;
pub use dsn::{EnvelopeId, Malformed, Notify, OriginalRecipient, Ret};

/// The argument of EHLO or HELO: what the client calls itself. Never verified (RFC 5321 section 4.1.4),
/// only printable: 1 to 255 octets of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EhloName(String);

/// One `MAIL FROM` command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mail {
    /// Where a bounce would go.
    pub reverse_path: ReversePath,
    /// Octets that the client declared (RFC 1870).
    pub size: Option<u64>,
    /// What the client declared about the content (RFC 6152).
    pub body: Option<BodyType>,
    /// The client asked for internationalised mail (RFC 6531).
    pub smtputf8: bool,
    /// What a notification of failure shall quote (RFC 3461).
    pub ret: Option<Ret>,
    /// The client's own name of the transaction, for notifications (RFC 3461).
    pub envelope_id: Option<EnvelopeId>,
    /// The client said on whose behalf it sends (`AUTH=`, RFC 4954 section 5). Whom it named is not kept: nobody here
    /// trusts another server's word for it, and it is never passed on.
    pub auth: bool,
}

/// One `RCPT TO` command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// Where the message goes.
    pub forward_path: ForwardPath,
    /// When the sender wants to be told (RFC 3461).
    pub notify: Option<Notify>,
    /// To whom the message went before it was forwarded (RFC 3461).
    pub original: Option<OriginalRecipient>,
}

/// Value of `BODY=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// `7BIT`.
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
}

impl Mail {
    /// MAIL without parameters.
    #[must_use]
    pub fn new(reverse_path: ReversePath) -> Self {
        Self {
            reverse_path,
            size: None,
            body: None,
            smtputf8: false,
            ret: None,
            envelope_id: None,
            auth: false,
        }
    }

    /// Whether it has any parameter.
    #[must_use]
    pub fn has_parameters(&self) -> bool {
        let Self {
            reverse_path: _,
            size,
            body,
            smtputf8,
            ret,
            envelope_id,
            auth,
        } = self;
        let of_notifications = ret.is_some() || envelope_id.is_some();
        size.is_some() || body.is_some() || *smtputf8 || of_notifications || *auth
    }
}

impl Recipient {
    /// RCPT without parameters.
    #[must_use]
    pub fn new(forward_path: ForwardPath) -> Self {
        Self {
            forward_path,
            notify: None,
            original: None,
        }
    }

    /// Whether it can be said without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        let original = self.original.as_ref();
        self.forward_path.is_ascii() && original.is_none_or(OriginalRecipient::is_ascii)
    }
}

impl EhloName {
    /// `None` unless `name` is 1 to 255 octets of visible ASCII.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=255).contains(&name.len()) && name.bytes().all(|o| o.is_ascii_graphic());
        fits.then(|| Self(name.to_owned()))
    }

    /// The name as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EhloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
