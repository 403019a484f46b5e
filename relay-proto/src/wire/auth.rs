//! The SASL mechanism that AUTH names, and the responses of an exchange.
//!
//! What follows the mechanism may be a password. It is no part of a command, and only the session that has offered AUTH
//! reads it, by [`initial_response`]. A name that nobody registered is not kept either, because a client that forgets the
//! mechanism has its password in this place.

use core::fmt;

use data_encoding::BASE64;

use crate::sasl::Secret;

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

/// What a client may say instead of a response.
#[derive(Debug)]
pub(crate) enum Response {
    /// It answers with these octets.
    Octets(Secret),
    /// It gives up (RFC 4954 section 4).
    Cancelled,
    /// Not base64, or more than one word.
    Malformed,
}

/// The response in the line of AUTH itself, given without its CRLF; `None` if there is none.
pub(crate) fn initial_response(line: &[u8]) -> Option<Response> {
    let mut words = line
        .split(|octet| matches!(octet, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let response = words.nth(2)?;
    Some(match (response, words.next()) {
        (_, Some(_)) => Response::Malformed,
        // An empty one needs a form, to be told from none.
        (b"=", None) => Response::Octets(Secret(Vec::new())),
        (response, None) => decoded(response),
    })
}

/// The response that a whole line is, given without its CRLF.
pub(crate) fn response(line: &[u8]) -> Response {
    match line {
        b"*" => Response::Cancelled,
        line => decoded(line),
    }
}

fn decoded(text: &[u8]) -> Response {
    match BASE64.decode(text) {
        Ok(octets) => Response::Octets(Secret(octets)),
        // The error would tell an octet of it.
        Err(_what) => Response::Malformed,
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

    #[test]
    fn responses_are_strict_base64() {
        let said = |response| match response {
            None => "nothing".to_owned(),
            Some(Response::Octets(octets)) => format!("{:?}", octets.0.escape_ascii().to_string()),
            Some(Response::Cancelled) => "cancelled".to_owned(),
            Some(Response::Malformed) => "malformed".to_owned(),
        };
        for (line, expected) in [
            ("AUTH PLAIN", "nothing"),
            ("AUTH PLAIN ", "nothing"),
            ("AUTH PLAIN =", "\"\""),
            ("auth  plain  AGEAYg== ", "\"\\\\x00a\\\\x00b\""),
            ("AUTH PLAIN AGEAYg", "malformed"),
            ("AUTH PLAIN AGEAYh==", "malformed"),
            ("AUTH PLAIN AGEAYg== AGEAYg==", "malformed"),
            ("AUTH PLAIN *", "malformed"),
        ] {
            assert_eq!(said(initial_response(line.as_bytes())), expected, "{line}");
        }
        for (line, expected) in [
            ("", "\"\""),
            ("YQ==", "\"a\""),
            ("*", "cancelled"),
            ("=", "malformed"),
            (" YQ==", "malformed"),
        ] {
            assert_eq!(said(Some(response(line.as_bytes()))), expected, "{line}");
        }
    }
}
