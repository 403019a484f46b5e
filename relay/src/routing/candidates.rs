//! The servers of a domain before anything is known of their policies.

use std::net::SocketAddr;

use relay_proto::address::Domain;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::addresses::Addresses;
use super::exchangers::Exchangers;
use super::own::Own;
use super::{Inner, RouteError, Site};
use crate::config::RouteTls;
use crate::dns::{DnsName, Failure};

/// Servers in the order to try.
#[derive(Debug)]
pub(super) struct Candidates {
    /// The domain, as people read it.
    pub(super) domain: String,
    /// The same, if it is a name whose policies count.
    pub(super) policy_domain: Option<DnsName>,
    /// Nobody could have forged which servers these are.
    pub(super) secure: bool,
    pub(super) list: Vec<Candidate>,
    /// The names of all of them, also of those without an address.
    pub(super) names: Vec<String>,
    /// Why some may be missing.
    pub(super) failure: Option<RouteError>,
    pub(super) until: Instant,
}

/// One server, with at least one address.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: Option<DnsName>,
    pub(super) preference: u16,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) port: u16,
    /// What the DNS said of its name.
    pub(super) found: Option<Addresses>,
    /// It is the operator's choice, with the operator's demands; its domain's policy is not asked.
    pub(super) fixed: Option<ByOperator>,
}

/// What the operator has said of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByOperator {
    /// What its TLS must show.
    pub(super) tls: RouteTls,
    /// It is told who sends.
    pub(super) send_proxy: bool,
}

impl Candidate {
    pub(super) fn has(&self, destination: SocketAddr) -> bool {
        self.addresses.contains(&destination)
    }
}

impl Candidates {
    /// Drops ourselves and what is not better than we are (RFC 5321 section 5.1): mail would come back.
    pub(super) fn without_ourselves(&mut self, own: &Own) -> Result<(), RouteError> {
        let ours = self
            .list
            .iter()
            .filter(|it| own.is(it.name.as_ref(), &it.addresses));
        let Some(preference) = ours.map(|it| it.preference).min() else {
            return Ok(());
        };
        self.list
            .retain(|candidate| candidate.preference < preference);
        if self.list.is_empty() {
            let text = format!("mail for {} would come back to this relay", self.domain);
            return Err(RouteError::never("5.4.6", text));
        }
        Ok(())
    }

    /// Who they are together. Where a customer has chosen another server, that is a site of its own.
    pub(super) fn site(&self, chosen: Option<SocketAddr>) -> Site {
        match chosen {
            Some(chosen) if !self.list.iter().any(|it| it.has(chosen)) => {
                Site::of([chosen.to_string()])
            }
            Some(_) | None => Site::of(self.names.iter().cloned()),
        }
    }
}

impl Inner {
    /// The servers that the DNS names for `domain`.
    pub(super) async fn exchangers_of(&self, domain: &Domain) -> Result<Candidates, RouteError> {
        let name = match domain {
            Domain::Name(name) => DnsName::new(name.as_str()).map_err(|_not_a_name| {
                RouteError::never("5.1.2", "the DNS cannot hold the recipient's domain")
            })?,
            Domain::Ipv4(address) => return literal(domain, (*address).into()),
            Domain::Ipv6(address) => return literal(domain, (*address).into()),
        };
        let exchangers = Exchangers::look_up(&self.dns, &name).await?;
        let mut looking = JoinSet::new();
        for (place, (preference, host)) in exchangers.list.iter().cloned().enumerate() {
            let (dns, families) = (self.dns.clone(), self.routing.families);
            looking.spawn(async move {
                let found = Addresses::look_up(&dns, &host, families).await;
                (place, preference, host, found)
            });
        }
        let mut found = looking.join_all().await;
        found.sort_unstable_by_key(|&(place, ..)| place);
        let mut candidates = Candidates {
            domain: name.to_string(),
            policy_domain: Some(name),
            secure: exchangers.secure,
            list: Vec::new(),
            names: exchangers
                .list
                .iter()
                .map(|(_, host)| host.to_string())
                .collect(),
            failure: None,
            until: exchangers.until,
        };
        for (_, preference, host, found) in found {
            candidates.until = candidates.until.min(found.until);
            if let Some(failure) = found.failure {
                candidates.failure = Some(unknown_addresses(&host, failure));
            }
            if found.list.is_empty() {
                continue;
            }
            candidates.list.push(Candidate {
                name: Some(host),
                preference,
                addresses: found.at(SMTP),
                port: SMTP,
                found: Some(found),
                fixed: None,
            });
        }
        Ok(candidates)
    }
}

pub(super) fn unknown_addresses(host: &DnsName, failure: Failure) -> RouteError {
    RouteError::not_now(
        "4.4.3",
        format!("cannot look up the addresses of {host}: {failure}"),
    )
}

fn literal(domain: &Domain, address: std::net::IpAddr) -> Result<Candidates, RouteError> {
    if !super::addresses::is_somewhere(address) {
        let text = format!("{domain} is no address of a server");
        return Err(RouteError::never("5.1.2", text));
    }
    let address = SocketAddr::new(address, SMTP);
    Ok(Candidates {
        domain: domain.to_string(),
        policy_domain: None,
        secure: false,
        list: vec![Candidate {
            name: None,
            preference: 0,
            addresses: vec![address],
            port: SMTP,
            found: None,
            fixed: None,
        }],
        names: vec![address.to_string()],
        failure: None,
        until: Instant::now() + super::UNTIL_LITERAL,
    })
}

pub(super) const SMTP: u16 = 25;
