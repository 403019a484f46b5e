//! Tunnels at a relay's host: the programs that end them, on the interface that leads to the edges.
//!
//! They need no controller and nobody who keeps them: everything is in the kernel, pinned in a directory of the
//! interface's own, and stays until [`detach`] or a reboot. [`attach`] over what runs already swaps programs and edges
//! and leaves the noted customers, so that no connection notices. [`status`] only looks.
//!
//! All of it is blocking, as [`crate::edge`] is. [`ends`] is pure.
//!
//! # Diagnostics
//!
//! [`TunnelError`]: what was asked for, or the host; each message says what to do next. What will not work as long as
//! the host stays as it is, but may be mended later, is in [`Attached::warnings`].

mod ends;
mod error;
mod pins;
mod seat;
mod ways;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use aya::EbpfLoader;
use redirector_common::{
    abi::host::{HOST_MAPS, HostCounter, HostEdge},
    addr::Addr,
    tunnel::outer::{OCTETS_V4, OCTETS_V6},
};
use serde::Serialize;

pub use self::error::TunnelError;
use self::{pins::Pins, seat::Seat};
use crate::edge::{AttachMode, EdgeError, Ladder, RefusedMode, attach, interface::Interface};

/// The kernel programs, built from `redirector-ebpf` by `build.rs`.
pub static PROGRAM: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/outgate-tunnel"));

/// Where maps and links are pinned when nothing else is said.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/outgate";

/// What is to run on an interface.
#[derive(Clone, Debug)]
pub struct Order {
    /// Directory on bpffs.
    pub pin_dir: PathBuf,
    /// The interface, by name.
    pub interface: String,
    /// Our ends of tunnels, at most one of each family.
    pub locals: Vec<IpAddr>,
    /// The edges' ends.
    pub edges: Vec<IpAddr>,
    /// How they are attached, XDP for the ingress alone; `None` = in the driver, and where it has no XDP, in tc.
    pub ladder: Option<Ladder>,
}

/// What runs on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tunnels {
    /// Name.
    pub interface: String,
    /// How the ingress is attached; `None` = it is not there (any more).
    pub ingress: Option<AttachMode>,
    /// The same of the egress.
    pub egress: Option<AttachMode>,
    /// Whom packets come from and go to.
    pub edges: Vec<EdgeView>,
    /// Customers (IPv6: their /64s) of whom it is known by which edge they came.
    pub customers: u64,
    /// What was counted, by [`HostCounter::name`].
    pub counters: BTreeMap<&'static str, u64>,
}

/// A tunnel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EdgeView {
    /// The edge's end.
    pub edge: IpAddr,
    /// Ours.
    pub local: IpAddr,
    /// Octets of a packet inside that fits the interface with its outer header; `None` = it has gone.
    pub mtu: Option<u32>,
}

/// What came of an [`Order`].
#[derive(Clone, Debug, Serialize)]
pub struct Attached {
    /// What runs now.
    #[serde(flatten)]
    pub tunnels: Tunnels,
    /// Modes that were tried in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedMode>,
    /// What will not work until somebody does something about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Puts the programs on an interface, or changes what runs there.
///
/// # Errors
///
/// [`TunnelError`]; nothing was attached then that was not attached before.
pub fn attach(order: &Order) -> Result<Attached, TunnelError> {
    let tunnels = ends::paired(&order.locals, &order.edges)?;
    let interface = look_up(&order.interface)?;
    let own = ways::own_addresses()?;
    for local in &order.locals {
        if !own.contains(local) {
            return Err(TunnelError::NotOwn { local: *local });
        }
    }
    let pins = Pins::prepare(&order.pin_dir, &interface.name)?;
    let was_there = Seat::ALL
        .iter()
        .any(|seat| matches!(seat.running(&interface, &pins), Ok(Some(_))));
    let mut object = load(&pins)?;
    pins.put_edges(&tunnels)?;
    pins.put_own(&own)?;
    let ladder = order.ladder.clone().unwrap_or_else(default_ladder);
    let egress = without_xdp(&ladder);
    let mut refused = Vec::new();
    // The egress first: from the first packet on that comes in, its answer finds the way.
    let done = Seat::Out
        .put(&mut object, &interface, &pins, &egress, &mut refused)
        .and_then(|()| Seat::In.put(&mut object, &interface, &pins, &ladder, &mut refused));
    if let Err(error) = done {
        if !was_there {
            take_off(&interface, &pins)?;
            pins.remove()?;
        }
        return Err(error.into());
    }
    Ok(Attached {
        tunnels: look(&pins)?,
        refused,
        warnings: ways::warnings(&interface, &tunnels)?,
    })
}

/// Takes the programs off an interface, and forgets its customers.
///
/// # Errors
///
/// [`TunnelError::NotAttached`] if there is nothing of ours.
pub fn detach(pin_dir: &std::path::Path, interface: &str) -> Result<(), TunnelError> {
    let pins = Pins::existing(pin_dir, interface);
    if !pins.exist() {
        return Err(TunnelError::NotAttached {
            interface: interface.to_owned(),
        });
    }
    if let Some(found) = attach::look_up(interface)? {
        take_off(&found, &pins)?;
    }
    // What is left is of an interface that has gone.
    Ok(pins.remove()?)
}

/// What runs on every interface that somebody has attached to.
///
/// # Errors
///
/// Only what the kernel answers.
pub fn status(pin_dir: &std::path::Path) -> Result<Vec<Tunnels>, TunnelError> {
    let interfaces = Pins::interfaces(pin_dir)?.into_iter();
    interfaces
        .map(|interface| Ok(look(&Pins::existing(pin_dir, &interface))?))
        .collect()
}

fn look_up(interface: &str) -> Result<Interface, TunnelError> {
    attach::look_up(interface)?.ok_or_else(|| TunnelError::NoSuchInterface {
        interface: interface.to_owned(),
    })
}

/// Opens the object on the pinned maps, and makes those that are not there yet.
fn load(pins: &Pins) -> Result<aya::Ebpf, EdgeError> {
    let mut loader = EbpfLoader::new();
    for name in HOST_MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    loader
        .load(PROGRAM)
        .map_err(|error| EdgeError::program("opening the embedded program", error))
}

/// The ingress first: what it would still take in could not be answered.
fn take_off(interface: &Interface, pins: &Pins) -> Result<(), EdgeError> {
    for seat in Seat::ALL {
        seat.vacate(interface, pins)?;
    }
    Ok(())
}

fn look(pins: &Pins) -> Result<Tunnels, EdgeError> {
    let found = attach::look_up(pins.interface())?;
    let mode = |seat: Seat| match &found {
        Some(interface) => Ok(seat.running(interface, pins)?.map(|(mode, _)| mode)),
        None => Ok::<_, EdgeError>(None),
    };
    let mut edges: Vec<EdgeView> = pins
        .edges()?
        .into_iter()
        .map(|(edge, record)| view(edge, &record, found.as_ref()))
        .collect();
    edges.sort();
    Ok(Tunnels {
        interface: pins.interface().to_owned(),
        ingress: mode(Seat::In)?,
        egress: mode(Seat::Out)?,
        edges,
        customers: pins.customers()?,
        counters: HostCounter::ALL
            .iter()
            .map(|counter| counter.name())
            .zip(pins.counts()?)
            .collect(),
    })
}

fn view(edge: [u8; 16], record: &HostEdge, interface: Option<&Interface>) -> EdgeView {
    let address = |octets| IpAddr::from(Addr::from_mapped(octets, record.family));
    let edge = address(edge);
    EdgeView {
        edge,
        local: address(record.local),
        mtu: interface.map(|interface| inside(interface.mtu, edge)),
    }
}

/// Octets that an interface takes, without a header around them of an address's family.
fn inside(mtu: u32, edge: IpAddr) -> u32 {
    let outer = if edge.is_ipv4() { OCTETS_V4 } else { OCTETS_V6 };
    mtu.saturating_sub(u32::try_from(outer).unwrap_or(u32::MAX))
}

/// What an interface without XDP gets.
fn default_ladder() -> Ladder {
    Ladder::new(vec![AttachMode::Native, AttachMode::beside_xdp()])
        .unwrap_or_else(|_two_modes| AttachMode::beside_xdp().into())
}

/// What is left of a ladder at an egress, where there is no XDP.
fn without_xdp(ladder: &Ladder) -> Ladder {
    let modes = ladder.modes().filter(|mode| !mode.is_xdp()).collect();
    Ladder::new(modes).unwrap_or_else(|_only_xdp| AttachMode::beside_xdp().into())
}
