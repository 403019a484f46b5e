//! `[routing]`, `[[route]]` and `[mta_sts]`: where mail goes that is not handed to where its customer was going.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::Invalid;
use super::check::absolute;
use crate::dns::DnsName;

#[cfg(test)]
mod tests;

/// Ways to domains.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// Addresses of which kind, in which order.
    pub families: Families,
    /// The operator's own ways; the most specific one counts.
    pub routes: Vec<FixedRoute>,
    /// `TLS-Required: No` in a message's header is nothing to go by (RFC 8689).
    pub ignores_tls_required_no: bool,
}

/// Addresses of which kind are tried, in which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Families {
    /// Both.
    #[default]
    Ipv6First,
    /// Both.
    Ipv4First,
    /// IPv4 alone.
    Ipv4Only,
    /// IPv6 alone.
    Ipv6Only,
}

/// The operator's own way to some domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedRoute {
    /// Which.
    pub domains: Domains,
    /// Servers in the order to try; at least one.
    pub to: Vec<NextHop>,
    /// What their TLS must show.
    pub tls: RouteTls,
    /// They are told first, by a PROXY header of version 2, who sends. Only here, because only of a server of its own
    /// does the operator know that it listens for that, and that the customer's address is its business.
    pub send_proxy: bool,
}

/// Some domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domains {
    /// This one.
    Exactly(DnsName),
    /// All below this one, but not itself.
    Below(DnsName),
    /// All: a smarthost.
    All,
}

/// A server that the operator names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// By its address.
    Address(SocketAddr),
    /// By its name, whose addresses the DNS has.
    Host {
        /// Its name.
        name: DnsName,
        /// Its port.
        port: u16,
    },
}

/// What TLS on a fixed route must show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RouteTls {
    /// Nothing; it is used if it is offered.
    #[default]
    May,
    /// That it is there.
    Encrypt,
    /// A certificate for the server's name.
    Verify,
}

/// MTA-STS (RFC 8461).
#[derive(Debug, Clone, Default)]
pub struct MtaSts {
    /// Policies are neither fetched nor followed.
    pub off: bool,
    /// File of the authorities that may vouch for names, PEM; `None` = those of the system.
    pub authorities: Option<PathBuf>,
}

/// `[routing]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRouting {
    families: Option<String>,
    tls_required_no: Option<String>,
}

/// One `[[route]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    domain: String,
    to: Vec<String>,
    tls: Option<String>,
    send_proxy: Option<String>,
}

/// `[mta_sts]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMtaSts {
    #[serde(default)]
    off: bool,
    authorities: Option<PathBuf>,
}

impl Routing {
    /// All of it.
    pub(super) fn check(raw: RawRouting, routes: Vec<RawRoute>) -> Result<Self, Invalid> {
        if routes.len() > ROUTES_MAX {
            let problem = format!("must be at most {ROUTES_MAX}");
            return Err(Invalid::new("route", routes.len(), problem));
        }
        let mut checked: Vec<FixedRoute> = Vec::with_capacity(routes.len());
        for raw in routes {
            let domain = raw.domain.clone();
            let route = FixedRoute::try_from(raw)?;
            if checked.iter().any(|other| other.domains == route.domains) {
                return Err(Invalid::new(
                    "route.domain",
                    domain,
                    "must not stand there twice",
                ));
            }
            checked.push(route);
        }
        let ignores_tls_required_no = match raw.tls_required_no.as_deref() {
            None | Some("follow") => false,
            Some("ignore") => true,
            Some(other) => {
                let problem = "must be \"follow\" or \"ignore\"";
                return Err(Invalid::new("routing.tls_required_no", other, problem));
            }
        };
        Ok(Self {
            families: families(raw.families.as_deref())?,
            routes: checked,
            ignores_tls_required_no,
        })
    }

    /// The most specific way to `domain`, if there is one.
    #[must_use]
    pub fn to(&self, domain: &DnsName) -> Option<&FixedRoute> {
        let specific = |route: &&FixedRoute| match &route.domains {
            Domains::Exactly(_) => usize::MAX,
            Domains::Below(parent) => parent.as_str().len(),
            Domains::All => 0,
        };
        let mine = self
            .routes
            .iter()
            .filter(|route| route.domains.contain(domain));
        mine.max_by_key(specific)
    }
}

impl Domains {
    fn contain(&self, domain: &DnsName) -> bool {
        match self {
            Self::Exactly(name) => name == domain,
            Self::Below(parent) => {
                let above = domain.as_str().strip_suffix(parent.as_str());
                above.is_some_and(|labels| labels.ends_with('.'))
            }
            Self::All => true,
        }
    }
}

impl TryFrom<RawRoute> for FixedRoute {
    type Error = Invalid;

    fn try_from(raw: RawRoute) -> Result<Self, Invalid> {
        let tls = match raw.tls.as_deref() {
            None | Some("may") => RouteTls::May,
            Some("encrypt") => RouteTls::Encrypt,
            Some("verify") => RouteTls::Verify,
            Some(other) => {
                let problem = "must be \"may\", \"encrypt\" or \"verify\"";
                return Err(Invalid::new("route.tls", other, problem));
            }
        };
        if raw.to.is_empty() || raw.to.len() > HOPS_MAX {
            let problem = format!("must name 1 to {HOPS_MAX} servers");
            return Err(Invalid::new("route.to", raw.to.len(), problem));
        }
        let to: Vec<NextHop> = raw
            .to
            .iter()
            .map(|text| next_hop(text))
            .collect::<Result<_, _>>()?;
        let nameless = |hop: &NextHop| matches!(hop, NextHop::Address(_));
        if tls == RouteTls::Verify && to.iter().any(nameless) {
            let problem = "needs servers that are named, because names are what is verified";
            return Err(Invalid::new("route.tls", "verify", problem));
        }
        Ok(Self {
            domains: domains(&raw.domain)?,
            to,
            tls,
            send_proxy: send_proxy(raw.send_proxy.as_deref())?,
        })
    }
}

impl TryFrom<RawMtaSts> for MtaSts {
    type Error = Invalid;

    fn try_from(raw: RawMtaSts) -> Result<Self, Invalid> {
        let authorities = raw.authorities;
        Ok(Self {
            off: raw.off,
            authorities: authorities
                .map(|file| absolute("mta_sts.authorities", file))
                .transpose()?,
        })
    }
}

fn send_proxy(version: Option<&str>) -> Result<bool, Invalid> {
    match version {
        None => Ok(false),
        Some("v2") => Ok(true),
        Some(other) => {
            let problem = "must be \"v2\", which HAProxy and Postfix 3.5 read, or not be there";
            Err(Invalid::new("route.send_proxy", other, problem))
        }
    }
}

fn families(word: Option<&str>) -> Result<Families, Invalid> {
    Ok(match word {
        None | Some("ipv6-first") => Families::Ipv6First,
        Some("ipv4-first") => Families::Ipv4First,
        Some("ipv4") => Families::Ipv4Only,
        Some("ipv6") => Families::Ipv6Only,
        Some(other) => {
            let problem = "must be \"ipv6-first\", \"ipv4-first\", \"ipv4\" or \"ipv6\"";
            return Err(Invalid::new("routing.families", other, problem));
        }
    })
}

fn domains(text: &str) -> Result<Domains, Invalid> {
    if text == "*" {
        return Ok(Domains::All);
    }
    let problem =
        "must be a domain, as \"example.org\"; \".example.org\" for those below it; or \"*\"";
    let name = |text: &str| {
        DnsName::new(text).map_err(|_not_a_name| Invalid::new("route.domain", text, problem))
    };
    match text.strip_prefix('.') {
        Some(parent) => name(parent).map(Domains::Below),
        None => name(text).map(Domains::Exactly),
    }
}

fn next_hop(text: &str) -> Result<NextHop, Invalid> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: Result<IpAddr, _> = unbracketed.unwrap_or(text).parse();
    let address = address.map(|address| SocketAddr::new(address, SMTP));
    if let Ok(address) = address.or_else(|_none| text.parse::<SocketAddr>()) {
        let usable =
            address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast();
        return usable
            .then_some(NextHop::Address(address))
            .ok_or_else(|| wrong_hop(text));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok().filter(|&port| port != 0)),
        None => (text, Some(SMTP)),
    };
    match (DnsName::new(name), port) {
        (Ok(name), Some(port)) => Ok(NextHop::Host { name, port }),
        (Ok(_) | Err(_), _) => Err(wrong_hop(text)),
    }
}

fn wrong_hop(text: &str) -> Invalid {
    let problem = "must be HOST, HOST:PORT, ADDRESS or ADDRESS:PORT (IPv6 in brackets)";
    Invalid::new("route.to", text, problem)
}

const SMTP: u16 = 25;
const ROUTES_MAX: usize = 10_000;
const HOPS_MAX: usize = 16;
