//! What a transaction says about its message, the same on the server's and the client's side.

use core::fmt;

use crate::address::{ForwardPath, ReversePath};

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
}

/// One `RCPT TO` command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// Where the message goes.
    pub forward_path: ForwardPath,
}

/// Value of `BODY=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// `7BIT`.
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
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
