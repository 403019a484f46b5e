//! IP_TRANSPARENT: sockets with addresses that are not this host's.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use socket2::SockRef;

/// Lets `socket`, of the family of `address`, be bound to any address and accept connections to any.
/// Without CAP_NET_RAW and CAP_NET_ADMIN it is EPERM, unless whoever opened the socket has done so already.
pub(crate) fn allow(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if address.is_ipv4() {
        if !socket.ip_transparent_v4()? {
            socket.set_ip_transparent_v4(true)?;
        }
    } else if !socket.ip_transparent_v6()? {
        socket.set_ip_transparent_v6(true)?;
    }
    Ok(())
}
