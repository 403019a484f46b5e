//! What a domain publishes about where it wants reports: its TXT record at `_smtp._tls` (RFC 8460 section 3). Pure.
//!
//! A record that is not of this syntax is none: its owner sees at once that nothing comes, and nothing goes to where nobody
//! has asked for it.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use relay_proto::address::{Domain, ForwardPath, Mailbox};

use crate::dns::DnsName;

/// Where a report is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A mailbox.
    Mail(Mailbox),
    /// An HTTPS server.
    Https {
        /// Its name.
        host: DnsName,
        /// Path and query.
        target: String,
    },
}

/// Where the domain with these TXT records wants reports; empty if nowhere that can be reached.
pub(super) fn endpoints<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Vec<Endpoint> {
    let mut ours = texts.filter_map(|text| {
        let text = std::str::from_utf8(text).ok()?;
        let rest = text.strip_prefix(VERSION)?;
        rest.trim_start_matches(WSP)
            .starts_with(';')
            .then_some(rest)
    });
    // RFC 8460 section 3: with more than one, the domain is taken not to want any.
    match (ours.next(), ours.next()) {
        (Some(fields), None) => read(fields).unwrap_or_default(),
        (Some(_), Some(_)) | (None, _) => Vec::new(),
    }
}

/// The fields behind the version.
fn read(fields: &str) -> Option<Vec<Endpoint>> {
    let mut endpoints = None;
    let mut fields = fields.split(';').map(|field| field.trim_matches(WSP));
    // What is before the first delimiter.
    fields.next().filter(|nothing| nothing.is_empty())?;
    let mut fields = fields.peekable();
    while let Some(field) = fields.next() {
        if field.is_empty() {
            // Only the last delimiter may have nothing behind it.
            return fields.peek().is_none().then_some(endpoints).flatten();
        }
        let (name, value) = field.split_once('=')?;
        if !is_name(name) {
            return None;
        }
        if name == "rua" {
            if endpoints.is_some() {
                return None;
            }
            let uris = value.split(',').map(|uri| uri.trim_matches(WSP));
            let uris: Option<Vec<&str>> = uris.map(|uri| is_uri(uri).then_some(uri)).collect();
            let known = uris?.into_iter().filter_map(Endpoint::of);
            endpoints = Some(known.take(ENDPOINTS_MAX).collect());
        } else if !is_value(value) {
            return None;
        }
    }
    endpoints
}

impl Endpoint {
    /// What the URI names, if it can be reached: by other schemes, on other ports or by a user's name nothing is.
    pub(super) fn of(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        if scheme.eq_ignore_ascii_case("mailto") {
            // What follows is about a form that a person would fill in (RFC 6068).
            let address = rest.split('?').next()?;
            let path = format!("<{}>", decoded(address)?);
            return match path.parse() {
                Ok(ForwardPath::Mailbox(mailbox))
                    if mailbox.is_ascii() && matches!(mailbox.domain(), Domain::Name(_)) =>
                {
                    Some(Self::Mail(mailbox))
                }
                Ok(_) | Err(_) => None,
            };
        }
        if !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let uri: hyper::Uri = uri.parse().ok()?;
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.port_u16().is_some_and(|port| port != 443)
        {
            return None;
        }
        let host = DnsName::new(authority.host()).ok()?;
        // Numbers alone are an address, for which nobody certifies anything.
        let last = host.as_str().rsplit('.').next()?;
        if last.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Some(Self::Https {
            host,
            target: target.to_owned(),
        })
    }
}

/// As the domain would write it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(mailbox) => {
                f.write_str("mailto:")?;
                for octet in mailbox.to_string().bytes() {
                    if octet.is_ascii_alphanumeric() || b"@.-_+".contains(&octet) {
                        write!(f, "{}", char::from(octet))?;
                    } else {
                        write!(f, "%{octet:02X}")?;
                    }
                }
                Ok(())
            }
            Self::Https { host, target } => write!(f, "https://{host}{target}"),
        }
    }
}

/// `%40` and the like; `None` if it is not ASCII then.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet == b'%' {
            let digits = [rest.next()?, rest.next()?];
            octets.extend(HEXLOWER_PERMISSIVE.decode(&digits).ok()?);
        } else {
            octets.push(octet);
        }
    }
    let text = String::from_utf8(octets).ok()?;
    text.is_ascii().then_some(text)
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && name.len() <= 32 && chars.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && c != '=')
}

/// As far as it matters: what a URI may consist of, without what must be encoded here.
fn is_uri(uri: &str) -> bool {
    let fits = |c: char| c.is_ascii_graphic() && !"!\"<>\\^`{|}".contains(c);
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric()))
        && uri.chars().all(fits)
}

const VERSION: &str = "v=TLSRPTv1";
const WSP: [char; 2] = [' ', '\t'];
/// Each costs a report a day.
const ENDPOINTS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wanted(texts: &[&str], expected: &[&str]) {
        let found = endpoints(texts.iter().map(|text| text.as_bytes()));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{texts:?}");
    }

    #[test]
    fn records_of_the_rfc_are_read() {
        let mail = "mailto:reports@example.com";
        wanted(&["v=TLSRPTv1;rua=mailto:reports@example.com"], &[mail]);
        wanted(&["v=TLSRPTv1; rua=mailto:reports@example.com;"], &[mail]);
        wanted(
            &["v=TLSRPTv1 ;\trua=mailto:reports@example.com ; "],
            &[mail],
        );
        wanted(
            &["v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt?a=b"],
            &["https://reporting.example.com/v1/tlsrpt?a=b"],
        );
        wanted(
            &["v=TLSRPTv1; x-1=y; rua=mailto:a@example.com , https://Example.com;z=1"],
            &["mailto:a@example.com", "https://example.com/"],
        );
        // Others beside it are none of ours.
        wanted(
            &["v=spf1 -all", "v=TLSRPTv1;rua=mailto:reports@example.com"],
            &[mail],
        );
        wanted(
            &["v=TLSRPTv1; rua=mailto:a%2Bb%2c@example.com?subject=x"],
            &[],
        );
        wanted(
            &["v=TLSRPTv1; rua=MAILTO:%61%2Bb@example.com?subject=x"],
            &["mailto:a+b@example.com"],
        );
    }

    #[test]
    fn what_is_not_of_the_syntax_is_no_wish() {
        for text in [
            "",
            "v=TLSRPTv1",
            "v=TLSRPTv1;",
            "v=tlsrptv1;rua=mailto:a@example.com",
            " v=TLSRPTv1;rua=mailto:a@example.com",
            "v=TLSRPTv2;rua=mailto:a@example.com",
            "v=TLSRPTv1 rua=mailto:a@example.com",
            "v=TLSRPTv1 x;rua=mailto:a@example.com",
            "v=TLSRPTv1;;rua=mailto:a@example.com",
            "v=TLSRPTv1;rua=mailto:a@example.com;;",
            "v=TLSRPTv1;rua=mailto:a@example.com;x",
            "v=TLSRPTv1;rua=mailto:a@example.com;x=",
            "v=TLSRPTv1;rua=mailto:a@example.com;-x=y",
            "v=TLSRPTv1;rua=mailto:a@example.com;rua=mailto:b@example.com",
            "v=TLSRPTv1;rua = mailto:a@example.com",
            "v=TLSRPTv1;RUA=mailto:a@example.com",
            "v=TLSRPTv1;rua=mailto:a@example.com,",
            "v=TLSRPTv1;rua=mailto:a@example.com!10m",
            "v=TLSRPTv1;rua=a@example.com",
            "v=TLSRPTv1;rua=mailto:a b@example.com",
            "v=TLSRPTv1;rua=mailto:\u{e4}@example.com",
        ] {
            wanted(&[text], &[]);
        }
        let two = ["v=TLSRPTv1;rua=mailto:a@example.com"; 2];
        wanted(&two, &[]);
    }

    #[test]
    fn what_cannot_be_reached_is_passed_over() {
        for uri in [
            "http://example.com/",
            "ftp://example.com/",
            "https://example.com:8443/",
            "https://user@example.com/",
            "https://192.0.2.1/",
            "https://[2001:db8::1]/",
            "https:///",
            "mailto:",
            "mailto:a",
            "mailto:a@[192.0.2.1]",
            "mailto:a@example.com%3E%0d%0aRCPT%20TO:%3Cb@example.com",
            "mailto:%e4@example.com",
            "mailto:a%4",
        ] {
            let text = format!("v=TLSRPTv1;rua={uri},mailto:b@example.com");
            let found = endpoints(std::iter::once(text.as_bytes()));
            let left: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(left, ["mailto:b@example.com"], "{uri}");
        }
        let many: Vec<String> = (0..9).map(|n| format!("mailto:a{n}@example.com")).collect();
        let text = format!("v=TLSRPTv1;rua={}", many.join(","));
        assert_eq!(
            endpoints(std::iter::once(text.as_bytes())).len(),
            ENDPOINTS_MAX
        );
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for uri in ["mailto:a%25b%21@example.com", "https://example.com/x?y=%20"] {
            let endpoint = Endpoint::of(uri).unwrap();
            assert_eq!(Endpoint::of(&endpoint.to_string()), Some(endpoint));
        }
    }

    #[test]
    fn whatever_stands_there_is_read_and_what_is_found_can_be_written() {
        let record = b"v=TLSRPTv1 ; rua=mailto:a%2Bb@example.com , https://example.com/x?y;x-1=y;";
        let mut random = fastrand::Rng::with_seed(8460);
        let mut found = 0;
        for _ in 0..20_000 {
            let mut record = record.to_vec();
            for _ in 0..random.usize(0..4) {
                let place = random.usize(0..record.len());
                match random.u8(0..3) {
                    0 => record[place] = random.u8(..),
                    1 => record[place] = *random.choice(b";,=:%@ !v/?").unwrap(),
                    _ => drop(record.remove(place)),
                }
            }
            for endpoint in endpoints(std::iter::once(&record[..])) {
                found += 1;
                let again = Endpoint::of(&endpoint.to_string());
                assert_eq!(again, Some(endpoint), "{}", record.escape_ascii());
            }
        }
        assert!(found > 1000, "{found}");
    }
}
