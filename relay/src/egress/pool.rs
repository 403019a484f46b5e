//! Egress from an address of the relay: the one that the routing table chooses.

use std::io;

use tokio::net::TcpStream;

use crate::origin::OriginalDst;

/// Connects from the relay's default address of the destination's family.
pub(super) async fn connect(destination: OriginalDst) -> io::Result<TcpStream> {
    TcpStream::connect(destination.socket_addr()).await
}
