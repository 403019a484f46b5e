//! `[acme]`: the authority that certifies the relay's own names (RFC 8555).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hyper::Uri;
use serde::Deserialize;

use super::Invalid;
use super::check::{absolute, listeners};
use crate::dns::DnsName;

/// Where a certificate comes from, and for which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The authority's directory: an `https` URL with a host.
    pub directory: Uri,
    /// `mailto` URLs by which the authority may reach the operator.
    pub contact: Vec<String>,
    /// The names, each once; at least one.
    pub domains: Vec<DnsName>,
    /// Where the authority finds the answers to its challenges (http-01); at least one.
    pub listen: Vec<SocketAddr>,
    /// File of the authorities that may vouch for the directory, PEM; `None` = those of the system.
    pub authorities: Option<PathBuf>,
    /// The account elsewhere that the account with the authority is bound to.
    pub external_account: Option<ExternalAccount>,
}

/// An account that the authority knows from elsewhere (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its name.
    pub kid: String,
    /// File whose first line is the key, in base64url.
    pub hmac_file: PathBuf,
}

/// `[acme]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAcme {
    directory: String,
    #[serde(default)]
    accept_terms: bool,
    #[serde(default)]
    contact: Vec<String>,
    domains: Option<Vec<String>>,
    #[serde(default)]
    listen: Vec<String>,
    authorities: Option<PathBuf>,
    external_account: Option<RawExternalAccount>,
}

/// `[acme.external_account]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExternalAccount {
    kid: String,
    hmac_file: PathBuf,
}

impl RawAcme {
    /// `own` is the relay's name, `asks_nobody` whether it has no resolver.
    pub(super) fn check(self, own: &str, asks_nobody: bool) -> Result<AcmeConfig, Invalid> {
        if !self.accept_terms {
            let problem = "must be true: an account is only made by who agrees to the authority's terms of service, \
                           to which its directory links";
            return Err(Invalid::new(
                "acme.accept_terms",
                self.accept_terms,
                problem,
            ));
        }
        let directory = directory(&self.directory)?;
        let host = directory.host().unwrap_or_default();
        if asks_nobody && literal(host).is_none() {
            let problem =
                "has a name, and dns.servers is empty: name a resolver there, or an address here";
            return Err(Invalid::new("acme.directory", &self.directory, problem));
        }
        let named = self.domains.unwrap_or_else(|| vec![own.to_owned()]);
        if named.is_empty() || named.len() > DOMAINS_MAX {
            let problem = format!("must be 1 to {DOMAINS_MAX} names");
            return Err(Invalid::new("acme.domains", named.len(), problem));
        }
        let mut domains = Vec::with_capacity(named.len());
        for text in named {
            let name = domain(&text)?;
            if domains.contains(&name) {
                return Err(Invalid::new("acme.domains", text, "stands there twice"));
            }
            domains.push(name);
        }
        let listen = listeners("acme.listen", &self.listen)?;
        if listen.is_empty() {
            let problem = "must name at least one ADDRESS:PORT: the authority comes to port 80 of each domain, or a \
                           web server there hands /.well-known/acme-challenge/ on";
            return Err(Invalid::new("acme.listen", "[]", problem));
        }
        for url in &self.contact {
            contact(url)?;
        }
        Ok(AcmeConfig {
            directory,
            contact: self.contact,
            domains,
            listen,
            authorities: self
                .authorities
                .map(|file| absolute("acme.authorities", file))
                .transpose()?,
            external_account: self
                .external_account
                .map(RawExternalAccount::check)
                .transpose()?,
        })
    }
}

impl RawExternalAccount {
    fn check(self) -> Result<ExternalAccount, Invalid> {
        if self.kid.is_empty() || !self.kid.chars().all(|c| c.is_ascii_graphic()) {
            let problem = "must be printable ASCII, as the authority gave it to you";
            return Err(Invalid::new("acme.external_account.kid", self.kid, problem));
        }
        Ok(ExternalAccount {
            kid: self.kid,
            hmac_file: absolute("acme.external_account.hmac_file", self.hmac_file)?,
        })
    }
}

fn directory(text: &str) -> Result<Uri, Invalid> {
    let uri: Option<Uri> = text.parse().ok();
    // RFC 8555 section 6.1: nothing of this protocol is said in clear text.
    let usable = |uri: &Uri| {
        let host = uri.host().unwrap_or_default();
        uri.scheme_str() == Some("https")
            && (literal(host).is_some() || DnsName::new(host).is_ok())
            && uri.authority().is_some_and(|it| !it.as_str().contains('@'))
    };
    uri.filter(usable).ok_or_else(|| {
        let problem = "must be an https URL, as https://acme-v02.api.letsencrypt.org/directory";
        Invalid::new("acme.directory", text, problem)
    })
}

fn domain(text: &str) -> Result<DnsName, Invalid> {
    let invalid = |problem: &str| Err(Invalid::new("acme.domains", text, problem));
    if text.parse::<IpAddr>().is_ok() {
        return invalid("is an address; only names are certified here");
    }
    if text.starts_with("*.") {
        return invalid(
            "is a wildcard, which http-01 cannot prove; write down the names themselves",
        );
    }
    match DnsName::new(text) {
        // RFC 8555 section 7.1.4 speaks of host names.
        Ok(name) if name.as_str().contains('.') && !name.as_str().contains('_') => Ok(name),
        Ok(_) | Err(_) => invalid("must be a fully qualified domain name, as relay-1.example.net"),
    }
}

fn contact(url: &str) -> Result<(), Invalid> {
    // RFC 8555 section 7.3: one address, and no header fields.
    let address = url
        .strip_prefix("mailto:")
        .and_then(|it| it.split_once('@'));
    let fits = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_graphic() && !"?,@".contains(c))
    };
    match address {
        Some((local, domain)) if fits(local) && fits(domain) => Ok(()),
        Some(_) | None => {
            let problem = "must be one address, as mailto:hostmaster@example.net";
            Err(Invalid::new("acme.contact", url, problem))
        }
    }
}

/// The address that a URL's host is, if it is no name. IPv6 addresses stand in brackets there.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// As many as the usual authorities certify at once.
const DOMAINS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(more: &str) -> Result<AcmeConfig, String> {
        let toml = format!(
            "directory = \"https://acme.example/directory\"\nlisten = [\"198.51.100.2:80\"]\naccept_terms = true\n{more}"
        );
        parse(&toml, false)
    }

    fn parse(toml: &str, asks_nobody: bool) -> Result<AcmeConfig, String> {
        let raw: RawAcme = toml::from_str(toml).map_err(|error| error.to_string())?;
        let checked = raw.check("relay-1.example.net", asks_nobody);
        checked.map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn the_relays_own_name_is_certified_unless_others_are_named() {
        let own = check("").unwrap();
        assert_eq!(own.domains, [DnsName::new("relay-1.example.net").unwrap()]);
        let others = check("domains = [\"Mail.Example.net\", \"bücher.example\"]").unwrap();
        let names: Vec<&str> = others.domains.iter().map(DnsName::as_str).collect();
        assert_eq!(names, ["mail.example.net", "xn--bcher-kva.example"]);
    }

    #[test]
    fn wrong_values_are_named_with_what_is_allowed() {
        for (more, expected) in [
            ("domains = []", "acme.domains: 0: must be 1 to 100"),
            (
                "domains = [\"192.0.2.1\"]",
                "acme.domains: 192.0.2.1: is an address",
            ),
            (
                "domains = [\"*.example.net\"]",
                "acme.domains: *.example.net: is a wildcard",
            ),
            (
                "domains = [\"relay\"]",
                "acme.domains: relay: must be a fully",
            ),
            (
                "domains = [\"a_b.example\"]",
                "acme.domains: a_b.example: must be a fully",
            ),
            (
                "domains = [\"a.example\", \"A.example\"]",
                "acme.domains: A.example: stands there twice",
            ),
            (
                "contact = [\"a@example.net\"]",
                "acme.contact: a@example.net: must be one",
            ),
            (
                "contact = [\"mailto:a@example.net,b@example.net\"]",
                "acme.contact: mailto:a@example.net,b@example.net: must be one",
            ),
            (
                "authorities = \"ca.pem\"",
                "acme.authorities: ca.pem: must be an absolute",
            ),
            (
                "external_account = { kid = \"\", hmac_file = \"/k\" }",
                "acme.external_account.kid: : must be printable",
            ),
            (
                "external_account = { kid = \"k\", hmac_file = \"k\" }",
                "acme.external_account.hmac_file: k: must be an absolute",
            ),
            ("challenge = \"dns-01\"", "unknown field `challenge`"),
        ] {
            let said = check(more).unwrap_err();
            assert!(said.contains(expected), "{more}: {said}");
        }
        for directory in [
            "http://acme.example/",
            "acme.example",
            "https://a@acme.example/",
            "https://a b/",
            "",
        ] {
            let toml =
                format!("directory = \"{directory}\"\naccept_terms = true\nlisten = [\"[::]:80\"]");
            let said = parse(&toml, false).unwrap_err();
            assert!(said.contains("must be an https URL"), "{directory}: {said}");
        }
    }

    #[test]
    fn terms_listeners_and_resolvers_are_the_operators_to_say() {
        let directory = "directory = \"https://acme.example/directory\"\n";
        let said = parse(&format!("{directory}listen = [\"[::]:80\"]"), false).unwrap_err();
        assert!(
            said.starts_with("acme.accept_terms: false: must be true"),
            "{said}"
        );
        let said = parse(&format!("{directory}accept_terms = true"), false).unwrap_err();
        assert!(said.starts_with("acme.listen: []: must name"), "{said}");
        let listen = "accept_terms = true\nlisten = [\"[::]:80\"]";
        let said = parse(&format!("{directory}{listen}"), true).unwrap_err();
        assert!(said.contains("dns.servers is empty"), "{said}");
        let literal = "directory = \"https://[2001:db8::1]:14000/dir\"\n";
        assert!(parse(&format!("{literal}{listen}"), true).is_ok());
    }
}
