//! The far end of the pair, packet by packet.

use std::io;

use rustix::{
    fd::OwnedFd,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
        bind, netdevice, recv, send, socket_with,
    },
};
use tokio::io::{Interest, unix::AsyncFd};

use super::FAR_END;
use crate::edge::EdgeError;

/// A packet socket on the far end.
#[derive(Debug)]
pub struct Wire(AsyncFd<OwnedFd>);

impl Wire {
    /// Takes hold of the far end. To be called on a runtime.
    ///
    /// # Errors
    ///
    /// [`EdgeError::NotPermitted`] without `CAP_NET_RAW`, else what the kernel answers.
    pub fn open() -> Result<Self, EdgeError> {
        let open = || -> io::Result<AsyncFd<OwnedFd>> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // Without a protocol it hears nothing until it is bound: not a moment of the host's other traffic.
            let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
            let index = netdevice::name_to_index(&socket, FAR_END)?;
            bind(&socket, &LinkAddress::of(index))?;
            let interest = Interest::READABLE | Interest::ERROR;
            // SAFETY: an `OwnedFd` owns the one descriptor that its `as_raw_fd` names, for all its life, and moves
            // into the `AsyncFd`.
            let registered = unsafe { AsyncFd::register_with_interest(socket, interest) };
            Ok(registered?)
        };
        let what = format!("opening a packet socket on {FAR_END}, which takes CAP_NET_RAW");
        open()
            .map(Self)
            .map_err(|error| EdgeError::kernel(what, error))
    }

    /// Sends an IP packet to the program. One that the kernel has no room for is lost, as on any wire.
    pub(super) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let ethertype = match packet.first().map(|octet| octet >> 4) {
            Some(4) => IPV4,
            Some(6) => IPV6,
            _ => return Ok(()),
        };
        let frame = [&NOBODYS_EDGE, &NOBODYS_HOST, &ethertype[..], packet].concat();
        match send(self.0.get_ref(), &frame, SendFlags::empty()) {
            Ok(_) => Ok(()),
            Err(error) => match io::Error::from(error) {
                full if full.kind() == io::ErrorKind::WouldBlock => Ok(()),
                full if full.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    Ok(())
                }
                error => Err(error),
            },
        }
    }

    /// The next IP packet from the program. What is not for the host is passed over.
    pub(super) async fn receive(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; FRAME_OCTETS];
        loop {
            let octets = self
                .0
                .async_io(Interest::READABLE | Interest::ERROR, |socket| {
                    Ok(recv(socket, &mut *frame, RecvFlags::empty())?.0)
                })
                .await?;
            let frame = frame.get(..octets).unwrap_or_default();
            if let Some((header, packet)) = frame.split_at_checked(HEADER_OCTETS)
                && header.starts_with(&NOBODYS_HOST)
            {
                return Ok(packet.to_vec());
            }
        }
    }
}

/// `struct sockaddr_ll` (linux/if_packet.h): every protocol of one interface.
#[repr(C)]
struct LinkAddress {
    family: u16,
    protocol_be: u16,
    index: i32,
    hardware_type: u16,
    packet_type: u8,
    address_octets: u8,
    address: [u8; 8],
}

impl LinkAddress {
    const fn of(index: u32) -> Self {
        Self {
            family: AddressFamily::PACKET.as_raw(),
            protocol_be: EVERY_PROTOCOL.to_be(),
            index: index.cast_signed(),
            hardware_type: 0,
            packet_type: 0,
            address_octets: 0,
            address: [0; 8],
        }
    }
}

const _: () = assert!(size_of::<LinkAddress>() == 20);

// SAFETY: the closure gets a pointer to `self`, which is readable for the size of its type while `self` is borrowed,
// has no padding (2 + 2 + 4 + 2 + 1 + 1 + 8 = 20), and is what the kernel reads for AF_PACKET.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        #[expect(clippy::cast_possible_truncation, reason = "20")]
        let octets = size_of::<Self>() as SocketAddrLen;
        f(std::ptr::from_ref(self).cast(), octets)
    }
}

/// `ETH_P_ALL`.
const EVERY_PROTOCOL: u16 = 3;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const HEADER_OCTETS: usize = 14;
/// More than any frame of a veth's usual MTU, and than the window that the host offers: merged segments fit as well.
const FRAME_OCTETS: usize = 2048;
/// Stations of nobody's, locally administered. The kernel knows neither for its own.
const NOBODYS_HOST: [u8; 6] = [0x02, 0x6f, 0x67, 0x70, 0x72, 0x01];
const NOBODYS_EDGE: [u8; 6] = [0x02, 0x6f, 0x67, 0x70, 0x72, 0x02];
