//! Egress from an address of the relay.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Connects from the relay's default address of the destination's family.
pub(super) async fn connect(destination: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(destination).await
}
