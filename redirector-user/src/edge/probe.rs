//! Probing relays by the road that customers take.
//!
//! A veth pair stands for a customer's wire. The program is on one end ([`INTERFACE`]) with role `customer`, like on
//! any other; at the other end is a host that lives in this process alone: its TCP is smoltcp's, over
//! a packet socket. So a probe meets the program, the policies' and relays' maps, the redirect, the next hop and the
//! whole way back, none of which a socket of the host would meet.
//!
//! [`prepare`] makes the pair, [`Wire::open`] takes hold of its far end, [`serve`] is the host, and a [`Line`] asks
//! it. [`is_whole`] tells a silent relay from a pair that somebody has touched. Nobody gets through to a relay by the kernel's routing instead: the frames of both directions name stations
//! that are nobody's, so that the kernel takes what the program passes on, or what comes back, for somebody
//! else's (`PACKET_OTHERHOST`), and neither answers nor forwards it.

mod call;
mod host;
mod offload;
mod veth;
mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use redirector_common::abi::SMTP_PORT;

pub use self::{
    host::{Line, Questions, serve},
    veth::{is_whole, prepare, remove},
    wire::Wire,
};

/// The end that the program is on.
pub const INTERFACE: &str = "outgate-probe";
/// The end that the host speaks from.
const FAR_END: &str = "outgate-probe-x";
/// Both ends. The names are fixed, so that a controller finds what an earlier one has left.
pub(crate) const ENDS: [&str; 2] = [INTERFACE, FAR_END];

/// Where a probe means to go: an address of nobody's (RFC 5737, RFC 3849), so that a relay that is steered to shows
/// whether it takes connections to any address.
const fn destination(source: IpAddr) -> SocketAddr {
    let somewhere = match source {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 25)),
    };
    SocketAddr::new(somewhere, SMTP_PORT)
}
