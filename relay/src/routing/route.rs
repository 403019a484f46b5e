//! A way to a domain, or why there is none.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::strict::Unauthenticated;
use crate::dns::DnsName;
use crate::outbound::requirement::Requirement;

/// The servers of a domain.
#[derive(Debug, Clone)]
pub struct Route {
    /// Who they are together.
    pub site: Site,
    /// In the order to try; never empty, and bounded.
    pub hosts: Vec<Host>,
    /// Ask again from then on.
    pub until: Instant,
}

/// One server.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name, unless only its address is known.
    pub name: Option<DnsName>,
    /// In the order to try, and bounded. Empty where they cannot be looked up now: such a server comes last, and is
    /// withheld for that.
    pub addresses: Vec<SocketAddr>,
    /// What its TLS must show for this domain.
    pub requirement: Requirement,
    /// The same for mail that demands REQUIRETLS.
    pub strict: Result<Requirement, Unauthenticated>,
    /// Why nothing may go there now: what it must show could not be found out. Only whoever waives that may try.
    pub withheld: Option<RouteError>,
    /// It is the operator's, and is told first who sends.
    pub send_proxy: bool,
}

/// The same text for all domains with the same servers, so that they share connections and limits. They may demand
/// different things of these: ask [`Upstream::satisfies`](crate::outbound) before each MAIL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(Arc<str>);

/// Why there is no way to a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It takes no mail.
    #[error("{text}")]
    Never {
        /// Enhanced status code of class 5.
        status: &'static str,
        /// One line for people.
        text: String,
    },
    /// It could not be found out now.
    #[error("{text}")]
    NotNow {
        /// Enhanced status code of class 4.
        status: &'static str,
        /// One line for people.
        text: String,
    },
}

impl Route {
    /// To where the customer was going, of which the DNS knows nothing.
    pub(super) fn to_chosen(destination: SocketAddr) -> Self {
        let mut hosts = Vec::new();
        put_first(&mut hosts, destination);
        Self {
            site: Site::of([destination.to_string()]),
            hosts,
            until: Instant::now() + CHOSEN_UNTIL,
        }
    }
}

impl Host {
    /// One of which only is known that there is one.
    pub(super) fn not_found(why: RouteError) -> Self {
        Self {
            name: None,
            addresses: Vec::new(),
            requirement: Requirement::default(),
            strict: Err(Unauthenticated::Unknown),
            withheld: Some(why),
            send_proxy: false,
        }
    }
}

/// Puts the address before all others, with what is known of its server.
pub(super) fn put_first(hosts: &mut Vec<Host>, destination: SocketAddr) {
    let known = hosts
        .iter()
        .find(|host| host.addresses.contains(&destination));
    let first = Host {
        name: known.and_then(|host| host.name.clone()),
        addresses: vec![destination],
        requirement: known.map_or_else(Requirement::default, |host| host.requirement.clone()),
        strict: known.map_or(Err(Unauthenticated::Nameless), |host| host.strict.clone()),
        withheld: known.and_then(|host| host.withheld.clone()),
        // Operators' own routes come without it.
        send_proxy: false,
    };
    for host in &mut *hosts {
        host.addresses.retain(|&address| address != destination);
    }
    hosts.retain(|host| !host.addresses.is_empty());
    hosts.insert(0, first);
}

impl Site {
    /// Of the names of its servers, in any order.
    pub(super) fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let text = names.join(",");
        if text.len() <= TEXT_MAX {
            return Self(text.into());
        }
        let digest = Sha256::digest(&text);
        let digest: String = digest
            .iter()
            .take(16)
            .map(|octet| format!("{octet:02x}"))
            .collect();
        let first = names.first().map_or("", String::as_str);
        let first: String = first.chars().take(TEXT_MAX - 40).collect();
        Self(format!("{first},{digest}").into())
    }

    /// Its text, at most 255 octets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl RouteError {
    pub(super) fn never(status: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Never { status, text }
    }

    pub(super) fn not_now(status: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::NotNow { status, text }
    }
}

const TEXT_MAX: usize = 255;
const CHOSEN_UNTIL: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_its_servers_in_any_order_and_of_any_number() {
        let of = |names: &[&str]| Site::of(names.iter().map(ToString::to_string));
        assert_eq!(
            of(&["b.example", "a.example"]),
            of(&["a.example", "b.example", "a.example"])
        );
        assert_eq!(
            of(&["b.example", "a.example"]).as_str(),
            "a.example,b.example"
        );
        let many: Vec<String> = (0..16)
            .map(|n| format!("{}{n}.example", "x".repeat(200)))
            .collect();
        let site = Site::of(many.clone());
        assert!(site.as_str().len() <= 255);
        assert_ne!(site, Site::of(many[1..].to_vec()));
        assert_eq!(site, Site::of(many.into_iter().rev()));
    }

    #[test]
    fn the_customers_choice_comes_first_with_what_is_known_of_it() {
        let [a, b, c]: [SocketAddr; 3] =
            ["192.0.2.1:25", "192.0.2.2:25", "192.0.2.3:25"].map(|text| text.parse().unwrap());
        let host = |name: &str, addresses: Vec<SocketAddr>| Host {
            name: DnsName::new(name).ok(),
            addresses,
            requirement: Requirement::default(),
            strict: Err(Unauthenticated::Forgeable),
            withheld: None,
            send_proxy: false,
        };
        let order = |chosen| {
            let mut hosts = vec![host("x.example", vec![a, b]), host("y.example", vec![c])];
            put_first(&mut hosts, chosen);
            let told = hosts
                .iter()
                .map(|host| (host.name.is_some(), host.addresses.clone()));
            told.collect::<Vec<_>>()
        };
        assert_eq!(
            order(b),
            [(true, vec![b]), (true, vec![a]), (true, vec![c])]
        );
        assert_eq!(order(c), [(true, vec![c]), (true, vec![a, b])]);
        let stranger = "198.51.100.9:25".parse().unwrap();
        assert_eq!(order(stranger)[0], (false, vec![stranger]));
        assert_eq!(order(stranger).len(), 3);
    }
}
