//! Reverse-paths and forward-paths of RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531.
//!
//! A path keeps the octets of its local part and its domain as the client wrote them, because only the
//! destination may interpret a local part. A source route is read and dropped (RFC 5321 appendix C),
//! so it is never emitted again. In two places more is taken than the grammar allows, because real
//! mailboxes have it and the destination is the one to judge: dots anywhere in a local part, and
//! underscores in a domain.
//!
//! # Diagnostics
//! [`AddressError`] says which rule the peer broke; it never quotes what the peer sent.

mod parse;

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

pub(crate) use parse::Cursor;

/// Where a bounce would go: the argument of `MAIL FROM:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nobody; what bounces and other notices carry.
    Null,
    /// `<local@domain>`.
    Mailbox(Mailbox),
}

/// Where the message goes: the argument of `RCPT TO:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, which RFC 5321 section 4.5.1 demands of every server.
    Postmaster,
    /// `<local@domain>`.
    Mailbox(Mailbox),
}

/// `local@domain`, at most 254 octets, the local part at most 64, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local_part: String,
    domain: Domain,
}

/// What follows the `@` of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// A domain name.
    Name(DomainName),
    /// `[192.0.2.1]`.
    Ipv4(Ipv4Addr),
    /// `[IPv6:2001:db8::1]`.
    Ipv6(Ipv6Addr),
}

/// A domain name as written: A-labels, or U-labels under SMTPUTF8; 1 to 255 octets, labels of 1 to 63.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DomainName(String);

/// The rule that a path breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AddressError {
    /// No `<` and `>` around it.
    #[error("the address must stand in angle brackets")]
    Brackets,
    /// `<>` where somebody must be named.
    #[error("the address is empty")]
    Empty,
    /// The source route before the mailbox.
    #[error("the source route is malformed")]
    SourceRoute,
    /// What stands before the `@`.
    #[error("the part before the @ is malformed")]
    LocalPart,
    /// No `@`.
    #[error("the address needs a domain")]
    NoDomain,
    /// What stands after the `@`.
    #[error("the domain is malformed")]
    Domain,
    /// What stands in `[` and `]`.
    #[error("the address literal is neither IPv4 nor IPv6")]
    Literal,
    /// More than 64, 255 or 254 octets (RFC 5321 section 4.5.3.1).
    #[error("the address is too long")]
    TooLong,
}

impl Mailbox {
    /// The local part as the client wrote it, with its quotes if it had them.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// The domain or address literal.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether it can be said without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local_part.is_ascii()
            && match &self.domain {
                Domain::Name(name) => name.0.is_ascii(),
                Domain::Ipv4(_) | Domain::Ipv6(_) => true,
            }
    }
}

impl DomainName {
    /// The name as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReversePath {
    /// The mailbox, if it names one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether it can be said without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

impl ForwardPath {
    /// The mailbox, unless it is the postmaster without a domain.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Postmaster => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether it can be said without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// Reads the form on the wire, in angle brackets, and nothing after it.
impl FromStr for ReversePath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut cursor = Cursor::new(text);
        let path = cursor.reverse_path()?;
        cursor.expect_end().map(|()| path)
    }
}

/// Reads the form on the wire, in angle brackets, and nothing after it.
impl FromStr for ForwardPath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut cursor = Cursor::new(text);
        let path = cursor.forward_path()?;
        cursor.expect_end().map(|()| path)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&name.0),
            Self::Ipv4(address) => write!(f, "[{address}]"),
            Self::Ipv6(address) => write!(f, "[IPv6:{address}]"),
        }
    }
}

/// `local@domain`, without brackets.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

/// As on the wire, in angle brackets.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// As on the wire, in angle brackets.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<postmaster>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// RFC 5321 section 4.5.3.1.1.
const MAX_LOCAL_PART_OCTETS: usize = 64;
/// RFC 5321 section 4.5.3.1.2.
const MAX_DOMAIN_OCTETS: usize = 255;
/// RFC 5321 section 4.5.3.1.3: a path is at most 256 octets, its brackets included.
const MAX_MAILBOX_OCTETS: usize = 254;
/// RFC 1035 section 2.3.4.
const MAX_LABEL_OCTETS: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    /// `Ok` = what is emitted again.
    fn forward(text: &str) -> Result<String, AddressError> {
        text.parse::<ForwardPath>().map(|path| path.to_string())
    }

    #[test]
    fn paths_are_read_and_said_again() {
        let long_local = format!("<{}@example.net>", "a".repeat(64));
        let long_label = format!("<a@{}.example.net>", "b".repeat(63));
        let long_mailbox = format!("<ab@{}>", vec!["b".repeat(62); 4].join("."));
        let same = [
            "<user@example.net>",
            "<user@localhost>",
            "<user+tag=x@example.net>",
            "<first..last.@example.net>",
            "<a@under_score.example.net>",
            "<\"quoted string\"@example.net>",
            "<\"a>b\\\"c\\\\d\"@example.net>",
            "<\"\"@example.net>",
            "<a@[192.0.2.1]>",
            "<a@[IPv6:2001:db8::1]>",
            "<grün@müller.example>",
            "<用户@例え.テスト>",
            &long_local,
            &long_label,
            &long_mailbox,
        ];
        for text in same {
            assert_eq!(forward(text).as_deref(), Ok(text));
        }
        let other = [
            ("<POSTMASTER>", "<postmaster>"),
            ("<Postmaster@example.net>", "<Postmaster@example.net>"),
            ("<@a.example,@b.example:c@d.example>", "<c@d.example>"),
            ("<@[192.0.2.1]:c@d.example>", "<c@d.example>"),
            ("<a@[ipv6:2001:DB8:0:0::1]>", "<a@[IPv6:2001:db8::1]>"),
        ];
        for (text, said) in other {
            assert_eq!(forward(text).as_deref(), Ok(said), "{text}");
        }
    }

    #[test]
    fn malformed_paths_are_refused_by_the_rule_they_break() {
        use AddressError::*;
        let long_local = format!("<{}@example.net>", "a".repeat(65));
        let long_name = format!("<abc@{}>", vec!["b".repeat(62); 4].join("."));
        let longer_name = format!("<a@{}>", vec!["b".repeat(63); 4].join(".") + ".c");
        let long_label = format!("<a@{}.net>", "b".repeat(64));
        let cases = [
            ("", Brackets),
            ("a@example.net", Brackets),
            ("<a@example.net", Brackets),
            ("<a@example.net>x", Brackets),
            ("<a@example.net>>", Brackets),
            ("<>", Empty),
            ("<a>", NoDomain),
            ("<postmaster@>", Domain),
            ("<@>", SourceRoute),
            ("<@a.example c@d.example>", SourceRoute),
            ("<@example.net>", SourceRoute),
            ("<a b@example.net>", LocalPart),
            ("<a(c)@example.net>", LocalPart),
            ("<\"a@example.net>", LocalPart),
            ("<\"a\"b@example.net>", NoDomain),
            ("<\"a\tb\"@example.net>", LocalPart),
            ("<\"a\u{7f}b\"@example.net>", LocalPart),
            ("<a\u{85}b@example.net>", LocalPart),
            ("<a@.example.net>", Domain),
            ("<a@example..net>", Domain),
            ("<a@example.net.>", Domain),
            ("<a@-example.net>", Domain),
            ("<a@example-.net>", Domain),
            ("<a@b@c>", Domain),
            ("<a@exa mple.net>", Domain),
            ("<a@exa\u{9f}mple.net>", Domain),
            ("<a@[192.0.2.256]>", Literal),
            ("<a@[2001:db8::1]>", Literal),
            ("<a@[IPv6:192.0.2.1]>", Literal),
            ("<a@[tag:content]>", Literal),
            ("<a@[192.0.2.1>", Literal),
            (&long_local, TooLong),
            (&long_name, TooLong),
            (&longer_name, TooLong),
            (&long_label, TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(forward(text), Err(error), "{text}");
        }
    }

    #[test]
    fn only_a_reverse_path_may_be_null() {
        assert_eq!("<>".parse(), Ok(ReversePath::Null));
        assert_eq!(
            "<postmaster>".parse::<ReversePath>(),
            Err(AddressError::NoDomain)
        );
    }

    #[test]
    fn only_ascii_paths_do_without_smtputf8() {
        for (text, ascii) in [
            ("<a@b>", true),
            ("<ä@b>", false),
            ("<a@ö>", false),
            ("<a@[192.0.2.1]>", true),
        ] {
            let forward: ForwardPath = text.parse().unwrap();
            let reverse: ReversePath = text.parse().unwrap();
            assert_eq!((forward.is_ascii(), reverse.is_ascii()), (ascii, ascii));
        }
    }
}
