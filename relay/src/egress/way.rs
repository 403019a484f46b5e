//! A way out: the address that legs leave from, or the proxy that they go through, and the name that they go by.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use relay_proto::envelope::EhloName;

use super::endpoint::Endpoint;
use crate::origin::CustomerAddr;

/// Where a leg leaves from. Legs of equal ways are interchangeable: a connection over one may carry what was
/// meant for the other. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    name: Arc<str>,
    kind: WayKind,
}

/// What kind of way it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WayKind {
    /// An address of the relay.
    Pool(Arc<Endpoint>),
    /// The customer's own address.
    Customer(CustomerAddr),
    /// A SOCKS5 proxy.
    Socks5(Arc<Endpoint>),
}

impl Way {
    /// The customer's own address.
    pub(crate) fn of_customer(customer: CustomerAddr) -> Self {
        Self {
            name: format!("customer/{customer}").into(),
            kind: WayKind::Customer(customer),
        }
    }

    pub(super) fn of_pool(endpoint: Arc<Endpoint>) -> Self {
        Self {
            name: Arc::clone(&endpoint.name),
            kind: WayKind::Pool(endpoint),
        }
    }

    pub(super) fn of_socks5(endpoint: Arc<Endpoint>) -> Self {
        Self {
            name: Arc::clone(&endpoint.name),
            kind: WayKind::Socks5(endpoint),
        }
    }

    /// Its name: `relay` where the routing table chooses the address, `POOL/ADDRESS`, `GROUP/PROXY` or
    /// `customer/ADDRESS`. Equal ways have equal names, and others have others.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it is a customer's own address.
    pub(crate) fn is_customers(&self) -> bool {
        matches!(self.kind, WayKind::Customer(_))
    }

    pub(super) fn shared_endpoint(&self) -> Option<&Arc<Endpoint>> {
        match &self.kind {
            WayKind::Pool(endpoint) | WayKind::Socks5(endpoint) => Some(endpoint),
            WayKind::Customer(_) => None,
        }
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.shared_endpoint().map(|endpoint| &**endpoint)
    }

    pub(crate) fn kind(&self) -> &WayKind {
        &self.kind
    }

    /// The address that the destination sees, where that is known before the connection is.
    pub(crate) fn seen_as(&self) -> Option<IpAddr> {
        match &self.kind {
            WayKind::Pool(endpoint) | WayKind::Socks5(endpoint) => endpoint.seen_as(),
            WayKind::Customer(customer) => Some(customer.ip()),
        }
    }

    /// What EHLO says on it. Receivers compare that with the address that a connection comes from, so the name
    /// belongs to whose address that is. `customers` is what the customer called itself, `own` the relay's name.
    pub(crate) fn ehlo_name(&self, customers: Option<&EhloName>, own: &str) -> String {
        match (&self.kind, customers) {
            (WayKind::Pool(endpoint) | WayKind::Socks5(endpoint), _) => {
                endpoint.ehlo.as_deref().unwrap_or(own).to_owned()
            }
            (WayKind::Customer(_), Some(name)) if is_domain_or_literal(name.as_str()) => {
                name.to_string()
            }
            // RFC 5321 section 4.1.4: who has no meaningful name says its address.
            (WayKind::Customer(customer), _) => match customer.ip() {
                IpAddr::V4(v4) => format!("[{v4}]"),
                IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
            },
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// IPv4 or IPv6, as far as a choice of ways goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// RFC 5321 section 4.1.2, with the underscore that many hosts have in their names. A customer chooses
/// this word and a stranger's server parses it.
fn is_domain_or_literal(name: &str) -> bool {
    let of = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.chars().all(fits)
    };
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match literal {
        Some(inside) => of(inside, ".:-"),
        None => name.split('.').all(|label| of(label, "-_")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(way: &Way, ehlo: Option<&str>, expected: &str) {
        let ehlo = ehlo.map(|name| EhloName::new(name).unwrap());
        assert_eq!(
            way.ehlo_name(ehlo.as_ref(), "relay-1.example.net"),
            expected
        );
    }

    fn customer(address: &str) -> Way {
        Way::of_customer(CustomerAddr::new(address.parse().unwrap()))
    }

    #[test]
    fn the_name_belongs_to_the_address() {
        let (v4, v6) = (customer("192.0.2.10"), customer("2001:db8:a:a::10"));
        let name = Some("mail.customer.example");
        let routed = Way::of_pool(Arc::new(Endpoint::routed()));
        says(&routed, name, "relay-1.example.net");
        let named = Endpoint {
            ehlo: Some("out-1.example.net".into()),
            ..Endpoint::routed()
        };
        says(&Way::of_pool(Arc::new(named)), name, "out-1.example.net");
        says(&v4, name, "mail.customer.example");
        for kept in ["web_1", "[192.0.2.10]", "[IPv6:2001:db8:a:a::10]"] {
            says(&v4, Some(kept), kept);
        }
        for strange in ["a@b", "x..y", ".", "[]", "[a", "a;b", "<x>", "[a]b]"] {
            says(&v4, Some(strange), "[192.0.2.10]");
        }
        says(&v6, None, "[IPv6:2001:db8:a:a::10]");
    }

    #[test]
    fn a_way_is_named_by_what_it_leaves_from() {
        assert_eq!(customer("192.0.2.10").to_string(), "customer/192.0.2.10");
        assert_ne!(customer("192.0.2.10"), customer("192.0.2.11"));
        let routed = Way::of_pool(Arc::new(Endpoint::routed()));
        assert_eq!(
            (routed.to_string(), routed.seen_as()),
            ("relay".into(), None)
        );
    }
}
