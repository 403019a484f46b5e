//! Egress from an address of the relay.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// This host does not have the address (any more).
    Address(io::Error),
    /// The destination refused, or is not reached.
    Network(io::Error),
}

/// Connects from `source`; without one, from the address that the routing table chooses.
pub(super) async fn connect(
    source: Option<IpAddr>,
    destination: SocketAddr,
) -> Result<TcpStream, Failure> {
    let socket = match destination {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(Failure::Network)?;
    if let Some(source) = source {
        bind(&socket, source).map_err(Failure::Address)?;
    }
    let connected = socket.connect(destination).await;
    connected.map_err(|error| match Errno::from_io_error(&error) {
        // With the port left open it is connect(2) that looks whether one is free.
        Some(Errno::ADDRNOTAVAIL) if source.is_some() => Failure::Address(error),
        _ => Failure::Network(error),
    })
}

/// Without IP_BIND_ADDRESS_NO_PORT bind(2) would reserve a port of this address for this connection alone; with it
/// connect(2) chooses, and one port serves as many destinations as there are. Since Linux 4.2, for IPv6, too.
fn bind(socket: &TcpSocket, source: IpAddr) -> io::Result<()> {
    setsockopt(socket, IpBindAddressNoPort, &true)?;
    socket.bind((source, 0).into())
}
