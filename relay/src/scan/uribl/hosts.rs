//! The hosts of links, as lists know them: registered domains, and addresses; each once.

use std::net::IpAddr;

use super::super::lists::Host;
use crate::dns::DnsName;

/// So many hosts, and whether there were more.
#[derive(Debug)]
pub(super) struct Hosts {
    list: Vec<Host>,
    most: usize,
    is_full: bool,
}

impl Hosts {
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            list: Vec::new(),
            most,
            is_full: false,
        }
    }

    /// Takes the host of a link, if a list could have it.
    pub(super) fn push(&mut self, authority: &str) {
        let Some(host) = host(authority) else {
            return;
        };
        if self.list.contains(&host) {
            return;
        }
        if self.list.len() < self.most {
            self.list.push(host);
        } else {
            self.is_full = true;
        }
    }

    /// Whether there were more.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_list(self) -> Vec<Host> {
        self.list
    }
}

/// What a browser makes of it: percent signs, letters of all scripts, and numbers that are addresses are understood.
fn host(authority: &str) -> Option<Host> {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.split_once(']') {
        Some((address, _port)) => format!("{address}]"),
        None => host.split(':').next().unwrap_or_default().to_owned(),
    };
    // What ends a sentence is no part of it.
    let host = host.trim_end_matches(['.', '!', '*', '_', '~', '\u{3002}']);
    match url::Host::parse(host).ok()? {
        url::Host::Domain(name) => registered(name.trim_end_matches('.')),
        url::Host::Ipv4(address) => public(address.into()),
        url::Host::Ipv6(address) => public(address.into()),
    }
}

/// The part of a name that somebody has registered. Names that are not of the public DNS are nobody's business.
fn registered(name: &str) -> Option<Host> {
    let last = name.rsplit('.').next()?;
    if NOT_PUBLIC.contains(&last) {
        return None;
    }
    let domain = psl::domain_str(name)?;
    DnsName::new(domain).ok().map(Host::Domain)
}

fn public(address: IpAddr) -> Option<Host> {
    let address = address.to_canonical();
    let own = match address {
        IpAddr::V4(it) => {
            it.is_private() || it.is_loopback() || it.is_link_local() || it.is_unspecified()
        }
        IpAddr::V6(it) => {
            it.is_loopback()
                || it.is_unspecified()
                || it.is_unique_local()
                || it.is_unicast_link_local()
        }
    };
    (!own).then_some(Host::Address(address))
}

/// Names that mean something on one host or network alone (RFC 6761, 6762, 7686, 9476), and numbers in reverse.
const NOT_PUBLIC: [&str; 7] = [
    "alt",
    "arpa",
    "internal",
    "invalid",
    "local",
    "localhost",
    "onion",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_what_lists_know() {
        for (authority, expected) in [
            ("a.b.Example.COM", Some("example.com")),
            ("www.shop.co.uk:8080", Some("shop.co.uk")),
            ("someone.github.io", Some("someone.github.io")),
            ("github.io", None),
            ("user:secret@a.example", Some("a.example")),
            ("www.a%2Eexample.", Some("a.example")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("a\u{3002}example", Some("a.example")),
            ("192.0.2.10", Some("192.0.2.10")),
            ("3221225994", Some("192.0.2.10")),
            ("0xc0.0.0x20a", Some("192.0.2.10")),
            ("0300.0.2.012", Some("192.0.2.10")),
            ("[2001:DB8::1]:80", Some("2001:db8::1")),
            ("[::ffff:192.0.2.10]", Some("192.0.2.10")),
            ("localhost", None),
            ("printer.local", None),
            ("10.0.0.1", None),
            ("127.1", None),
            ("[fe80::1]", None),
            ("[fd00::1]", None),
            ("com", None),
            ("a b", None),
            ("[::1", None),
            ("1.2.3.4.5", None),
            ("", None),
        ] {
            let found = host(authority).map(|host| host.to_string());
            assert_eq!(found.as_deref(), expected, "{authority}");
        }
    }

    #[test]
    fn each_is_kept_once_and_no_more_than_wanted() {
        let mut hosts = Hosts::at_most(2);
        for authority in ["a.example", "www.a.example", "b.example", "a.example"] {
            hosts.push(authority);
        }
        assert!(!hosts.is_full());
        hosts.push("c.example");
        assert!(hosts.is_full());
        assert_eq!(hosts.into_list().len(), 2);
    }
}
