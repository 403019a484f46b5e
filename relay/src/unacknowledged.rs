//! How much of what was written to a TCP socket the peer's TCP has not acknowledged.
//!
//! No safe wrapper of SIOCOUTQ exists, hence `unsafe` here.
#![expect(
    unsafe_code,
    reason = "rustix cannot know what an ioctl writes, so it has to be told"
)]

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl, opcode};

/// Octets that were written and not acknowledged, those not yet sent included (tcp(7), SIOCOUTQ). The end
/// of the connection counts as one. After a reset it is what it was just before.
///
/// # Errors
/// The kernel does not know: a few architectures that we do not build for have another number for it.
pub(crate) fn octets(socket: impl AsFd) -> io::Result<c_int> {
    // SAFETY: SIOCOUTQ reads nothing and writes one int.
    let getter = unsafe { Getter::<SIOCOUTQ, c_int>::new() };
    // SAFETY: the getter's opcode and output fit, as was just said, and `socket` stays open meanwhile. For
    // other descriptors the kernel refuses this opcode, or writes an int (TIOCOUTQ) as well.
    let octets = unsafe { ioctl(socket, getter) }?;
    Ok(octets)
}

/// asm-generic/sockios.h and ioctls.h: 0x5411.
const SIOCOUTQ: Opcode = opcode::none(b'T', 0x11);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_the_peer_has_acknowledged_is_not_counted() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut ours, _) = listener.accept().unwrap();
        assert_eq!(octets(&ours).unwrap(), 0);
        ours.write_all(b"acknowledged with what follows").unwrap();
        peer.read_exact(&mut [0; 30]).unwrap();
        peer.write_all(b"x").unwrap();
        ours.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(octets(&ours).unwrap(), 0);

        // More than the peer's buffers hold, and nobody reads.
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[0; 65536]).is_ok() {}
        let waiting = octets(&ours).unwrap();
        assert!(waiting > 0);
        // A reset leaves it as it was, and acknowledges nothing.
        drop(peer);
        let mut octet = [0; 1];
        while ours
            .read(&mut octet)
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        {}
        assert!(octets(&ours).unwrap() > 0);
    }
}
