//! The address that the relay's own leg to the MX leaves from, by the customer's policy, and the name
//! that it goes by.
//!
//! # Diagnostics
//! Returned: [`ConnectError`]; its text is part of the reply that the customer reads.

use std::io;
use std::net::IpAddr;

use contract::Egress;
use relay_proto::envelope::EhloName;
use tokio::net::TcpStream;

use crate::origin::{CustomerAddr, OriginalDst};
use crate::outbound::requirement::Requirement;

mod customer;
mod pool;

/// A leg that is to be opened.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) egress: Egress,
    pub(crate) customer: CustomerAddr,
    /// What the customer calls itself.
    pub(crate) ehlo: Option<EhloName>,
    pub(crate) destination: OriginalDst,
    /// What its TLS must show; also says what SNI does.
    pub(crate) requirement: Requirement,
    /// The customer's own leg is in clear text. If nothing is required either, a destination whose TLS never works is
    /// served in clear text.
    pub(crate) customer_in_clear: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The destination refused, or is not reached.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// As many connections leave from the customer's address to this destination as there can be.
    #[error("all ports that the relay may use of your address are in use")]
    PortsExhausted,
    /// Our own deployment lacks a capability.
    #[error("the relay may not send from your address")]
    NotPermitted,
}

/// Connects. The caller bounds the time.
pub(crate) async fn connect(leg: &Leg) -> Result<TcpStream, ConnectError> {
    let stream = match leg.egress {
        Egress::Pool => pool::connect(leg.destination).await?,
        Egress::Customer => customer::connect(leg.customer, leg.destination).await?,
    };
    // Commands are small and each waits for its reply: Nagle's algorithm would only add a delay.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What EHLO says on this leg. Receivers compare it with the address that a connection comes from, so
/// the name belongs to whose address that is.
pub(crate) fn ehlo_name(leg: &Leg, own: &str) -> String {
    match (leg.egress, &leg.ehlo) {
        (Egress::Pool, _) => own.to_owned(),
        (Egress::Customer, Some(name)) if is_domain_or_literal(name.as_str()) => name.to_string(),
        // RFC 5321 section 4.1.4: who has no meaningful name says its address.
        (Egress::Customer, _) => match leg.customer.ip() {
            IpAddr::V4(v4) => format!("[{v4}]"),
            IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
        },
    }
}

/// The policy's word for an egress.
pub(crate) fn name(egress: Egress) -> &'static str {
    match egress {
        Egress::Pool => "pool",
        Egress::Customer => "customer",
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
    fn says(egress: Egress, customer: &str, ehlo: Option<&str>, expected: &str) {
        let leg = Leg {
            egress,
            customer: CustomerAddr::new(customer.parse().unwrap()),
            ehlo: ehlo.map(|name| EhloName::new(name).unwrap()),
            destination: OriginalDst::new("203.0.113.10:25".parse().unwrap()),
            requirement: Requirement::default(),
            customer_in_clear: false,
        };
        assert_eq!(ehlo_name(&leg, "relay-1.example.net"), expected);
    }

    #[test]
    fn the_name_belongs_to_the_address() {
        let (v4, v6) = ("192.0.2.10", "2001:db8:a:a::10");
        let name = Some("mail.customer.example");
        says(Egress::Pool, v4, name, "relay-1.example.net");
        says(Egress::Customer, v4, name, "mail.customer.example");
        for kept in ["web_1", "[192.0.2.10]", "[IPv6:2001:db8:a:a::10]"] {
            says(Egress::Customer, v4, Some(kept), kept);
        }
        for strange in ["a@b", "x..y", ".", "[]", "[a", "a;b", "<x>", "[a]b]"] {
            says(Egress::Customer, v4, Some(strange), "[192.0.2.10]");
        }
        says(Egress::Customer, v6, None, "[IPv6:2001:db8:a:a::10]");
    }
}
