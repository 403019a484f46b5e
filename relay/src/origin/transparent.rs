//! The origin of connections that the edge steered to a transparent listener: their destination is
//! still the one that the customer wrote, so the accepted socket's own address says it.
//!
//! Nothing but the edge vouches for such a connection, and whoever can reach the relay's link can send
//! it a SYN for any address. So a peer is served only if it is a redirected customer, and only
//! towards an address that is not the relay host's own: the latter is a health check, or somebody
//! who came to the relay by name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use tracing::warn;

use super::{Found, Origin, found};
use crate::snapshot::InForce;

/// The origin of what arrives at a transparent listener.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transparent;

impl Origin for Transparent {
    fn look_up(&self, peer: SocketAddr, local: SocketAddr, customers: &InForce) -> Found {
        if customers.customer(peer.ip()).is_none() {
            return Found::Unknown;
        }
        match is_own(local.ip()) {
            Ok(false) => found(peer.ip(), local.ip()),
            Ok(true) => Found::Unknown,
            Err(error) => {
                warn!(%error, original.dst = %local.ip(), "no route to a customer's destination");
                Found::Unknown
            }
        }
    }
}

/// Whether `address` is one of this host's.
///
/// Who sends to itself sends from that very address (RFC 6724 section 5, rule 1). Connecting a datagram
/// socket asks the kernel just that and sends nothing. Trying to bind the address would
/// say yes to everything under net.ipv4.ip_nonlocal_bind. The AnyIP route does not enter into it, because
/// its rules are about what came in by an interface.
pub(crate) fn is_own(address: IpAddr) -> io::Result<bool> {
    Ok(source_towards(address)? == address)
}

/// The address that this host sends from to `address`, by its routing table.
pub(crate) fn source_towards(address: IpAddr) -> io::Result<IpAddr> {
    let any = match address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((address, DISCARD_PORT))?;
    Ok(socket.local_addr()?.ip())
}

/// RFC 863; nothing is sent there.
const DISCARD_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_hosts_addresses_are_its_own_and_no_others() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()).unwrap());
        assert!(is_own(Ipv6Addr::LOCALHOST.into()).unwrap());
        // TEST-NET-2 and the documentation prefix: without a route it is an error, with one it is no.
        for elsewhere in ["198.51.100.77", "2001:db8:2::77"] {
            assert!(!is_own(elsewhere.parse().unwrap()).unwrap_or(false));
        }
    }
}
