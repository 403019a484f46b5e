//! The tunnel between an edge and a relay that is not adjacent: IP in IP, either family in either.
//!
//! Steering leaves addresses alone, so no router between the two would bring a frame to the relay, or an answer back to
//! the edge. Both ways the packet goes as it is inside of another one (RFC 2003, RFC 2473, RFC 4213). [`outer`] writes
//! and reads that other header, for the edge as for the relay's host; [`ecn`] is what RFC 6040 asks of whoever takes it
//! off; [`host`] is the whole of what the relay's host does, with [`customer`], who tells whose a packet is.
//!
//! One level is ever taken off, and what is inside of that is never a tunnel's again. Nothing here fragments, and
//! nothing reassembles.

#[cfg(any(test, feature = "cases"))]
pub mod cases;
#[cfg(any(test, feature = "cases"))]
pub mod check;
mod customer;
pub mod ecn;
pub mod host;
#[cfg(any(test, feature = "cases"))]
pub mod memory;
pub mod outer;
#[cfg(test)]
mod properties;
