//! Generic receive offload of an interface (what `ethtool -K IFACE gro on` does).
//!
//! Frames that XDP redirects into a veth come out of its other end only if that end polls for them, which it does
//! with an XDP program or with this (since Linux 5.13, drivers/net/veth.c).

use std::{
    ffi::{c_char, c_void},
    io, ptr,
};

use rustix::{
    ioctl::{Opcode, Updater, ioctl},
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};

/// Switches it on.
pub(super) fn switch_on(interface: &str) -> io::Result<()> {
    let mut value = EthtoolValue {
        command: ETHTOOL_SGRO,
        data: 1,
    };
    let mut request = InterfaceRequest {
        name: [0; NAME_OCTETS],
        data: ptr::from_mut(&mut value).cast(),
        rest: [0; 16],
    };
    // The last octet stays zero: the kernel reads up to one.
    for (to, from) in request.name[..NAME_OCTETS - 1]
        .iter_mut()
        .zip(interface.bytes())
    {
        *to = from.cast_signed();
    }
    let any = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: SIOCETHTOOL takes a `struct ifreq`, which `InterfaceRequest` repeats field by field (asserted below).
    let update = unsafe { Updater::<SIOCETHTOOL, InterfaceRequest>::new(&mut request) };
    // SAFETY: for a "set" command the kernel reads one `struct ethtool_value` through `ifr_data` and keeps no
    // pointer; `value` is one, and lives until after the call.
    unsafe { ioctl(&any, update) }?;
    Ok(())
}

/// linux/sockios.h.
const SIOCETHTOOL: Opcode = 0x8946;
/// linux/ethtool.h.
const ETHTOOL_SGRO: u32 = 0x2c;
/// `IFNAMSIZ`.
const NAME_OCTETS: usize = 16;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct ifreq`, its union used as `ifr_data`.
#[repr(C)]
struct InterfaceRequest {
    name: [c_char; NAME_OCTETS],
    data: *mut c_void,
    rest: [u8; 16],
}

const _: () = assert!(size_of::<EthtoolValue>() == 8);
const _: () = assert!(size_of::<InterfaceRequest>() == NAME_OCTETS + size_of::<usize>() + 16);
