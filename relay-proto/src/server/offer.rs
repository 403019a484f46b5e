//! What the answer to EHLO offers, and what a client may say for it.
//!
//! The application decides at every EHLO, because what a message may need depends on where it goes. The
//! session then holds the client to it. PIPELINING, ENHANCEDSTATUSCODES and SIZE are the session's own, and
//! always there.

use crate::envelope::{BodyType, EhloName, Mail, Recipient, TlsTag};
use crate::limits::Limits;
use crate::sasl::Mechanism;

/// One EHLO or HELO.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// What the client calls itself.
    pub name: EhloName,
    /// It said EHLO.
    pub esmtp: bool,
    /// It said so under TLS.
    pub tls: bool,
}

/// The answer to one EHLO or HELO; it replaces the one before. After HELO the client may use no
/// parameters, whatever is offered, but the limit and STARTTLS hold.
///
/// The default offers nothing, and sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offer {
    /// SIZE: the largest content taken, in octets (RFC 1870). 0 = no limit.
    pub max_message_octets: u64,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030), without BINARYMIME.
    pub chunking: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207). Under TLS it is not offered again, whatever this says.
    pub starttls: bool,
    /// REQUIRETLS (RFC 8689). Only offered under TLS, whatever this says.
    pub require_tls: bool,
    /// LIMITS (RFC 9422). Beside what is said, [`Config`](super::Config) holds.
    pub limits: Limits,
    /// AUTH (RFC 4954), with all mechanisms of [`crate::sasl`]. Never without TLS, whatever this says.
    pub auth: bool,
}

impl Offer {
    /// The lines that follow our name in the answer to EHLO.
    pub(super) fn lines(&self, tls: bool) -> Vec<String> {
        let mut lines = vec![match self.max_message_octets {
            0 => "SIZE".to_owned(),
            limit => format!("SIZE {limit}"),
        }];
        let offered = [
            ("PIPELINING", true),
            ("8BITMIME", self.eight_bit_mime),
            ("SMTPUTF8", self.smtputf8),
            ("CHUNKING", self.chunking),
            ("DSN", self.dsn),
            ("ENHANCEDSTATUSCODES", true),
            // RFC 3207 section 4.2: not offered any more once it was used.
            ("STARTTLS", self.starttls && !tls),
            ("REQUIRETLS", self.require_tls && tls),
        ];
        let offered = offered.into_iter().filter(|(_, offered)| *offered);
        lines.extend(offered.map(|(keyword, _)| keyword.to_owned()));
        let limits = self.limits.parameters();
        lines.extend(limits.map(|parameters| format!("LIMITS {parameters}")));
        if self.auth && tls {
            let mechanisms = Mechanism::ALL.map(Mechanism::name);
            lines.push(format!("AUTH {}", mechanisms.join(" ")));
        }
        lines
    }

    /// The first parameter of MAIL that was not offered to a client that speaks TLS, or does not.
    pub(super) fn lacks(&self, mail: &Mail, tls: bool) -> Option<&'static str> {
        match mail.body {
            Some(BodyType::SevenBit | BodyType::EightBitMime) if !self.eight_bit_mime => {
                return Some("BODY");
            }
            Some(BodyType::SevenBit | BodyType::EightBitMime) | None => {}
        }
        let parameters = [
            ("SMTPUTF8", mail.smtputf8, self.smtputf8),
            ("RET", mail.ret.is_some(), self.dsn),
            ("ENVID", mail.envelope_id.is_some(), self.dsn),
            (
                "REQUIRETLS",
                mail.tls == TlsTag::Required,
                self.require_tls && tls,
            ),
            ("AUTH", mail.auth, self.auth),
        ];
        missing(parameters)
    }

    /// The first parameter of RCPT that was not offered.
    pub(super) fn lacks_for(&self, recipient: &Recipient) -> Option<&'static str> {
        let parameters = [
            ("NOTIFY", recipient.notify.is_some(), self.dsn),
            ("ORCPT", recipient.original.is_some(), self.dsn),
        ];
        missing(parameters)
    }

    /// Whether a transaction with so many recipients takes no more.
    pub(super) fn is_full_of(&self, recipients: usize) -> bool {
        let limit = self.limits.recipients.map(|limit| limit.get());
        limit.is_some_and(|limit| recipients >= usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Whether content of so many octets is too much.
    pub(super) fn is_exceeded_by(&self, octets: u64) -> bool {
        self.max_message_octets > 0 && octets > self.max_message_octets
    }
}

/// The first of (keyword, said, offered) that was said and not offered.
fn missing<const N: usize>(parameters: [(&'static str, bool, bool); N]) -> Option<&'static str> {
    let mut parameters = parameters.into_iter();
    let found = parameters.find(|(_, said, offered)| *said && !offered);
    found.map(|(keyword, _, _)| keyword)
}
