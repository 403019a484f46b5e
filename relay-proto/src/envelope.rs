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
    /// What its sender asks of TLS on all of its way.
    pub tls: TlsTag,
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

/// What the sender of a message asks of TLS on all of its way (RFC 8689 section 4.1 calls it a tag).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsTag {
    /// Nothing: what the recipients' domains want is what counts.
    #[default]
    None,
    /// MAIL said REQUIRETLS: no hop without TLS to a server whose name is authenticated, and which does likewise.
    Required,
    /// The header says `TLS-Required: No`: rather without TLS than not at all. MAIL never says this; whoever has seen the
    /// header sets it.
    Optional,
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
            tls: TlsTag::None,
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
            tls,
            auth,
        } = self;
        let for_notifications = ret.is_some() || envelope_id.is_some();
        let for_tls = *tls == TlsTag::Required;
        size.is_some() || body.is_some() || *smtputf8 || for_notifications || for_tls || *auth
    }

    /// Whether it may only go where REQUIRETLS is kept. A notification asks for that, too, but is not lost for want of it
    /// (RFC 8689 section 5).
    #[must_use]
    pub fn insists_on_tls(&self) -> bool {
        self.tls == TlsTag::Required && self.reverse_path != ReversePath::Null
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
