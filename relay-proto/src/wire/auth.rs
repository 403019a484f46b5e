//! The SASL mechanism that AUTH names, and nothing else of AUTH.
//!
//! What follows the mechanism may be a password. It is not kept, and a name that nobody registered is not
//! kept either, because a client that forgets the mechanism has its password in this place.

use core::fmt;

/// A mechanism of RFC 4422, or one that is widely used; its name is ours, never the client's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mechanism(&'static str);

impl Mechanism {
    /// The mechanism of this name, in any case; [`Self::UNREGISTERED`] if there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name));
        known.map_or(Self::UNREGISTERED, |known| Self(known))
    }

    /// Its name, in upper case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Any other mechanism.
    pub const UNREGISTERED: Self = Self("unregistered");
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const KNOWN: [&str; 17] = [
    "ANONYMOUS",
    "CRAM-MD5",
    "DIGEST-MD5",
    "EXTERNAL",
    "GSS-SPNEGO",
    "GSSAPI",
    "KERBEROS_V4",
    "LOGIN",
    "NTLM",
    "OAUTHBEARER",
    "PLAIN",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512",
    "XOAUTH2",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_names_are_kept() {
        for (name, kept) in [
            ("PLAIN", "PLAIN"),
            ("scram-sha-256", "SCRAM-SHA-256"),
            ("hunter2", "unregistered"),
            ("PLAIN=", "unregistered"),
            ("", "unregistered"),
        ] {
            assert_eq!(Mechanism::named(name).to_string(), kept);
        }
    }
}
