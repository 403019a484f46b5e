//! `[[identity]]`: what tells one site of a shared host from the others.

use ipnetwork::IpNetwork;
use serde::Deserialize;

use super::Invalid;

/// One `[[identity]]`.
#[derive(Debug, Clone)]
pub struct IdentityRule {
    /// Where its name stands.
    pub by: IdentityBy,
    /// Customers that are shared hosts; empty = all.
    pub from: Vec<IpNetwork>,
}

/// Where a site's name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityBy {
    /// Who has logged in.
    User,
    /// The first header field of this name.
    Header(String),
    /// The reverse-path.
    Sender,
    /// Its domain.
    SenderDomain,
}

/// `[[identity]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawIdentity {
    by: String,
    header: Option<String>,
    #[serde(default)]
    from: Vec<String>,
}

impl RawIdentity {
    pub(super) fn check(self) -> Result<IdentityRule, Invalid> {
        let by = match (self.by.as_str(), self.header) {
            ("header", Some(header)) if is_field_name(&header) => IdentityBy::Header(header),
            ("header", Some(header)) => {
                let problem = "must be the name of a header field, as X-PHP-Originating-Script";
                return Err(Invalid::new("identity.header", header, problem));
            }
            ("header", None) => {
                let problem = "must name the field, as X-PHP-Originating-Script";
                return Err(Invalid::new("identity.header", "absent", problem));
            }
            (_, Some(header)) => {
                let problem = "belongs to by = \"header\" alone";
                return Err(Invalid::new("identity.header", header, problem));
            }
            ("user", None) => IdentityBy::User,
            ("sender", None) => IdentityBy::Sender,
            ("sender-domain", None) => IdentityBy::SenderDomain,
            (other, None) => {
                let problem = "must be \"user\", \"header\", \"sender\" or \"sender-domain\"";
                return Err(Invalid::new("identity.by", other, problem));
            }
        };
        let network = |text: String| {
            let problem = "must be a prefix, as 192.0.2.0/24 or 2001:db8:a::/48";
            text.parse()
                .map_err(|_error| Invalid::new("identity.from", text, problem))
        };
        let from = self.from.into_iter().map(network);
        Ok(IdentityRule {
            by,
            from: from.collect::<Result<_, _>>()?,
        })
    }
}

/// RFC 5322 section 2.2.
fn is_field_name(name: &str) -> bool {
    let fits = |c: char| ('!'..='~').contains(&c) && c != ':';
    (1..=FIELD_NAME_OCTETS_MAX).contains(&name.len()) && name.chars().all(fits)
}

const FIELD_NAME_OCTETS_MAX: usize = 64;
