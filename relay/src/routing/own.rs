//! Who we are, so that no mail is sent in a circle.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::config::Config;
use crate::dns::DnsName;

/// This relay, as others name it.
#[derive(Debug)]
pub(super) struct Own {
    hostname: Option<DnsName>,
    listeners: Vec<SocketAddr>,
}

impl Own {
    pub(super) fn of(config: &Config) -> Self {
        let rewritten = config.rewritten.iter().flat_map(|it| &it.listen);
        let authorised = config.authorised.iter().flat_map(|it| &it.listen);
        let listeners = rewritten.chain(authorised).chain(&config.transparent);
        Self {
            hostname: DnsName::new(&config.identity.hostname).ok(),
            listeners: listeners.copied().collect(),
        }
    }

    /// Whether a server is this relay.
    pub(super) fn is(&self, name: Option<&DnsName>, addresses: &[SocketAddr]) -> bool {
        (name.is_some() && name == self.hostname.as_ref())
            || addresses.iter().any(|&address| self.listens_on(address))
    }

    fn listens_on(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|listener| {
            listener.port() == address.port()
                && (listener.ip() == address.ip()
                    || (listener.ip().is_unspecified()
                        && listener.is_ipv4() == address.is_ipv4()
                        && is_of_this_host(address.ip())))
        })
    }
}

/// Only an address of this host can be bound.
fn is_of_this_host(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}
