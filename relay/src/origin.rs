//! Where a connection that reached a listener was going before the edge diverted it.
//!
//! [`FlowMap`] is for connections whose destination the edge has rewritten: it reads the edge's pinned
//! flow table, and this is the only file that knows its shape. The pin is looked at for each
//! connection: an edge that was upgraded pins a new table under the same name, and answers from
//! the old one would be answers about nobody. [`Transparent`] is for connections that the edge has
//! steered here with their destination as it was, and `authorised` for those that came without the edge.
//!
//! # Diagnostics
//! Returned by [`FlowMap::open`]: [`OriginError`], by who is to blame. Only logged, once per change: a
//! table that cannot be read later on. A connection is then of unknown origin and is answered
//! 421, never served on a guess.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aya::maps::{HashMap, MapData, MapError, MapType};
use redirector_common::abi::{self, Flow, FlowKey, SMTP_PORT};
use redirector_common::addr::Addr;
use tracing::{info, warn};

use crate::snapshot::InForce;

mod authorised;
mod transparent;

pub(crate) use authorised::{NoService, Ranges, Reached};
pub use transparent::Transparent;
pub(crate) use transparent::{is_own, source_towards};

/// A flagged host's address, as its packets carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomerAddr(IpAddr);

impl CustomerAddr {
    /// The customer behind a connection whose peer is `address`.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for CustomerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The mail server that the customer chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginalDst(SocketAddr);

impl OriginalDst {
    /// The destination of a connection that the operator vouches for (a flow table does so, or that
    /// the connection came by a transparent listener).
    #[must_use]
    pub fn new(destination: SocketAddr) -> Self {
        Self(destination)
    }

    /// Address and port.
    #[must_use]
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for OriginalDst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The gate diverted it.
    Known {
        /// Who opened it.
        customer: CustomerAddr,
        /// To whom.
        original_dst: OriginalDst,
    },
    /// The gate knows nothing of it.
    Unknown,
}

/// A source of origins.
pub trait Origin: Send + Sync {
    /// Looks up the connection from `peer` that we accepted at `local`, by what is known of customers
    /// now. Must not block for long.
    fn look_up(&self, peer: SocketAddr, local: SocketAddr, customers: &InForce) -> Found;
}

/// Why the flow table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The edge has not pinned it (yet).
    #[error("{}: not pinned; is outgated running with this pin_dir?", .0.display())]
    Absent(PathBuf),
    /// We may not open it. Since Linux 5.19 the pin's own permissions decide, before that CAP_BPF does.
    #[error(
        "{}: not permitted; outgate-relay needs read and write permission on the pin, and CAP_BPF below Linux 5.19",
        .0.display()
    )]
    NotPermitted(PathBuf),
    /// It is not the table that this version was built for.
    #[error("{}: not the flow table of this version: {what}", path.display())]
    Shape {
        /// The pin.
        path: PathBuf,
        /// The difference.
        what: String,
    },
    /// The kernel refused otherwise.
    #[error("{}: {source}", path.display())]
    Kernel {
        /// The pin.
        path: PathBuf,
        /// Why.
        source: MapError,
    },
}

type Table = HashMap<MapData, [u8; FlowKey::SIZE], [u8; Flow::SIZE]>;

/// The edge's flow table on this host.
#[derive(Debug)]
pub struct FlowMap {
    path: PathBuf,
    open: Mutex<Open>,
}

/// What the pin was when we last looked.
#[derive(Debug)]
enum Open {
    Table { pin: PinIdentity, table: Table },
    Unusable { pin: Option<PinIdentity> },
}

/// Tells one pinned object from the next under the same name.
type PinIdentity = (u64, u64);

impl FlowMap {
    /// Opens the table under `pin_dir`. An absent one is not an error: it is picked up when it appears.
    pub fn open(pin_dir: &Path) -> Result<Self, OriginError> {
        let path = pin_dir
            .join(format!("v{}", abi::ABI_VERSION))
            .join(abi::map::FLOWS);
        let open = match open_table(&path) {
            Ok((pin, table)) => Open::Table { pin, table },
            Err(error @ OriginError::Absent(_)) => {
                warn!(%error, "no flow table yet");
                Open::Unusable { pin: None }
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            open: Mutex::new(open),
        })
    }

    /// Makes `open` what the pin now is, if it has changed.
    fn refresh(&self, open: &mut Open) {
        let now = identity(&self.path).ok();
        let before = match open {
            Open::Table { pin, .. } => Some(*pin),
            Open::Unusable { pin } => *pin,
        };
        if now == before {
            return;
        }
        *open = match open_table(&self.path) {
            Ok((pin, table)) => {
                info!(pin = %self.path.display(), "flow table opened");
                Open::Table { pin, table }
            }
            Err(error) => {
                warn!(%error, "flow table lost; diverted connections are answered 421");
                Open::Unusable { pin: now }
            }
        };
    }
}

impl Origin for FlowMap {
    /// The table alone says who was diverted: a flag may have ended since.
    fn look_up(&self, peer: SocketAddr, local: SocketAddr, _customers: &InForce) -> Found {
        let mut open = self
            .open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.refresh(&mut open);
        let table = match &*open {
            Open::Table { table, .. } => table,
            Open::Unusable { .. } => return Found::Unknown,
        };
        let key = FlowKey::new(
            Addr::from(peer.ip()),
            peer.port().to_be_bytes(),
            Addr::from(local.ip()),
            local.port().to_be_bytes(),
        );
        match table.get(&key.to_octets(), 0) {
            Ok(octets) => {
                let flow = Flow::from_octets(&octets);
                let destination = Addr::from_mapped(flow.original_dst, key.family);
                found(peer.ip(), destination.into())
            }
            Err(MapError::KeyNotFound) => Found::Unknown,
            Err(error) => {
                warn!(%error, "flow table cannot be read");
                Found::Unknown
            }
        }
    }
}

/// A connection towards an address that no packet of a customer can be routed to would make the relay
/// speak to itself or to its own link on a customer's behalf.
fn found(peer: IpAddr, destination: IpAddr) -> Found {
    let of_this_host = match destination {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if of_this_host
        || destination.is_loopback()
        || destination.is_unspecified()
        || destination.is_multicast()
    {
        warn!(original.dst = %destination, "a connection towards an address that cannot be routed");
        return Found::Unknown;
    }
    Found::Known {
        customer: CustomerAddr::new(peer),
        original_dst: OriginalDst::new(SocketAddr::new(destination, SMTP_PORT)),
    }
}

fn open_table(path: &Path) -> Result<(PinIdentity, Table), OriginError> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => OriginError::Absent(path.into()),
        io::ErrorKind::PermissionDenied => OriginError::NotPermitted(path.into()),
        _ => OriginError::Kernel {
            path: path.into(),
            source: error.into(),
        },
    };
    let pin = identity(path).map_err(refused)?;
    let data = MapData::from_pin(path).map_err(|source| match os_error(&source) {
        Some(error) => refused(error),
        None => OriginError::Kernel {
            path: path.into(),
            source,
        },
    })?;
    let kernel = |source| OriginError::Kernel {
        path: path.into(),
        source,
    };
    let info = data.info().map_err(kernel)?;
    // A map of another shape would be read past the end of our buffers: the kernel copies as much as
    // the map says, not as much as the caller expects.
    let (key, value) = (info.key_size() as usize, info.value_size() as usize);
    if !matches!(info.map_type(), Ok(MapType::Hash)) || key != FlowKey::SIZE || value != Flow::SIZE
    {
        let what = format!(
            "type {:?}, key {key} and value {value} octets; expected Hash, {} and {}",
            info.map_type().ok(),
            FlowKey::SIZE,
            Flow::SIZE
        );
        return Err(OriginError::Shape {
            path: path.into(),
            what,
        });
    }
    let table = aya::maps::Map::from_map_data(data)
        .and_then(Table::try_from)
        .map_err(kernel)?;
    Ok((pin, table))
}

fn identity(path: &Path) -> io::Result<PinIdentity> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The errno inside of aya's error, if the kernel said no.
fn os_error(error: &MapError) -> Option<io::Error> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(io::Error::from_raw_os_error(code));
        }
        source = error.source();
    }
    None
}
