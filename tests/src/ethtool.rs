//! Offload switches of an interface (what `ethtool -K` does), by SIOCETHTOOL.
//!
//! The only unsafe code of the lab: no program for this can be assumed on the machine.
#![expect(unsafe_code, reason = "an ioctl whose argument holds a pointer")]

use std::{
    ffi::{c_char, c_void},
    ptr,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    io::Errno,
    ioctl::{Opcode, Updater, ioctl},
    net::{AddressFamily, SocketType, socket},
};

use crate::netns::Namespace;

/// An offload, by the number of its "set" command in linux/ethtool.h.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offload {
    /// Transmit checksums; without them TSO goes as well.
    TxChecksum = 0x17,
    /// Segmentation of TCP by the card.
    Tso = 0x1f,
    /// Generic segmentation.
    Gso = 0x24,
    /// Generic receive.
    Gro = 0x2c,
}

/// Switches one offload of one interface of a namespace.
pub(crate) fn set(
    namespace: &Namespace,
    interface: &str,
    offload: Offload,
    on: bool,
) -> Result<()> {
    ensure!(
        interface.len() < NAME_OCTETS,
        "{interface}: longer than an interface's name can be"
    );
    namespace.inside(|| {
        let mut value = EthtoolValue {
            cmd: offload as u32,
            data: u32::from(on),
        };
        let mut request = IfReq {
            name: [0; NAME_OCTETS],
            data: ptr::from_mut(&mut value).cast(),
            rest: [0; 16],
        };
        for (to, from) in request.name.iter_mut().zip(interface.bytes()) {
            *to = from.cast_signed();
        }
        let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        // SAFETY: SIOCETHTOOL is a valid opcode, and the kernel takes a `struct ifreq`, which
        // `IfReq` repeats field by field.
        let update = unsafe { Updater::<SIOCETHTOOL, IfReq>::new(&mut request) };
        // SAFETY: for a "set" command the kernel reads one `struct ethtool_value` through
        // `ifr_data`; `value` is one, and lives until after the call.
        let done: Result<(), Errno> = unsafe { ioctl(&any, update) };
        done.with_context(|| format!("{offload:?} of {interface}"))
    })
}

const SIOCETHTOOL: Opcode = 0x8946;
const NAME_OCTETS: usize = 16;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// `struct ifreq` with its union used as `ifr_data`.
#[repr(C)]
struct IfReq {
    name: [c_char; NAME_OCTETS],
    data: *mut c_void,
    rest: [u8; 16],
}

const _: () = assert!(size_of::<IfReq>() == 40, "as in linux/if.h");
