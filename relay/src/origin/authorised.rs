//! The origin of connections that no edge of ours has diverted: a range that the operator has authorised, and a
//! destination that the kernel or a load balancer tells, or none, where mail is given to the relay itself.
//!
//! Who is served follows from the range alone, and where to from something that the customer cannot write: a
//! PROXY header counts only from a proxy, and whoever else comes to such a listener is a stranger. The relay
//! never serves a connection to itself, to this host or to one of its proxies, or two of them would pass a
//! message back and forth, nor one to another port than 25.
//!
//! # Diagnostics
//! Only logged: a header that cannot be read, an original destination that the kernel does not tell (`warn`),
//! because both are the operator's to mend.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use relay_proto::proxy::{FIXED_OCTETS, Proxied, ProxyError, decode, total_octets};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::transparent::is_own;
use super::{CustomerAddr, Found, OriginalDst, SMTP_PORT, found};
use crate::config::{Authorised, Destination, Terms};

/// Whom an authorised listener serves, and how it learns where they were going.
#[derive(Debug)]
pub(crate) struct Ranges {
    from: Vec<IpNetwork>,
    destination: Destination,
    terms: Arc<Terms>,
}

/// What is known of a connection at such a listener.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// One that is served.
    Known {
        /// Who opened it.
        customer: CustomerAddr,
        /// To whom.
        original_dst: OriginalDst,
    },
    /// One that is served, and was going to us: its mail goes where its recipients' servers are.
    ToUs {
        /// Who opened it.
        customer: CustomerAddr,
    },
    /// The proxy itself, which wants to know whether we live.
    Probe,
    /// Somebody out of no authorised range, or in front of a proxy's listener.
    Stranger(IpAddr),
    /// Nothing tells where it was going.
    NoDestination,
    /// It was going where nobody is served.
    NoService(NoService),
    /// What came first is no PROXY header.
    NoHeader(ProxyError),
    /// It ended before it began.
    Lost,
}

/// Why a destination is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoService {
    /// This host, or a proxy in front of it.
    Ourselves,
    /// Another port than 25.
    Port,
    /// An address that no packet of a customer can be routed to.
    Unroutable,
}

impl Ranges {
    /// Those of one `[[authorised]]`.
    pub(crate) fn new(authorised: &Authorised) -> Self {
        Self {
            from: authorised.from.clone(),
            destination: authorised.destination.clone(),
            terms: Arc::clone(&authorised.terms),
        }
    }

    /// What is done with the mail of those who have no flag.
    pub(crate) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// Whether customers come here by themselves. Then nobody was ever brought here too early, or too late.
    pub(crate) fn are_called_on(&self) -> bool {
        matches!(self.destination, Destination::Mx)
    }

    /// Whether `address` is in an authorised range.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        is_in(&self.from, address)
    }

    /// Finds out about the connection from `peer` that we accepted at `local`; reads a header off it, and not an
    /// octet more. Ends in bounded time.
    pub(crate) async fn look_up(
        &self,
        tcp: &mut TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Reached {
        match &self.destination {
            Destination::ProxyV2 { proxies } => {
                if !is_in(proxies, peer.ip()) {
                    return Reached::Stranger(peer.ip());
                }
                match timeout(HEADER_DEADLINE, read_header(tcp)).await {
                    Ok(Ok(Ok(Proxied::Local))) => Reached::Probe,
                    Ok(Ok(Ok(Proxied::For {
                        source,
                        destination,
                    }))) => self.judge(source.ip(), destination, proxies),
                    Ok(Ok(Err(error))) => Reached::NoHeader(error),
                    Ok(Err(error)) => {
                        debug!(%error, "proxy left before its header");
                        Reached::Lost
                    }
                    Err(_elapsed) => Reached::NoHeader(ProxyError::Absent),
                }
            }
            Destination::SoOriginalDst => match original_destination(tcp, local) {
                Ok(destination) => self.judge(peer.ip(), destination, &[]),
                Err(_) if !self.contain(peer.ip()) => Reached::Stranger(peer.ip()),
                Err(error) => {
                    warn!(%error, customer.addr = %peer.ip(), "no original destination; is it translated on this host?");
                    Reached::NoDestination
                }
            },
            Destination::LocalAddress => self.judge(peer.ip(), local, &[]),
            Destination::Mx if self.contain(peer.ip()) => Reached::ToUs {
                customer: CustomerAddr::new(peer.ip()),
            },
            Destination::Mx => Reached::Stranger(peer.ip()),
        }
    }

    fn judge(&self, customer: IpAddr, destination: SocketAddr, proxies: &[IpNetwork]) -> Reached {
        if !self.contain(customer) {
            return Reached::Stranger(customer);
        }
        let own = is_in(proxies, destination.ip()) || destination.ip().is_loopback();
        match is_own(destination.ip()) {
            _ if own => return Reached::NoService(NoService::Ourselves),
            Ok(true) => return Reached::NoService(NoService::Ourselves),
            Ok(false) => {}
            // A route may come back, so its mail must not bounce.
            Err(error) => {
                warn!(%error, original.dst = %destination, "no route to a customer's destination");
                return Reached::NoDestination;
            }
        }
        if destination.port() != SMTP_PORT {
            return Reached::NoService(NoService::Port);
        }
        match found(customer, destination.ip()) {
            Found::Known {
                customer,
                original_dst,
            } => Reached::Known {
                customer,
                original_dst,
            },
            Found::Unknown => Reached::NoService(NoService::Unroutable),
        }
    }
}

async fn read_header(tcp: &mut TcpStream) -> io::Result<Result<Proxied, ProxyError>> {
    let mut fixed = [0; FIXED_OCTETS];
    tcp.read_exact(&mut fixed).await?;
    let total = match total_octets(&fixed) {
        Ok(total) => total,
        Err(error) => return Ok(Err(error)),
    };
    let mut header = vec![0; total];
    let (beginning, rest) = header.split_at_mut(FIXED_OCTETS);
    beginning.copy_from_slice(&fixed);
    tcp.read_exact(rest).await?;
    Ok(decode(&header))
}

/// Where the connection was going before this host's netfilter changed that. Of one that was never changed the kernel
/// tells where it came, which is our own address.
fn original_destination(tcp: &TcpStream, local: SocketAddr) -> io::Result<SocketAddr> {
    let socket = SockRef::from(tcp);
    let address = if local.is_ipv4() {
        socket.original_dst_v4()?
    } else {
        socket.original_dst_v6()?
    };
    address
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn is_in(ranges: &[IpNetwork], address: IpAddr) -> bool {
    let address = address.to_canonical();
    ranges.iter().any(|range| range.contains(address))
}

/// A proxy writes its header before it knows anything of the session; the specification asks for at least 3 s.
const HEADER_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_on_its_way_to_a_mail_server_elsewhere_is_served() {
        let ranges = Ranges {
            from: vec![
                "192.0.2.0/24".parse().unwrap(),
                "2001:db8:a::/48".parse().unwrap(),
            ],
            destination: Destination::LocalAddress,
            terms: Arc::new(Terms {
                delivery: contract::Delivery::default(),
                treatment: contract::Treatment::Filter,
                reason: None,
            }),
        };
        let proxies = ["203.0.113.64/26".parse().unwrap()];
        let ourselves = Reached::NoService(NoService::Ourselves);
        for (customer, destination, expected) in [
            (
                "198.51.100.1",
                "203.0.113.10:25",
                Reached::Stranger("198.51.100.1".parse().unwrap()),
            ),
            (
                "2001:db8:b::1",
                "[2001:db8:b:1::10]:25",
                Reached::Stranger("2001:db8:b::1".parse().unwrap()),
            ),
            (
                "192.0.2.10",
                "127.0.0.1:25",
                Reached::NoService(NoService::Ourselves),
            ),
            (
                "2001:db8:a::1",
                "[::1]:25",
                Reached::NoService(NoService::Ourselves),
            ),
            ("::ffff:192.0.2.10", "203.0.113.70:25", ourselves),
        ] {
            let reached = ranges.judge(
                customer.parse().unwrap(),
                destination.parse().unwrap(),
                &proxies,
            );
            assert_eq!(reached, expected, "{customer} to {destination}");
        }
    }
}
