//! What a server offers in its answer to EHLO (RFC 5321 section 4.1.1.1).

use crate::limits::Limits;
use crate::reply::Reply;

/// What the server offered in its last answer to EHLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extensions {
    /// STARTTLS; false once it was used.
    pub starttls: bool,
    /// SIZE, and its limit in octets if it named one (0 names none, RFC 1870 section 4).
    pub size: Option<Option<u64>>,
    /// PIPELINING.
    pub pipelining: bool,
    /// 8BITMIME.
    pub eight_bit_mime: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// ENHANCEDSTATUSCODES.
    pub enhanced_status_codes: bool,
    /// CHUNKING. This client does not use it: DATA goes everywhere.
    pub chunking: bool,
    /// DSN.
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689), under TLS: in clear text it means nothing.
    pub require_tls: bool,
    /// LIMITS (RFC 9422).
    pub limits: Limits,
}

impl Extensions {
    /// Reads the answer to EHLO: after the first line, one extension a line. Unknown ones are passed over.
    #[must_use]
    pub fn read(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default();
            match keyword.to_ascii_uppercase().as_str() {
                "STARTTLS" => extensions.starttls = true,
                "SIZE" => {
                    let limit = words.next().and_then(|limit| limit.parse().ok());
                    extensions.size = Some(limit.filter(|&limit| limit > 0));
                }
                "PIPELINING" => extensions.pipelining = true,
                "8BITMIME" => extensions.eight_bit_mime = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "CHUNKING" => extensions.chunking = true,
                "DSN" => extensions.dsn = true,
                "REQUIRETLS" => extensions.require_tls = true,
                "LIMITS" => extensions.limits = extensions.limits.least(Limits::read(words)),
                "ENHANCEDSTATUSCODES" => extensions.enhanced_status_codes = true,
                _ => {}
            }
        }
        extensions
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;

    #[test]
    fn the_answer_to_ehlo_is_read_line_by_line() {
        let all = "mx STARTTLS\nSIZE 1000\npipelining\n8BITMIME\nSMTPUTF8\nX-UNKNOWN 1\nENHANCEDSTATUSCODES\nSTARTTLS\nCHUNKING\nDSN\nRequireTLS\nLIMITS RCPTMAX=20 X=1\nLIMITS MAILMAX=3";
        let read = Extensions::read(&Reply::plain(250, all));
        let expected = Extensions {
            starttls: true,
            size: Some(Some(1000)),
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            enhanced_status_codes: true,
            chunking: true,
            dsn: true,
            require_tls: true,
            limits: Limits {
                mails: NonZeroU32::new(3),
                recipients: NonZeroU32::new(20),
                recipient_domains: None,
            },
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn the_first_line_and_odd_limits_offer_nothing() {
        let cases = [
            ("STARTTLS", None),
            ("mx\nSIZE", Some(None)),
            ("mx\nSIZE 0", Some(None)),
            ("mx\nSIZE many", Some(None)),
            ("mx\nSIZE=7", None),
        ];
        for (text, size) in cases {
            let expected = Extensions {
                size,
                ..Extensions::default()
            };
            assert_eq!(
                Extensions::read(&Reply::plain(250, text)),
                expected,
                "{text}"
            );
        }
    }
}
