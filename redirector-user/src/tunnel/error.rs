//! Why tunnels cannot be ended here.

use std::{net::IpAddr, path::PathBuf};

use redirector_common::abi::host::HOST_EDGES_MAX;

use crate::edge::{EdgeError, Shape};

/// What goes wrong. Every message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    // What was asked for.
    /// No interface of that name in this network namespace.
    #[error("{interface}: no such interface in this network namespace; `ip link` lists them")]
    NoSuchInterface {
        /// Name asked for.
        interface: String,
    },
    /// There is nothing of ours on the interface.
    #[error("{interface}: no tunnels end there; `outgate tunnel status` lists where they do")]
    NotAttached {
        /// Name asked for.
        interface: String,
    },
    /// An edge of one family, and no end of ours of that family.
    #[error(
        "--edge {edge}: none of our own addresses is of its family; name the one that the edge sends to with --local"
    )]
    NoLocal {
        /// The edge.
        edge: IpAddr,
    },
    /// Two ends of one family.
    #[error("--local {} and {}: name one --local of each family at most, the one that the edges send to", locals[0], locals[1])]
    TwoLocals {
        /// Both.
        locals: [IpAddr; 2],
    },
    /// An address that others have.
    #[error(
        "--local {local}: no address of this host; `ip address` lists them, and edges must send to one of those"
    )]
    NotOwn {
        /// What was named.
        local: IpAddr,
    },
    /// A tunnel to ourselves.
    #[error("--edge {edge}: that is this host's own end; name the edge's tunnel address")]
    OwnEdge {
        /// What was named.
        edge: IpAddr,
    },
    /// More edges than the map holds.
    #[error(
        "{edges} times --edge; {HOST_EDGES_MAX} are possible: divide the edges among several relays' hosts"
    )]
    TooMany {
        /// How many were named.
        edges: usize,
    },
    /// A map that was pinned by another build.
    #[error(
        "{}: the pinned map {map} is {found}, this program needs {expected}: run `outgate tunnel detach --interface {interface}` with the version that made it, or `rm -r` its directory, and attach again",
        path.display()
    )]
    ShapeDiffers {
        /// The map.
        map: &'static str,
        /// Its pin.
        path: PathBuf,
        /// What stands there.
        found: Shape,
        /// What the program needs.
        expected: Shape,
        /// Whose it is.
        interface: String,
    },

    // The host, or ourselves.
    /// The kernel, or this program.
    #[error(transparent)]
    Edge(#[from] EdgeError),
}
