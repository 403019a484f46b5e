//! Egress from the customer's own address.
//!
//! The edge lets such a leg out, and what comes back in to us, by its source port, so every leg
//! leaves from [`CUSTOMER_EGRESS_PORTS`]. The port is chosen here: IP_LOCAL_PORT_RANGE would have the kernel
//! do it, but came with Linux 6.3, and then there would be two ways to be right about. A port
//! may serve several destinations at once; only the whole tuple has to be unique.
//!
//! # Diagnostics
//! Returned: [`ConnectError`]. Logged: a missing capability (`error`), because only the operator can act.

use std::io;
use std::net::SocketAddr;

use contract::CUSTOMER_EGRESS_PORTS;
use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::yield_now;
use tracing::error;

use super::ConnectError;
use crate::origin::CustomerAddr;
use crate::transparent;

/// Connects from a free port of `customer`, looking at each at most once.
pub(super) async fn connect(
    customer: CustomerAddr,
    destination: SocketAddr,
) -> Result<TcpStream, ConnectError> {
    for port in ports() {
        let socket = bound(SocketAddr::new(customer.ip(), port));
        let connected = match socket {
            Ok(socket) => socket.connect(destination).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) if is_taken(&error) => yield_now().await,
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                error!(%error, "cannot send from a customer's address: CAP_NET_RAW is missing");
                return Err(ConnectError::NotPermitted);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ConnectError::PortsExhausted)
}

/// All ports once, from a random one on: who could guess the port could more easily forge a segment
/// (RFC 6056), and a port that was used last is the likeliest in TIME_WAIT.
fn ports() -> impl Iterator<Item = u16> {
    let (low, high) = CUSTOMER_EGRESS_PORTS.into_inner();
    let first = fastrand::u16(low..=high);
    (first..=high).chain(low..first)
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Legs to other destinations, and those in TIME_WAIT, share the port.
    socket.set_reuseaddr(true)?;
    transparent::allow(&socket, address)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Somebody else holds the port: at bind(2), or at connect(2) for this destination alone.
fn is_taken(error: &io::Error) -> bool {
    let taken = [Errno::ADDRINUSE, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| taken.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_port_of_the_range_is_tried_once() {
        let all: Vec<u16> = ports().collect();
        assert_eq!(all.len(), CUSTOMER_EGRESS_PORTS.len());
        let distinct: HashSet<u16> = all.into_iter().collect();
        assert_eq!(distinct, CUSTOMER_EGRESS_PORTS.collect());
    }
}
